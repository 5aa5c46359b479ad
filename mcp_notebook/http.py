"""Streamable HTTP at /mcp, in both eras of MCP, behind a bearer token.

The SDK's session manager speaks the protocol and uvicorn HTTP; this is the door in front of them, and
their end. It says nothing but 401 without a token, and refuses Host and Origin headers that are not its
own, whatever address it listens on: a page in a browser reaches loopback as well.
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

import hmac
import ipaddress
import logging
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import anyio
import anyio.abc
import uvicorn
from mcp.server import MCPServer
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from mcp_notebook.callers import OURS, PRINCIPAL, SESSION_ID_HEADER, Callers, Visit
from mcp_notebook.errors import ListenerRefused
from mcp_notebook.server import lowlevel
from mcp_notebook.sessions import LOCAL, Connection
from mcp_notebook.settings import Settings

PATH = "/mcp"
MAX_BODY_BYTES = (12 << 20) + (64 << 10)
"""A cell of 4 MiB, of which JSON may escape every character."""
KEEP_ALIVE_S = 60
"""Longer than clients keep an unused connection, so that it is they who close it."""
END_WITHIN_S = 1
BACKLOG = 256

Verify = Callable[[str], Awaitable[str | None]]
"""The principal whom a bearer token belongs to, if it is valid."""

logger = logging.getLogger(__name__)


def only(token: str) -> Verify:
    """Accept this token alone, as that of the user of this process."""

    async def verify(given: str) -> str | None:
        return LOCAL if hmac.compare_digest(given.encode(), token.encode()) else None

    return verify


async def serve_http(
    server: MCPServer[Connection],
    settings: Settings,
    host: str,
    port: int,
    *,
    verify: Verify,
    allow_remote: bool = False,
    allowed_hosts: Iterable[str] = (),
    task_status: anyio.abc.TaskStatus[int] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve HTTP until cancelled; starts with the port, which ``port`` 0 leaves to the system.

    When it is cancelled every connection counts as closed before a call is cut off: cells run on. It ends
    within 2 s. ``allowed_hosts`` are further names, with or without a port, that clients reach it by.

    Raises:
        ListenerRefused: the address cannot be bound, or is not loopback and ``allow_remote`` is not given.
    """
    listening = await _bind(host, port, allow_remote)
    bound: int = listening.getsockname()[1]
    hosts = _host_headers(host, bound, allowed_hosts)
    stopping = anyio.Event()
    async with anyio.create_task_group() as outside:
        outside.start_soon(_set_when_cancelled, stopping)
        # The calls are cut off by us, in good order, and not by whoever cancels this.
        with anyio.CancelScope(shield=True):
            await _serve(server, settings, listening, verify, hosts, stopping, partial(task_status.started, bound))
        outside.cancel_scope.cancel()


async def _serve(
    server: MCPServer[Connection],
    settings: Settings,
    listening: socket.socket,
    verify: Verify,
    hosts: list[str],
    stopping: anyio.Event,
    started: Callable[[], None],
) -> None:
    # One check of the headers is enough, the door's: it sees also what the manager refuses before its own.
    manager = StreamableHTTPSessionManager(
        lowlevel(server), max_request_body_size=MAX_BODY_BYTES, session_idle_timeout=None
    )
    async with anyio.create_task_group() as tasks:
        callers = Callers(lowlevel(server), settings, tasks, partial(_end_session, manager))
        door = Door(manager, callers, verify, hosts)
        listener = _Listener(door)
        with callers.attached():
            async with manager.run():
                tasks.start_soon(listener.serve, [listening])
                await listener.listening.wait()
                started()
                await stopping.wait()
                door.close()
                await callers.leave()
                door.cut_off()
            listener.ending.set()
            await listener.ended.wait()
            tasks.cancel_scope.cancel()


async def _set_when_cancelled(event: anyio.Event) -> None:
    try:
        await anyio.sleep_forever()
    finally:
        event.set()


async def _end_session(manager: StreamableHTTPSessionManager, session_id: str, principal: str) -> None:
    """As the client would do it, which is the one public way; there may be no such session any more."""
    headers = [(SESSION_ID_HEADER.encode(), session_id.encode())]
    scope = {"type": "http", "method": "DELETE", "path": PATH, "headers": headers, "user": _user(principal)}

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        return None

    await manager.handle_request(scope, receive, send)


