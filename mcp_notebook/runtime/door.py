"""The unix socket of one kernel, on which its code calls the host: in the kernel's own directory, for this user alone.

A connection carries one call after the other. Who closes it while one runs, as an interrupted cell does, ends that.
"""

import asyncio
import json
import logging
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc

from hermes_runtime import wire

BACKLOG = 128
TOO_LONG = "This call has more than {:,} bytes: pass less at once, or write a file and pass its path."

Answer = Callable[[bytes], Awaitable[bytes]]

logger = logging.getLogger(__name__)


def token_of(directory: Path, carrier: str) -> str:
    """The token of the kernel whose files are in ``directory``; made, and told to the kernel, where it has none.

    Blocks; raises OSError.
    """
    place = directory / wire.PLACE
    try:
        told = json.loads(place.read_text())
        return str(told["token"])
    except (OSError, ValueError, KeyError, TypeError):
        token = secrets.token_urlsafe(32)
    new = place.with_suffix(".new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump({"version": wire.VERSION, "carrier": carrier, "token": token}, file)
    new.replace(place)
    return token


async def serve(
    directory: Path,
    answer: Answer,
    longest: int,
    leaving: anyio.Event,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer who connects, until cancelled; lines over ``longest`` bytes are refused.

    Once ``leaving`` is set only what was begun is answered: all else waits for the next server.
    """
    path = directory / wire.SOCKET
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        path.chmod(0o600)
        listening.listen(BACKLOG)
        listening.setblocking(False)
        async with anyio.create_task_group() as tasks:
            connections: set[_Connection] = set()
            server = await asyncio.get_running_loop().create_unix_server(
                lambda: _Connection(tasks, answer, longest, connections), sock=listening
            )
            task_status.started()
            try:
                await leaving.wait()
                server.close()
                path.unlink(missing_ok=True)
                for each in list(connections):
                    each.leave()
                await anyio.sleep_forever()
            finally:
                server.close()
                tasks.cancel_scope.cancel()


class _Connection(asyncio.Protocol):
    """One client; ``tasks`` owns what its calls do."""

    def __init__(
        self, tasks: anyio.abc.TaskGroup, answer: Answer, longest: int, connections: "set[_Connection]"
    ) -> None:
        """It is one of ``connections`` while it is open."""
        self._tasks = tasks
        self._connections = connections
        self._leaving = False
        self._answer = answer
        self._longest = longest
        self._data = bytearray()
        self._passing_over = False
        self._scope: anyio.CancelScope | None = None
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._connections.add(self)

    def leave(self) -> None:
        """Close it, after the answer to what has come; who sends more is told at once that it is not read."""
        self._leaving = True
        with suppress(OSError):
            self._transport.get_extra_info("socket").shutdown(socket.SHUT_RD)

    def eof_received(self) -> bool:
        """Whether it stays open: only for the last answer."""
        return self._leaving and self._scope is not None

    def data_received(self, data: bytes) -> None:
        self._data += data
        if len(self._data) > self._longest or self._passing_over:
            self._pass_over()
        if self._scope is None and b"\n" in data and b"\n" in self._data:
            self._scope = anyio.CancelScope()
            self._tasks.start_soon(self._serve, self._scope)

    def _pass_over(self) -> None:
        """Read a line that is too long to its end, keeping nothing of it: who sends it reads no answer before."""
        _, end, rest = bytes(self._data).partition(b"\n")
        self._passing_over = not end
        self._data[:] = rest
        if end:
            self._transport.write(wire.refusal(TOO_LONG.format(self._longest)) + b"\n")

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self._scope is not None:
            self._scope.cancel()

    async def _serve(self, scope: anyio.CancelScope) -> None:
        with scope:
            while b"\n" in self._data:
                line, _, rest = bytes(self._data).partition(b"\n")
                self._data[:] = rest
                answer = await self._answer(line)
                self._transport.write(answer + b"\n")
        if not scope.cancel_called:
            self._scope = None
        if self._leaving:
            self._transport.close()
