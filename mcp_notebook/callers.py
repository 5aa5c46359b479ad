"""Which connection a request over HTTP belongs to.

The SDK enters the lifespan once for all of HTTP, so its value says nothing of the caller. Here a
middleware of the server puts the caller's own ``Connection`` in its place: in the handshake era one for
each MCP session, from ``initialize`` until DELETE or until it was idle for long, and in the 2026-07-28
era, which has no sessions, one for each request.
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from mcp.server import Server, ServerRequestContext
from mcp.server.context import CallNext, HandlerResult
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_REQUEST
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request
from starlette.types import Scope

from mcp_notebook.naming import PLACEHOLDER, directory_of
from mcp_notebook.server import arriving, initialization
from mcp_notebook.sessions import LOCAL, Connection
from mcp_notebook.settings import Settings

OURS = "mcp_notebook.callers"
"""In the ASGI scope: the ``Callers`` that the request came in by."""
PRINCIPAL = "mcp_notebook.principal"
CONNECTION = "mcp_notebook.connection"
"""In the ASGI scope: the connection that a request of the 2026-07-28 era is."""
PRINCIPALS = "principals"
"""The directory that has one for each principal."""
SESSION_ID_HEADER = "mcp-session-id"

End = Callable[[str, str], Awaitable[None]]
"""Makes the transport forget an MCP session: (its id, the principal)."""


class Callers:
    """The connections of all clients of one listener."""

    def __init__(self, server: Server[Any], settings: Settings, tasks: anyio.abc.TaskGroup, end: End) -> None:
        self._server = server
        self._settings = settings
        self._tasks = tasks
        self._end = end
        self._visits: dict[str, Visit] = {}
        self._passing: set[Connection] = set()
        self._ending = False

    @contextmanager
    def attached(self) -> Iterator[None]:
        """While it lasts, requests that carry ``OURS`` are served with their own connection."""
        self._server.middleware.append(self._attach)
        try:
            yield
        finally:
            self._server.middleware.remove(self._attach)

    def begin(self, session_id: str, principal: str) -> None:
        """The transport has opened an MCP session."""
        visit = Visit(self._connection(principal), self._settings.http_idle_s)
        self._visits[session_id] = visit
        self._tasks.start_soon(self._stay, session_id, visit)

    def find(self, session_id: str | None, principal: str) -> "Visit | None":
        """The MCP session of that id, if it is the principal's."""
        visit = self._visits.get(session_id) if session_id else None
        return visit if visit is not None and visit.connection.principal == principal else None

    def count(self, principal: str) -> int:
        """How many MCP sessions the principal has."""
        return sum(visit.connection.principal == principal for visit in self._visits.values())

    async def leave(self) -> None:
        """Nobody is connected any more: calls that are cut off here, or later, leave their cells running."""
        self._ending = True
        for connection in [*self._passing, *(visit.connection for visit in self._visits.values())]:
            connection.closed = True
        for session_id, visit in list(self._visits.items()):
            await self._end(session_id, visit.connection.principal or LOCAL)

    async def _stay(self, session_id: str, visit: "Visit") -> None:
        """Hold the session's connection open as the lifespan of the server, as other listeners do."""
        with arriving(visit.connection):
            async with self._server.lifespan(self._server):
                was_idle = await visit.over()
        # Its connection is closed now, so that calls which still wait and are cut off leave their cells running.
        self._visits.pop(session_id, None)
        if was_idle:
            await self._end(session_id, visit.connection.principal or LOCAL)

    async def _attach(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        request: Request | None = ctx.request
        is_ours: bool = request is not None and request.scope.get(OURS) is self
        if request is None or not is_ours:
            return await call_next(ctx)
        principal: str = request.scope[PRINCIPAL]
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return await self._pass(ctx, call_next, request.scope)
        if ctx.method == "initialize":
            return self._with_our_capabilities(await call_next(ctx))
        visit = self.find(request.headers.get(SESSION_ID_HEADER), principal)
        if visit is None:
            raise MCPError(INVALID_REQUEST, "The session has ended: begin a new one with initialize.")
        return await call_next(replace(ctx, lifespan_context=visit.connection))

    async def _pass(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext, scope: Scope) -> HandlerResult:
        connection = scope[CONNECTION] = self._connection(scope[PRINCIPAL], handles_only=True)
        self._passing.add(connection)
        try:
            return await call_next(replace(ctx, lifespan_context=connection))
        finally:
            connection.closed = True
            self._passing.discard(connection)

    def _connection(self, principal: str, *, handles_only: bool = False) -> Connection:
        workspace, roots = workspaces(self._settings, principal)
        connection = Connection(workspace=workspace, principal=principal, handles_only=handles_only, roots=roots)
        connection.closed = self._ending
        return connection

    def _with_our_capabilities(self, result: HandlerResult) -> HandlerResult:
        """The transport answers ``initialize`` with what a bare server can do."""
        assert isinstance(result, dict)
        capabilities = initialization(self._server).capabilities
        return result | {"capabilities": capabilities.model_dump(by_alias=True, mode="json", exclude_none=True)}


class Visit:
    """One MCP session of the handshake era."""

    def __init__(self, connection: Connection, idle_s: float) -> None:
        self.connection = connection
        self._idle_s = idle_s
        self._requests = 0
        self._left = anyio.Event()
        self._scope = anyio.CancelScope(deadline=anyio.current_time() + idle_s)

    @contextmanager
    def request(self) -> Iterator[None]:
        """While a request is served, or a stream is open, the session is not idle."""
        self._requests += 1
        self._scope.deadline = inf
        try:
            yield
        finally:
            self._requests -= 1
            if not self._requests:
                self._scope.deadline = anyio.current_time() + self._idle_s

    def leave(self) -> None:
        """The client has ended it."""
        self.connection.closed = True
        self._left.set()

    async def over(self) -> bool:
        """Return when the client left, or made no request for long: then True."""
        with self._scope:
            await self._left.wait()
        return self._scope.cancelled_caught


@contextmanager
def at(visit: Visit | None) -> Iterator[None]:
    """While a request of the session, if it is of one, is served."""
    if visit is None:
        yield
        return
    with visit.request():
        yield


def workspaces(settings: Settings, principal: str) -> tuple[Path, list[Path]]:
    """Where a principal over HTTP works, and below which directories he may choose another place.

    Others than the user himself have a directory of their own each. It is made with the first session.
    """
    own = directory_of(principal)
    roots = [Path(root.replace(PLACEHOLDER, own)).expanduser() for root in settings.http_roots]
    if principal != LOCAL:
        is_own = bool(roots) and PLACEHOLDER in settings.http_roots[0]
        workspace = roots[0] if is_own else (roots[0] if roots else settings.workspace) / PRINCIPALS / own
        return workspace, roots or [workspace]
    if roots and not any(settings.workspace.is_relative_to(root.resolve()) for root in roots):
        return roots[0], roots
    return settings.workspace, roots
