"""What a command writes, read from its pipe while it runs, of which head and tail are kept."""

import codecs
import os
from collections import deque

import anyio

READ_BYTES = 1 << 16
HEAD_SHARE = 0.4


class Capture:
    """Text of any length in bounded memory; ``limit`` in characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head: list[str] = []
        self._head_chars = 0
        self._tail: deque[str] = deque()
        self._tail_chars = 0
        self._chars = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    async def read(self, descriptor: int) -> None:
        """Take in what is written, until nobody can write any more; ``descriptor`` does not block."""
        while True:
            await anyio.wait_readable(descriptor)
            if not self.take(descriptor):
                return

    def take(self, descriptor: int) -> bool:
        """Take in what is there; False at the end. A descendant that holds the pipe open is not waited for."""
        while True:
            try:
                data = os.read(descriptor, READ_BYTES)
            except BlockingIOError:
                return True
            self.add(data)
            if not data:
                return False

    def add(self, data: bytes) -> None:
        """Take in what was read; b"" is the end."""
        self._add(self._decoder.decode(data, final=not data))

    def text(self, suffix: str = "") -> str:
        """All of it, or head and tail and how much is left out between them."""
        if self._chars <= self._limit:
            return "".join(self._head) + "".join(self._tail) + suffix
        head = int(self._limit * HEAD_SHARE)
        tail = self._limit - head
        kept = "".join(self._head)[:head], ("".join(self._head) + "".join(self._tail))[-tail:]
        left_out = f"[OUTPUT TRUNCATED - {self._chars - self._limit:,} chars omitted out of {self._chars:,} total]"
        return f"{kept[0]}\n\n... {left_out} ...\n\n{kept[1]}{suffix}"

    def _add(self, text: str) -> None:
        self._chars += len(text)
        if self._head_chars < self._limit:
            room = self._limit - self._head_chars
            self._head.append(text[:room])
            self._head_chars += len(self._head[-1])
            text = text[room:]
        if text:
            self._tail.append(text)
            self._tail_chars += len(text)
            while self._tail_chars - len(self._tail[0]) > self._limit:
                self._tail_chars -= len(self._tail.popleft())
