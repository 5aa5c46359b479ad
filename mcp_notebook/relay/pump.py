"""Lines between the client's two pipes and one socket, in one thread: whatever is ready is read and written.

What the lines mean is not known here.
"""

import os
import select
import socket
import stat
import time
from collections import deque

READ_BYTES = 1 << 16
"""Four times as much is a mapping of its own for each read, which takes ten times as long."""
PENDING_BYTES = 1 << 20
"""With this much unsent to one side, nothing more is read from the other."""
START_FOR_NOBODY_S = 10.0
"""A daemon that is not there yet gets so long to be told what the client sent before it went."""
DRAIN_WITHIN_S = 0.5
"""After the client's end the daemon may still answer for so long."""


class ClientGone(Exception):
    """The client has closed its side, and all that it sent is done with."""


class Pump:
    """Waits in ``turn`` only. What is written waits for room by itself."""

    def __init__(self) -> None:
        self.lines: deque[bytes] = deque()
        """What the client has sent and nobody has taken."""
        self.answers: list[bytes] = []
        """What the daemon has sent."""
        self.client_ended = False
        self.broken = False
        """The client does not read what we write."""
        self.connected = False
        """There is a socket; at the daemon's end it is still there, for ``disconnect`` to close."""
        self.daemon_ended = False
        self.sendable = False
        self.input_is_file = stat.S_ISREG(os.fstat(0).st_mode)
        self._socket: socket.socket | None = None
        self._poll = select.poll()
        self._watched: dict[int, int] = {}
        self._watched_idle: object = None
        """What decided on it, where nothing waited: mostly nothing does, and it is as it was."""
        self._client, self._daemon = Splitter(), Splitter()
        self._to_client, self._to_daemon = bytearray(), bytearray()
        self._stdout_blocked = _unblock(1)
        self._end_by: float | None = None

    def connect(self, connection: socket.socket) -> None:
        """Pump to and from this one."""
        self._socket, self._daemon = connection, Splitter()
        self.connected = self.sendable = True
        self.daemon_ended = False

    def disconnect(self) -> None:
        """Close the socket, and forget what it did not take."""
        if self._socket is not None:
            self._watch(self._socket.fileno(), None)
            self._socket.close()
        self._socket = None
        self.connected = self.sendable = self.daemon_ended = False
        self.answers.clear()
        self._to_daemon.clear()

    def close(self) -> None:
        """Leave the client's descriptors as they were."""
        self.disconnect()
        if self._stdout_blocked:
            os.set_blocking(1, True)

    def turn(self, seconds: float | None = None) -> None:
        """Wait until something can be read or written, or for so long, and do that.

        Raises:
            ClientGone: its last moment is over.
        """
        if self._end_by is not None:
            left = self._end_by - time.monotonic()
            if left <= 0:
                raise ClientGone
            seconds = left if seconds is None else min(left, seconds)
        self._watch_all()
        for descriptor, event in self._poll.poll(None if seconds is None else seconds * 1000):
            if descriptor == 0:
                self._read_client()
            elif descriptor == 1:
                self._flush_to_client(event)
            else:
                if event & select.POLLOUT:
                    self._flush_to_daemon()
                if event & ~select.POLLOUT:
                    self._read_daemon()

    @property
    def finishing(self) -> bool:
        """The client has ended, and what it was sent is still to be read by it."""
        return self.client_ended and bool(self._to_client)

    def to_client(self, lines: list[bytes]) -> None:
        """Send these lines, as soon as the client takes them."""
        for line in lines:
            self._to_client += line
            self._to_client += b"\n"
        self._flush_to_client()

    def to_daemon(self, line: bytes) -> None:
        """Send a line, as soon as the daemon takes it."""
        self._to_daemon += line
        self._to_daemon += b"\n"
        self._flush_to_daemon()

    def leave(self, waiting: bool) -> None:
        """The client has ended and nothing more is to be sent; ``waiting`` says whether answers are to come.

        The daemon gets a moment for them; those to a file of requests may take as long as they do.

        Raises:
            ClientGone: now is the time.
        """
        if self.connected and self._to_daemon:
            return
        waiting = waiting and (self.connected or self.input_is_file)
        if self.broken or not (waiting or self._to_client):
            raise ClientGone
        if self._socket is not None and self.sendable and not self.input_is_file:
            self.sendable = False
            self._end_by = time.monotonic() + DRAIN_WITHIN_S
            try:
                self._socket.shutdown(socket.SHUT_WR)
            except OSError:
                raise ClientGone from None

    def _watch_all(self) -> None:
        idle = not (self.lines or self._to_client or self._to_daemon)
        state = (self.client_ended, self.broken, self.daemon_ended, self._socket)
        if idle and state == self._watched_idle:
            return
        self._watched_idle = state if idle else None
        waiting = sum(map(len, self.lines)) + len(self._to_daemon)
        self._watch(0, select.POLLIN if not self.client_ended and waiting < PENDING_BYTES else None)
        self._watch(1, None if self.broken else select.POLLOUT if self._to_client else 0)
        if self._socket is not None:
            wanted = select.POLLIN if len(self._to_client) < PENDING_BYTES and not self.daemon_ended else 0
            wanted |= select.POLLOUT if self._to_daemon else 0
            self._watch(self._socket.fileno(), wanted or None)

    def _watch(self, descriptor: int, events: int | None) -> None:
        if self._watched.get(descriptor) == events:
            return
        if events is None:
            self._poll.unregister(descriptor)
            del self._watched[descriptor]
        else:
            self._poll.register(descriptor, events)
            self._watched[descriptor] = events

    def _read_client(self) -> None:
        try:
            chunk = os.read(0, READ_BYTES)
        except BlockingIOError:  # stdin shares its open file with stdout
            return
        except OSError:  # the peer of a socket was killed, or the terminal is gone
            chunk = b""
        if not chunk:
            self.client_ended = True
            if not self.input_is_file:
                self._end_by = time.monotonic() + START_FOR_NOBODY_S
        self.lines += [line for line in self._client.feed(chunk or b"\n") if line.strip()]

    def _read_daemon(self) -> None:
        assert self._socket is not None
        try:
            chunk = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if chunk:
            self.answers += self._daemon.feed(chunk)
        else:
            self.daemon_ended = True

    def _flush_to_daemon(self) -> None:
        try:
            while self._to_daemon and self._socket is not None:
                del self._to_daemon[: self._socket.send(self._to_daemon)]
        except BlockingIOError:
            pass
        except OSError:  # it has ended; what it said last is still to be read
            self._to_daemon.clear()
            self.sendable = False

    def _flush_to_client(self, event: int = 0) -> None:
        try:
            while self._to_client and not self.broken:
                del self._to_client[: os.write(1, self._to_client)]
        except BlockingIOError:
            return
        except OSError:
            self.broken = True
        if self.broken or event & (select.POLLERR | select.POLLHUP):
            self.broken = self.client_ended = True
            self._to_client.clear()
            self._end_by = time.monotonic() + DRAIN_WITHIN_S


class Splitter:
    """Bytes in, whole lines out."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes, without their newlines."""
        first, *others = chunk.split(b"\n")
        self._parts.append(first)
        if not others:
            return []
        lines = [b"".join(self._parts), *others]
        self._parts = [lines.pop()]
        return lines


def _unblock(descriptor: int) -> bool:
    """Make writing not wait; False where it must stay: a terminal shares its open file with the shell."""
    mode = os.fstat(descriptor).st_mode
    if not os.get_blocking(descriptor) or not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        return False
    os.set_blocking(descriptor, False)
    return True