class Door:
    """The ASGI application: who may come in, and what they are taken for."""

    def __init__(
        self, manager: StreamableHTTPSessionManager, callers: Callers, verify: Verify, hosts: list[str]
    ) -> None:
        self._manager = manager
        self._callers = callers
        self._verify = verify
        self._security = TransportSecurityMiddleware(
            TransportSecuritySettings(
                allowed_hosts=hosts,
                allowed_origins=[f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")],
            )
        )
        self._serving: set[anyio.CancelScope] = set()
        self._closed = False

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def cut_off(self) -> None:
        """End what is still being served."""
        for scope in self._serving:
            scope.cancel()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        principal = await self._principal(request.headers)
        if principal is None:
            refusal: Response | None = _unauthorized(request.headers)
        else:
            refusal = await self._refusal(request)
        if refusal is not None or principal is None:
            assert refusal is not None
            await refusal(scope, receive, send)
            return
        answer = _Answer(send)
        with anyio.CancelScope() as serving:
            self._serving.add(serving)
            try:
                await self._let_in({**scope, "user": _user(principal)}, principal, receive, answer)
            finally:
                self._serving.discard(serving)
        if serving.cancelled_caught:
            await answer.cut_off(scope, receive)

    async def _principal(self, headers: Headers) -> str | None:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            return None
        return await self._verify(token.strip())

    async def _refusal(self, request: Request) -> Response | None:
        if self._closed:
            return _closing()
        refusal = await self._security.validate_request(request, is_post=request.method == "POST")
        if refusal is None and request.url.path.rstrip("/") != PATH:
            return Response(f"There is nothing here: MCP is spoken at {PATH}.", status_code=404)
        return refusal

    async def _let_in(self, scope: Scope, principal: str, receive: Receive, answer: "_Answer") -> None:
        headers = Headers(scope=scope)
        version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
        session_id = headers.get(SESSION_ID_HEADER)
        scope[OURS], scope[PRINCIPAL] = self._callers, principal
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            await self._manager.handle_request(scope, receive, answer)
            return
        if session_id is None:
            answer.on_session = partial(self._callers.begin, principal=principal)
        with _at(visit := self._callers.find(session_id, principal)):
            if visit is not None and scope["method"] == "DELETE":
                visit.leave()
            await self._manager.handle_request(scope, receive, answer)
            if visit is not None and answer.status == 404:
                visit.leave()


class _Answer:
    """Sends a response on, and remembers how far it came."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.on_session: Callable[[str], None] | None = None
        """Called with the id when the response opens an MCP session."""
        self.status: int | None = None
        self._complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            session_id = Headers(raw=list(message["headers"])).get(SESSION_ID_HEADER)
            if self.on_session is not None and session_id is not None and message["status"] == 200:
                self.on_session(session_id)
        else:
            self._complete = not message.get("more_body", False)
        await self._send(message)

    async def cut_off(self, scope: Scope, receive: Receive) -> None:
        """End it where it is; its client has to ask again, of whoever comes after us."""
        if self.status is None:
            await _closing()(scope, receive, self._send)
        elif not self._complete:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


class _Listener(uvicorn.Server):
    """uvicorn without signals of its own, and without a clock that ticks while nothing happens."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=END_WITHIN_S,
                backlog=BACKLOG,
            )
        )
        self.listening = anyio.Event()
        self.ending = anyio.Event()
        self.ended = anyio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve until ``ending`` is set."""
        try:
            await super().serve(sockets)
        finally:
            self.ended.set()

    async def main_loop(self) -> None:
        """Wait for the end."""
        self.listening.set()
        await self.ending.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the daemon's."""
        yield


@contextmanager
def _at(visit: Visit | None) -> Iterator[None]:
    if visit is None:
        yield
        return
    with visit.request():
        yield


def _user(principal: str) -> AuthenticatedUser:
    """What the SDK binds an MCP session to: another one's requests for it find nothing."""
    return AuthenticatedUser(AccessToken(token="", client_id=principal, scopes=[]))


def _unauthorized(headers: Headers) -> Response:
    challenge = 'Bearer realm="mcp-notebook"'
    if "authorization" in headers:
        challenge += ', error="invalid_token"'
    text = "Send the header `Authorization: Bearer TOKEN`, with the token of this server."
    return Response(text, status_code=401, headers={"WWW-Authenticate": challenge})


def _closing() -> Response:
    return Response("The server is ending. Cells run on: ask again later.", status_code=503)


async def _bind(host: str, port: int, allow_remote: bool) -> socket.socket:
    try:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        if not allow_remote and not ipaddress.ip_address(address[0].partition("%")[0]).is_loopback:
            raise ListenerRefused(
                f"{host} can be reached from other machines, and MCP over plain HTTP shows the token to the network."
                " Listen on 127.0.0.1 and put a proxy with TLS in front of it, or allow remote clients explicitly."
            )
        return _listening(family, address)
    except OSError as exc:
        raise ListenerRefused(
            f"HTTP cannot be served at {host}:{port} ({exc.strerror}): choose another address or port."
        ) from exc


def _listening(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    # Named TCP, so that asyncio turns Nagle's algorithm off, which would hold each answer back for 40 ms.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind(address)
        listening.listen(BACKLOG)
    except BaseException:
        listening.close()
        raise
    return listening


def _host_headers(host: str, port: int, further: Iterable[str]) -> list[str]:
    """The Host headers of those who mean this server; a name without port stands for every port."""
    names = {"localhost", "127.0.0.1", "[::1]"}
    if host not in ("0.0.0.0", "::", ""):
        names.add(f"[{host}]" if ":" in host else host)
    allowed = [f"{name}:{port}" for name in sorted(names)]
    if port == 80:
        allowed += sorted(names)
    for name in further:
        has_port = ":" in name.rpartition("]")[2]
        allowed += [name] if has_port else [name, f"{name}:*"]
    return allowed
