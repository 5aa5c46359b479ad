"""One life of a server: from the start of its process, or the first request to its URL, to the end.

The SDK's ``Client`` holds task groups, which belong to one task. So each life is a task of its own, which enters
the client and waits; callers in other tasks send through it at the same time, and one that is cancelled makes
the SDK tell the server so.
"""

import asyncio
import hashlib
import importlib.metadata
import math
import re
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client import IncomingMessage
from mcp.client.streamable_http import streamable_http_client
from mcp.client.subscriptions import SubscriptionLost
from mcp_types import CONNECTION_CLOSED, Implementation, ToolListChangedNotification
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from mcp_notebook.errors import ServerFailed
from mcp_notebook.runtime.host import Host
from mcp_notebook.runtime.servers.configuration import Entry
from mcp_notebook.runtime.servers.process import ServerProcess

Answer = TypeVar("Answer")

END_WITHIN_S = 8.0
"""The steps of ending a process take less, each bounded."""
LISTEN_AGAIN_S = 30.0
CONNECT_WITHIN_S = 30.0
CLOSED = "Connection closed"
"""How the SDK words what it found out itself; servers send the code with it too."""
SESSION = "mcp-session-id"
"""Of the handshake era: a server that does not know it answers 404, or 400 where it keeps less to the rules."""


class SessionGone(ServerFailed):
    """An HTTP server has forgotten us, as after its restart; it has done nothing of this call."""


