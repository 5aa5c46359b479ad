"""A kernel's streams and what is sent of them: child processes' output, flushes, texts that UTF-8 does not have.

Sent into a Python kernel as source together with ``kernel``, which calls it; it changes ipykernel's ``OutStream``
objects in place. Works with ipykernel 6.29 and newer on Python 3.9 and newer.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import select
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

PIPE_DRAIN_S = 0.1
"""How long the end of a cell takes in what its child processes write; a background one may never stop."""
PIPE_BYTES = 1 << 16
PIECE_CHARS = 1_000_000
"""Of text in one message; a stream that is flushed five times a second can have a hundred times as much."""


class ChildOutput:
    """What child processes write to a file descriptor of the kernel, copied to its stream and to the log.

    ipykernel's own thread may hold text that is neither in the pipe nor in the stream any more; ours reads
    under a lock, so that the end of a cell knows that it has everything.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.lock = threading.Lock()
        self.decoder = codecs.getincrementaldecoder("utf-8")("replace")
        stream._should_watch = False
        os.write(stream._original_stdstream_fd, b"\0")  # wakes ipykernel's thread, which then ends
        stream.watch_fd_thread.join()
        stream._should_watch = True
        stream.watch_fd_thread = threading.Thread(target=self.watch, name="child output", daemon=True)
        stream.watch_fd_thread.start()

    def watch(self) -> None:
        # ipykernel 6 gives a thread the cell that starts it; this one's text belongs to the running cell.
        for parents in ("_thread_to_parent_header", "_thread_to_parent"):
            getattr(self.stream, parents, {}).pop(threading.get_ident(), None)
        poll = select.poll()
        poll.register(self.stream._fid, select.POLLIN)
        while self.stream._should_watch and poll.poll()[0][1] == select.POLLIN:
            with self.lock:
                self.copy()

    def copy(self) -> None:
        if _readable(self.stream._fid):
            data = os.read(self.stream._fid, PIPE_BYTES)
            self.stream.write(self.decoder.decode(data))
            os.write(self.stream._original_stdstream_copy, data)

    def drain(self) -> None:
        until = time.monotonic() + PIPE_DRAIN_S
        with self.lock:
            while _readable(self.stream._fid) and time.monotonic() < until:
                self.copy()
        if self.stream._flush_pending:
            self.stream.flush()


def pack_any_text(session: Any) -> None:
    """Show lone surrogates, which UTF-8 does not have, as ``\\ud83d``: what holds one, a reply even, was lost."""
    pack = session.pack

    def packed(message: Any) -> bytes:
        try:
            data: bytes = pack(message)
            data.decode()
        except UnicodeError:
            text = json.dumps(message, default=str, ensure_ascii=False)
            return re.sub("[\ud800-\udfff]", lambda found: f"\\\\u{ord(found[0]):04x}", text).encode()
        return data

    session.pack = packed


def flush_only_what_is_pending(stream: Any) -> None:
    """Spare a stream's flush its round trip to the IOPub thread when nothing was written.

    A flush that is being sent counts as pending: the mark is set before the pending flag is cleared.
    """
    flush, flush_now = stream.flush, stream._flush
    stream._mcp_notebook_flushing = False

    def marked_flush() -> None:
        stream._mcp_notebook_flushing = True
        try:
            flush_now()
        finally:
            stream._mcp_notebook_flushing = False

    def flush_if_pending() -> None:
        if stream._flush_pending or stream._mcp_notebook_flushing or os.getpid() != stream._master_pid:
            flush()

    stream._flush, stream.flush = marked_flush, flush_if_pending


def send_in_pieces(stream: Any) -> None:
    """Make many messages of much text: readers take them one by one, and the ring has room for them."""
    flush_buffers = getattr(stream, "_flush_buffers", None)
    if flush_buffers is None:
        return

    def pieces() -> Iterator[tuple[Any, str]]:
        for parent, data in flush_buffers():
            for start in range(0, len(data), PIECE_CHARS):
                yield parent, data[start : start + PIECE_CHARS]

    stream._flush_buffers = pieces


def keep_usable(own: dict[str, Any]) -> None:
    """After a cell that closed a stream, or put one in its place that fails: the flush before the reply must not."""
    for name, stream in own.items():
        if getattr(sys, name, None) is stream:
            continue
        try:
            getattr(sys, name).flush()
        except Exception as exc:
            setattr(sys, name, stream)
            print(f"[mcp-notebook] sys.{name} is the kernel's own again: {exc}", file=stream)


def _readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(0) == [(fd, select.POLLIN)]
