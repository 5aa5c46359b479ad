"""Clients of this machine on the server's unix socket: relays, which carry an MCP client each, and commands.

Whoever connects says first, in one line of JSON, what it is; the answer is one line too. After that a relay's
connection carries MCP, one message a line, and a command's is over.
"""

import json
import logging
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from mcp.server import Server

from mcp_notebook import __version__
from mcp_notebook.errors import NotebookError
from mcp_notebook.identity import ProcessId
from mcp_notebook.leases import Connection
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.stdio import serve_descriptors

WIRE = 1
"""The version of the first line."""
BACKLOG = 128
HELLO_BYTES = 16 << 20
HELLO_WITHIN_S = 10.0

Command = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]

logger = logging.getLogger(__name__)


class BadPlace(NotebookError):
    """The socket cannot be made where clients look for it."""


class BadHello(NotebookError):
    """The first line of a connection was none; the connection is closed after the answer."""


def bind(path: Path) -> socket.socket:
    """A socket for this user alone, in place of what an earlier server left there. Its directory is private."""
    try:
        path.unlink(missing_ok=True)
    except OSError as exc:
        raise BadPlace(f"{path} is in the way and cannot be removed ({exc.strerror}): remove it.") from exc
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


class Listener:
    """Serves all who connect until it is stopped; ``commands`` are those of ``kind`` "control", by name."""

    def __init__(
        self, server: Server[Any], sessions: Sessions, listener: socket.socket, commands: Mapping[str, Command]
    ) -> None:
        self._server = server
        self._sessions = sessions
        self._listener = listener
        self._commands = commands
        self._accepting = anyio.CancelScope()
        self.life = f"{os.getpid():x}-{os.urandom(4).hex()}"
        self.connections: set[Connection] = set()
        self.served = 0
        """How many relays have connected."""
        self.commands = 0
        """How many are being carried out: ending sessions takes a while."""

    async def serve(self) -> None:
        """Until cancelled."""
        async with anyio.create_task_group() as tasks:
            with self._listener, self._accepting:
                while True:
                    await anyio.wait_readable(self._listener)
                    try:
                        client, _ = self._listener.accept()
                    except BlockingIOError:
                        continue
                    except OSError as exc:  # no descriptors are left, or it was gone already
                        logger.warning("A client could not be accepted (%s).", exc)
                        await anyio.sleep(0.1)
                        continue
                    tasks.start_soon(self._serve_one, client)

    def close(self) -> None:
        """Nobody else can connect, in a moment: a descriptor that is still waited for must not be another's."""
        self._accepting.cancel()

    def pause(self) -> None:
        """Take nothing more in: what clients send from now on is for the next server."""
        for connection in self.connections:
            connection.paused = True

    def take_leave(self, successor: str | None) -> None:
        """Tell relays which requests were begun, and which version comes next; then they are on their own."""
        for connection in self.connections:
            connection.closed = True
            bye = {"mcp_notebook": WIRE, "bye": True, "begun": list(connection.begun), "next": successor}
            connection.say_last(json.dumps(bye).encode() + b"\n")

    async def _serve_one(self, client: socket.socket) -> None:
        client.setblocking(False)
        try:
            await self._greet(client)
        except BadHello as exc:
            await _answer(client, {"error": str(exc)})
        except OSError as exc:
            logger.info("A connection was lost: %s", exc)
        except Exception:
            logger.exception("A connection failed")
        finally:
            client.close()

    async def _greet(self, client: socket.socket) -> None:
        if not _is_ours(client):
            raise BadHello("This server serves the user only who started it.")
        with anyio.move_on_after(HELLO_WITHIN_S) as scope:
            line, rest = await _first_line(client)
        if scope.cancelled_caught:
            raise BadHello("The first line did not come in time.")
        hello = _parsed(line)
        if hello.get("kind") == "relay":
            await self._serve_relay(client, hello, rest)
        else:
            self.commands += 1
            try:
                await _answer(client, await self._obey(hello))
            finally:
                self.commands -= 1

    async def _serve_relay(self, client: socket.socket, hello: dict[str, Any], rest: bytes) -> None:
        connection = _connection(hello, self._sessions.settings)
        self.connections.add(connection)
        self.served += 1
        try:
            self._sessions.attach(connection)
            answer = {"version": __version__, "life": self.life, "lease": connection.lease, "pid": os.getpid()}
            await _answer(client, {"mcp_notebook": WIRE, **answer})
            await serve_descriptors(self._server, connection, client.fileno(), client.fileno(), rest)
        finally:
            connection.closed = True
            self.connections.discard(connection)
            if not connection.paused:  # else it is this server that goes
                self._sessions.detach(connection)

    async def _obey(self, hello: dict[str, Any]) -> dict[str, Any]:
        command = self._commands.get(str(hello.get("command")))
        if command is None:
            return {"error": f"No command {hello.get('command')!r}: {', '.join(self._commands)}."}
        try:
            return {"mcp_notebook": WIRE, "version": __version__, **await command(hello)}
        except NotebookError as exc:
            return {"error": str(exc)}


def _connection(hello: dict[str, Any], settings: Settings) -> Connection:
    """Who a relay says it speaks for."""
    environment = hello.get("environment")
    workspace = hello.get("workspace")
    resent = hello.get("resent") or []
    if not isinstance(environment, dict) or not isinstance(workspace, str) or not isinstance(resent, list):
        raise BadHello("A relay names `workspace`, a directory, and `environment`; `resent` is a list of ids.")
    given = {str(name): str(value) for name, value in environment.items()}
    return Connection(
        agent=str(hello["agent"]) if hello.get("agent") else None,
        workspace=settings.workspace if settings.names_workspace and not hello.get("chosen", True) else Path(workspace),
        environment=given,
        lease=str(hello["lease"]) if hello.get("lease") else None,
        resent=resent,
        wait_s=_wait_s(given),
        comes_again=True,
        process=ProcessId.of(hello["pid"]) if isinstance(hello.get("pid"), int) else None,
    )


def _wait_s(environment: dict[str, str]) -> float | None:
    try:
        return max(0.0, float(environment["MCP_NOTEBOOK_WAIT_S"]))
    except (KeyError, ValueError):
        return None


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        hello = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise BadHello(f"The first line is not JSON: {exc}.") from None
    if not isinstance(hello, dict) or hello.get("mcp_notebook") != WIRE:
        raise BadHello(f'The first line is no greeting of version {WIRE}: {{"mcp_notebook": {WIRE}, "kind": ...}}.')
    return hello


async def _first_line(client: socket.socket) -> tuple[bytes, bytes]:
    """The line, and what came after it."""
    data = bytearray()
    while b"\n" not in data:
        if len(data) > HELLO_BYTES:
            raise BadHello("The first line is too long.")
        await anyio.wait_readable(client)
        try:
            chunk = client.recv(1 << 16)
        except BlockingIOError:
            continue
        if not chunk:
            raise ConnectionResetError("closed before its first line ended")
        data += chunk
    line, _, rest = bytes(data).partition(b"\n")
    return line, rest


async def _answer(client: socket.socket, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode() + b"\n"
    with anyio.move_on_after(HELLO_WITHIN_S):
        while data:
            try:
                data = data[client.send(data) :]
            except BlockingIOError:
                await anyio.wait_writable(client)
            except OSError:
                return


def _is_ours(client: socket.socket) -> bool:
    """Whether this user is at the other end, where the system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())