class Life:
    """Begins when it is made, in the background; ``ready`` is set once ``client`` or ``reason`` says how it went."""

    def __init__(self, entry: Entry, host: Host, era: str, within_s: float, on_change: Callable[[], object]) -> None:
        self.era = era
        self.ready = anyio.Event()
        self.ended = anyio.Event()
        self.client: Client | None = None
        self.tells = False
        """Whether news of changed tools are sure to come before the next answer; over HTTP they have their own way."""
        self.listing = anyio.Lock()
        self._entry = entry
        self._within_s = within_s
        self._on_change = on_change
        self._most_bytes = host.policy.answer_bytes
        self._failure = ""
        self._http_status = 0
        self._forgotten = 0
        self._stop = anyio.Event()
        self._told_to_end = False
        self._scope = anyio.CancelScope()
        self._log = host.directory / "servers" / f"{_file_name(entry.name)}.log"
        self._process: ServerProcess | None = None
        if entry.transport == "stdio":
            self._process = ServerProcess(entry, host.environment, self._log, self._most_bytes)
        # In nobody's task group: the call that starts a server may end long before the server does.
        self._task = asyncio.create_task(self._run(), name=f"MCP server {entry.name}")

    @property
    def over(self) -> bool:
        """Whether nothing can be sent through it any more."""
        return self._stop.is_set() or (self.ready.is_set() and self.client is None)

    @property
    def refuses_the_probe(self) -> bool:
        """Whether the server hung up on the question for its era, as some of the handshake era do."""
        return self.era == "auto" and self._failure == CLOSED and self._process is not None

    @property
    def reason(self) -> str:
        """Why it did not start, or ended."""
        if self._told_to_end:
            return "it was ended, because its entry changed or the session is closing"
        if self._process is None:
            return f"HTTP {self._http_status}: {self._failure}" if self._http_status else self._failure
        words = self._process.last_words()
        said = f"; its last line on stderr is {words!r}" if words else ""
        return f"{self._process.complaint or _ended_with(self._process.exit_status) or self._failure}{said}"

    @property
    def log(self) -> Path | None:
        """The file with its stderr."""
        return self._log if self._process else None

    def end(self) -> None:
        """Have it end, within ``END_WITHIN_S``; ``ended`` is set when no process of it is left."""
        self._told_to_end = True
        self._stop.set()
        if self.ready.is_set():
            self._scope.deadline = min(self._scope.deadline, anyio.current_time() + END_WITHIN_S)
        else:
            self._scope.cancel()

    async def request(self, send: Callable[[Client], Awaitable[Answer]]) -> Answer:
        """What ``send`` gets.

        Raises:
            SessionGone: begin a new life and send again.
            ServerFailed: it died, refused, or answered what cannot be used.
        """
        name = repr(self._entry.name)
        try:
            if self.client is None:
                raise anyio.ClosedResourceError
            return await send(self.client)
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as exc:
            raise await self._death() from exc
        except MCPError as exc:
            if (exc.code, exc.message) == (CONNECTION_CLOSED, CLOSED):
                raise await self._death() from exc
            if self._forgotten == 404 or (self._forgotten == 400 and "session" in exc.message.casefold()):
                self._stop.set()
                raise SessionGone(f"The MCP server {name} has ended our session. Call again.") from exc
            raise ServerFailed(f"The MCP server {name} refused: {exc.message}") from exc
        except (RuntimeError, ValueError) as exc:  # a schema that the answer breaks, endless questions
            raise ServerFailed(f"The MCP server {name} gave an answer that cannot be used: {exc}") from exc

    async def _death(self) -> ServerFailed:
        with anyio.move_on_after(END_WITHIN_S):
            await self.ended.wait()
        return ServerFailed(
            f"The MCP server {self._entry.name!r} died during the call: {self.reason}. Whether the call took effect "
            "is not known. The next call starts the server again."
        )

    async def _run(self) -> None:
        try:
            with self._scope:
                self._scope.deadline = anyio.current_time() + self._within_s
                async with self._connection() as client:
                    self._scope.deadline = math.inf
                    await self._serve(client)
            if not self.ready.is_set():
                self._failure = f"it did not answer within {self._within_s:g} s"
        except Exception as exc:  # of the network, the system, the SDK: told to whoever waits
            self._failure = _innermost(exc)
        finally:
            self.client = None
            self.ready.set()
            self.ended.set()

    def _connection(self) -> Client:
        return Client(
            self._process.opened() if self._process else self._over_http(),
            mode=self.era,
            cache=None,
            client_info=Implementation(name="mcp-notebook", version=importlib.metadata.version("mcp-notebook")),
            message_handler=self._heard,
        )

    @asynccontextmanager
    async def _over_http(self) -> AsyncIterator[Any]:
        """The calls have limits of their own, and a stream of changes is silent for hours: no limit on reading."""
        async with (
            httpx2.AsyncClient(
                headers=dict(self._entry.headers),
                timeout=httpx2.Timeout(CONNECT_WITHIN_S, read=None),
                event_hooks={"response": [self._note_status]},
            ) as http,
            streamable_http_client(self._entry.url, http_client=http, max_sse_event_size=self._most_bytes) as streams,
        ):
            yield streams

    async def _note_status(self, response: httpx2.Response) -> None:
        self._http_status = response.status_code if response.status_code >= 400 else 0
        if SESSION in response.request.headers and self._http_status:
            self._forgotten = self._http_status

    async def _serve(self, client: Client) -> None:
        self.client = client
        self.ready.set()
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._hear_changes, client)
                if self._process:
                    tasks.start_soon(self._stop_when_closed, self._process)
                await self._stop.wait()
                tasks.cancel_scope.cancel()
        finally:
            self.client = None

    async def _stop_when_closed(self, process: ServerProcess) -> None:
        await process.closed.wait()
        self._stop.set()

    async def _heard(self, message: IncomingMessage) -> None:
        if isinstance(message, ToolListChangedNotification):
            self._on_change()

    async def _hear_changes(self, client: Client) -> None:
        """Have changes told where they must be asked for; they arrive in ``_heard``."""
        tools = client.server_capabilities.tools
        if tools is None or not tools.list_changed:
            return
        if client.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            self.tells = self._process is not None
            return
        while True:
            try:
                await self._listen(client)
            except MCPError as exc:
                if exc.code != CONNECTION_CLOSED:
                    return
            except (SubscriptionLost, httpx2.HTTPError, ExceptionGroup):
                pass
            self._on_change()
            await anyio.sleep(LISTEN_AGAIN_S)

    async def _listen(self, client: Client) -> None:
        """Until the stream ends. Over HTTP by a client of its own: a stream that breaks ends all of its client."""
        async with AsyncExitStack() as stack:
            if self._process is None:
                of_its_own = Client(self._over_http(), mode=client.protocol_version, message_handler=self._heard)
                client = await stack.enter_async_context(of_its_own)
            changes = await stack.enter_async_context(client.listen(tools_list_changed=True))
            try:
                self.tells = self._process is not None and bool(changes.honored.tools_list_changed)
                async for _ in changes:
                    pass
            finally:
                self.tells = False


def _innermost(exc: BaseException) -> str:
    while isinstance(exc, BaseExceptionGroup):
        exc = exc.exceptions[0]
    return str(exc) or type(exc).__name__


def _ended_with(status: int | None) -> str:
    if status is None:
        return ""
    if status >= 0:
        return f"its process ended with exit status {status}"
    try:
        return f"its process was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"its process was killed by signal {-status}"


def _file_name(server: str) -> str:
    safe = re.sub(r"[^\w.-]", "_", server, flags=re.ASCII)[:60]
    return safe if safe == server else f"{safe}-{hashlib.sha256(server.encode(errors='replace')).hexdigest()[:8]}"
