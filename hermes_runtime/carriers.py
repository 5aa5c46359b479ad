"""How a call in a cell reaches the host: over a unix socket, or over Jupyter's stdin channel.

Sent into Python kernels as source. The standard library only, Python 3.9 and newer. The socket serves any number of
threads and tasks at once; the stdin channel one call after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hermes_runtime import wire

if TYPE_CHECKING:
    from collections.abc import Callable

HOST_WITHIN_S = 30.0
"""A host that was restarted is back sooner."""
AGAIN_S = 0.02
UNREAD = (BrokenPipeError, ConnectionResetError)
"""A host that has gone without reading the whole call, on a unix socket: nobody has begun it."""
KEPT = "_hermes_runtime"
"""Under this name ``sys`` keeps what was configured, for a module that a cell loads anew."""
MOST_IDLE = 20
"""So many connections are kept for the next calls."""
READ_BYTES = 1 << 20
LONGEST_ANSWER = 1 << 30

OUTSIDE = (
    "hermes_runtime.{}() needs the notebook server that runs this cell's kernel, and this Python was not started by "
    "one. Run the notebook with mcp-notebook: in its sessions every Python kernel has hermes_runtime, connected."
)
UNREACHABLE = (
    "The notebook server does not answer ({}). It comes back when a client of it is started: then run this again."
)


class HostError(RuntimeError):
    """The host cannot be reached, or refused the call; the message says what to do."""


class Outside:
    """Where there is no host."""

    def call(self, tool: str, args: dict[str, Any]) -> Any:
        raise HostError(OUTSIDE.format(tool))

    async def call_async(self, tool: str, args: dict[str, Any]) -> Any:
        raise HostError(OUTSIDE.format(tool))


class SocketCarrier:
    """Each call has a connection of its own while it lasts; idle ones are used again."""

    def __init__(self, path: str, token: str) -> None:
        self._path = path
        self._token = token
        self._idle: list[socket.socket] = []
        self._pid = os.getpid()

    def call(self, tool: str, args: dict[str, Any]) -> Any:
        """The value of the answer.

        Raises:
            HostError: no host, or it was lost in the middle of a call that is not repeatable.
            wire.Refused: it did not carry the call out.
        """
        line = wire.request(tool, args, self._token) + b"\n"
        while True:
            connection = self._connection()
            answer = b""
            try:
                connection.sendall(line)
                answer = _read_line(connection)
            except UNREAD:
                continue
            except OSError:
                pass
            finally:
                # Also where the call was interrupted: the host then ends what it had begun.
                if answer and len(self._idle) < MOST_IDLE:
                    self._idle.append(connection)
                else:
                    connection.close()
            if answer:
                return wire.parsed_answer(answer)
            if tool not in wire.REPEATABLE:
                raise HostError(wire.LOST.format(tool))

    async def call_async(self, tool: str, args: dict[str, Any]) -> Any:
        """The same; a task that is cancelled ends its call."""
        line = wire.request(tool, args, self._token) + b"\n"
        while True:
            reader, writer = await self._streams()
            answer = b""
            try:
                writer.write(line)
                await writer.drain()
                answer = await reader.readline()
            except UNREAD:
                continue
            except OSError:
                pass
            finally:
                writer.close()
            if answer.endswith(b"\n"):
                return wire.parsed_answer(answer)
            if tool not in wire.REPEATABLE:
                raise HostError(wire.LOST.format(tool))

    def _connection(self) -> socket.socket:
        if self._pid != os.getpid():  # forked: the connections are the parent's
            self._pid, self._idle = os.getpid(), []
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread was faster
                connection = self._idle.pop()
                if _is_open(connection):
                    return connection
                connection.close()
        until = time.monotonic() + HOST_WITHIN_S
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.connect(self._path)
            except OSError as exc:
                connection.close()
                if time.monotonic() > until:
                    raise HostError(UNREACHABLE.format(exc.strerror)) from None
                time.sleep(AGAIN_S)
            else:
                return connection

    async def _streams(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        until = time.monotonic() + HOST_WITHIN_S
        while True:
            connection = socket.socket(socket.AF_UNIX)
            try:
                connection.setblocking(False)
                connection.connect(self._path)  # at once, or not at all: asyncio takes "try again" for success
                return await asyncio.open_unix_connection(sock=connection, limit=LONGEST_ANSWER)
            except OSError as exc:
                connection.close()
                if time.monotonic() > until:
                    raise HostError(UNREACHABLE.format(exc.strerror)) from None
            await asyncio.sleep(AGAIN_S)


class StdinCarrier:
    """``ask`` sends one line to the front end and returns what it replies; one call at a time."""

    def __init__(self, ask: Callable[[str], str], token: str) -> None:
        self._ask = ask
        self._token = token
        self._turn = threading.Lock()
        self._numbers = itertools.count(time.time_ns())  # also of a module that was loaded anew

    def call(self, tool: str, args: dict[str, Any]) -> Any:
        """See ``SocketCarrier.call``."""
        line = wire.request(tool, args, self._token).decode()
        with self._turn:
            own = f"{next(self._numbers)} "
            while True:  # the first answer may be a late one, to a call that was interrupted
                answer = self._ask(own + line)
                if answer.startswith(own):
                    break
        return wire.parsed_answer(answer[len(own) :])

    async def call_async(self, tool: str, args: dict[str, Any]) -> Any:
        """The same, in a thread: the loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(None, self.call, tool, args)


_carrier: Outside | SocketCarrier | StdinCarrier = Outside()
_finding = threading.Lock()
_directory: str
_ask: Callable[[str], str] | None
_directory, _ask = getattr(sys, KEPT, ("", None))


def configure(directory: str, ask: Callable[[str], str]) -> None:
    """A kernel's files are in ``directory``; ``ask`` is its way over stdin. The host may write its own file later."""
    global _directory, _ask
    _directory, _ask = directory, ask
    setattr(sys, KEPT, (directory, ask))


def current() -> Outside | SocketCarrier | StdinCarrier:
    """What carries calls, found at the first one: one for all threads."""
    global _carrier
    if not _directory or not isinstance(_carrier, Outside):
        return _carrier
    with _finding:  # another thread may have been faster
        _carrier = _found() if isinstance(_carrier, Outside) else _carrier
    return _carrier


def _found() -> Outside | SocketCarrier | StdinCarrier:
    try:
        place = json.loads(Path(_directory, wire.PLACE).read_text())
    except FileNotFoundError:
        return Outside()
    if place["carrier"] == "stdin" and _ask is not None:
        return StdinCarrier(_ask, place["token"])
    return SocketCarrier(str(Path(_directory, wire.SOCKET)), place["token"])


def _is_open(connection: socket.socket) -> bool:
    """Whether the host is still at its other end; nothing is there to be read between two calls."""
    try:
        connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False


def _read_line(connection: socket.socket) -> bytes:
    """What was answered, or b"" where the host has gone."""
    data = bytearray()
    while not data.endswith(b"\n"):
        chunk = connection.recv(READ_BYTES)
        if not chunk:
            return b""
        data += chunk
    return bytes(data)
