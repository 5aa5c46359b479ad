"""The calls that are being carried out: the end of the server must not leave one without an answer."""

from collections.abc import Awaitable, Iterator
from contextlib import contextmanager

import anyio

ANSWER_LEAVES_S = 0.05
"""From a call's end to its answer on the wire."""


class Calls:
    """Of all connections of one server."""

    def __init__(self) -> None:
        self._waits: dict[anyio.CancelScope, bool] = {}
        """Calls that wait for a cell, and whether they come again to the next server."""
        self._count = 0
        self._left = anyio.Event()
        self._is_ending = False

    @contextmanager
    def answering(self) -> Iterator[None]:
        """A call is carried out."""
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1
            self._look()

    async def unless_ending(self, wait: Awaitable[bool], *, comes_again: bool) -> bool:
        """What ``wait`` gives, which waits for a cell; False, and early, when the server ends."""
        with anyio.CancelScope() as scope:
            if self._is_ending:
                scope.cancel()
            self._waits[scope] = comes_again
            try:
                return await wait
            finally:
                del self._waits[scope]
                self._look()
        return False

    async def answer_all(self, *, but_those_that_come_again: bool = False) -> None:
        """Let all calls come to their end, without waiting for cells; returns when they have."""
        self._is_ending = not but_those_that_come_again
        for scope, comes_again in self._waits.items():
            if not (comes_again and but_those_that_come_again):
                scope.cancel()
        while self._count > (sum(self._waits.values()) if but_those_that_come_again else 0):
            self._left = anyio.Event()
            await self._left.wait()
        await anyio.sleep(ANSWER_LEAVES_S)

    def _look(self) -> None:
        self._left.set()
