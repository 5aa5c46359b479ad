"""Streamable HTTP at /mcp, in both eras of MCP, behind a door that wants bearer tokens.

The SDK's session manager speaks the protocol and uvicorn HTTP; this is their begin and their end. Who comes in
is decided at the door.
https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#streamable-http
"""

import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import anyio
import anyio.abc
from mcp.server import MCPServer
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from starlette.types import Message

from mcp_notebook.admission import Verify
from mcp_notebook.callers import SESSION_ID_HEADER, Callers
from mcp_notebook.door import PATH, Door, user_of
from mcp_notebook.errors import ListenerRefused
from mcp_notebook.metadata import Metadata
from mcp_notebook.server import lowlevel
from mcp_notebook.sessions import Connection
from mcp_notebook.settings import Settings
from mcp_notebook.web_server import WebServer

KEEP_ALIVE_S = 60
"""Longer than clients keep an unused connection, so that it is they who close it."""
END_WITHIN_S = 1
BACKLOG = 256

logger = logging.getLogger(__name__)


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
        ListenerRefused: the address cannot be bound, or is not loopback and ``allow_remote`` is not given; or what
            [auth] says is no URL.
    """
    metadata = Metadata(settings.auth) if settings.auth.resource else None
    listening = await _bind(host, port, allow_remote)
    bound: int = listening.getsockname()[1]
    further = [*allowed_hosts, *([metadata.host] if metadata is not None else [])]
    hosts = _host_headers(host, bound, further)
    door = partial(Door, verify=verify, hosts=hosts, limits=settings.limits, metadata=metadata)
    stopping = anyio.Event()
    async with anyio.create_task_group() as outside:
        outside.start_soon(_set_when_cancelled, stopping)
        # The calls are cut off by us, in good order, and not by whoever cancels this.
        with anyio.CancelScope(shield=True):
            await _serve(server, settings, listening, door, stopping, partial(task_status.started, bound))
        outside.cancel_scope.cancel()


async def _serve(
    server: MCPServer[Connection],
    settings: Settings,
    listening: socket.socket,
    make_door: Callable[[StreamableHTTPSessionManager, Callers], Door],
    stopping: anyio.Event,
    started: Callable[[], None],
) -> None:
    # One check of the headers is enough, the door's: it sees also what the manager refuses before its own.
    manager = StreamableHTTPSessionManager(
        lowlevel(server), max_request_body_size=settings.limits.request_bytes, session_idle_timeout=None
    )
    async with anyio.create_task_group() as tasks:
        callers = Callers(lowlevel(server), settings, tasks, partial(_end_session, manager))
        door = make_door(manager, callers)
        listener = _Listener(door)
        with callers.attached():
            async with manager.run():
                tasks.start_soon(listener.serve, [listening])
                tasks.start_soon(door.watch)
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
    scope = {"type": "http", "method": "DELETE", "path": PATH, "headers": headers, "user": user_of(principal)}

    async def receive() -> Message:
        return {"type": "http.request"}

    async def send(_: Message) -> None:
        return None

    await manager.handle_request(scope, receive, send)


class _Listener(WebServer):
    """Without a clock that ticks while nothing happens."""

    def __init__(self, app: Any) -> None:
        super().__init__(
            app,
            date_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=END_WITHIN_S,
            backlog=BACKLOG,
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
