"""One client on this process's stdin and stdout.

Not the SDK's ``stdio_server``, which leaves unreadable lines unanswered and passes every message
through two worker threads: here the server reads and writes the descriptors itself, as the
``ReadStream`` and ``WriteStream`` of https://py.sdk.modelcontextprotocol.io/. While it is served,
descriptor 0 is the null device and descriptor 1 is stderr, so that nothing else of the process, nor
a child, writes into the protocol.
"""

import fcntl
import logging
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.to_thread
from mcp.server import Server
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from mcp_notebook.framing import LineSplitter, NotAMessage, decode, encode
from mcp_notebook.server import arriving, initialization
from mcp_notebook.sessions import Connection

READ_BYTES = 1 << 16
"""Four times as much is a mapping of its own for each read, which takes ten times as long."""
PENDING_BYTES = 1 << 20
"""With this much unread by the client, whoever sends more waits."""
FLUSH_WITHIN_S = 0.5

logger = logging.getLogger(__name__)


async def serve_stdio(server: Server[Any], connection: Connection) -> None:
    """Serve one client until its end of input, or until it stops reading what we write.

    ``connection.closed`` is True before the server sees the end: calls that this cancels leave
    their cells running.
    """
    with private_stdio() as (stdin, stdout):
        await serve_descriptors(server, connection, stdin, stdout)


async def serve_descriptors(
    server: Server[Any], connection: Connection, reading: int, writing: int, first: bytes = b""
) -> None:
    """The same on descriptors of the caller's, which may be one socket; ``first`` was read from it already."""
    outgoing = Outgoing(writing, connection)
    incoming = Incoming(reading, connection, outgoing, first)
    connection.say_last = outgoing.end_with
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outgoing.drain, tasks.cancel_scope)
            with arriving(connection):
                await server.run(incoming, outgoing, initialization(server))
            tasks.cancel_scope.cancel()
    finally:
        connection.closed = True


@contextmanager
def private_stdio() -> Iterator[tuple[int, int]]:
    """Descriptors of the real stdin and stdout that nobody else has; 0 and 1 are put back at the end."""
    stdin, stdout = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3) for fd in (0, 1))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    try:
        yield stdin, stdout
    finally:
        os.dup2(stdin, 0)
        os.dup2(stdout, 1)
        os.close(stdin)
        os.close(stdout)


class Incoming:
    """What the client sends. A line that is no message is answered and left out."""

    def __init__(self, fd: int, connection: Connection, outgoing: "Outgoing", first: bytes = b"") -> None:
        self._fd = fd
        self._connection = connection
        self._outgoing = outgoing
        self._splitter = LineSplitter()
        self._lines: deque[bytes] = deque(self._splitter.feed(first) if first else ())
        self._ended = False
        self._pollable = True

    async def receive(self) -> SessionMessage | Exception:
        """The next message.

        Raises:
            anyio.EndOfStream: the client closed its side.
        """
        while True:
            while not self._lines or self._connection.paused:
                if self._connection.paused:
                    await anyio.sleep_forever()
                if self._ended:
                    raise anyio.EndOfStream
                self._take(await self._read())
            line = self._lines.popleft()
            if not line.strip():
                continue
            try:
                message = decode(line)
                self._note(message)
                return SessionMessage(message)
            except NotAMessage as refused:
                logger.warning("A line of %d bytes was refused: %s", len(line), refused)
                with suppress(anyio.BrokenResourceError):  # it has left
                    await self._outgoing.send(SessionMessage(refused.answer))

    def _note(self, message: JSONRPCMessage) -> None:
        if isinstance(message, JSONRPCRequest):
            self._connection.begun.add(message.id)
        elif isinstance(message, JSONRPCNotification) and message.method == "notifications/cancelled":
            self._connection.begun.discard((message.params or {}).get("requestId"))  # it gets no answer

    def _take(self, chunk: bytes) -> None:
        if not chunk:
            self._ended = True
            self._connection.closed = True
        self._lines.extend(self._splitter.feed(chunk or b"\n"))

    async def _read(self) -> bytes:
        """What there is, or b"" at the end."""
        if self._pollable:
            try:
                await anyio.wait_readable(self._fd)
            except OSError:  # a regular file cannot be waited for
                self._pollable = False
        try:
            if self._pollable:
                return os.read(self._fd, READ_BYTES)
            return await anyio.to_thread.run_sync(os.read, self._fd, READ_BYTES, abandon_on_cancel=True)
        except BlockingIOError:  # stdin shares its open file with stdout, and nothing was there after all
            return await self._read()
        except OSError:  # the peer of a socket was killed, or the terminal is gone
            return b""

    async def aclose(self) -> None:
        """Nothing more is read."""
        self._ended = True
        self._lines.clear()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class Outgoing:
    """What the client is sent. Written at once; what the pipe does not take waits its turn.

    A message counts as sent when it is queued, so that a cancelled sender never leaves half a line.
    """

    def __init__(self, fd: int, connection: Connection) -> None:
        self._fd = fd
        self._connection = connection
        self._pending = bytearray()
        self._more = anyio.Event()
        self._less = anyio.Event()
        self._closed = False
        self._said_last = False
        self._was_blocking = os.get_blocking(fd)
        mode = os.fstat(fd).st_mode
        # A terminal shares its open file with the shell: it stays as it is.
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            os.set_blocking(fd, False)

    async def send(self, item: SessionMessage) -> None:
        """Queue a message; waits only while the client is far behind.

        Raises:
            anyio.BrokenResourceError: the client no longer reads.
        """
        if self._closed:
            raise anyio.BrokenResourceError
        if self._said_last:  # the SDK answers what was cut off with an error; it is no answer of ours
            return
        self.put(encode(item.message))
        if isinstance(item.message, JSONRPCResponse | JSONRPCError):
            self._connection.begun.discard(item.message.id)
        while len(self._pending) > PENDING_BYTES and not self._closed:
            await self._less.wait()

    def put(self, line: bytes) -> None:
        """Queue a line, and write what the client takes at once."""
        self._pending += line
        if not self._write():
            self._more.set()

    def end_with(self, line: bytes) -> None:
        """Queue a last line: what is sent afterwards is dropped."""
        self._said_last = True
        self.put(line)

    async def drain(self, scope: anyio.CancelScope) -> None:
        """Write what is pending whenever the client makes room; cancels ``scope`` when it is gone."""
        while not self._closed:
            await self._more.wait()
            self._more = anyio.Event()
            while not self._write():
                await anyio.wait_writable(self._fd)
        scope.cancel()

    def _write(self) -> bool:
        """Whether nothing is left to write."""
        try:
            while self._pending and not self._closed:
                del self._pending[: os.write(self._fd, self._pending)]
        except BlockingIOError:
            pass
        except OSError as exc:
            logger.info("The client no longer reads (%s).", exc)
            self._connection.closed = True
            self._closed = True
            self._more.set()
        self._less.set()
        self._less = anyio.Event()
        return self._closed or not self._pending

    async def aclose(self) -> None:
        """Give the client a moment to read the rest."""
        with anyio.move_on_after(FLUSH_WITHIN_S, shield=True):
            while self._pending and not self._closed:
                await self._less.wait()
        self._closed = True
        os.set_blocking(self._fd, self._was_blocking)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
