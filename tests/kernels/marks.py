"""What a cell tells by opening a file for writing: it is waited for, and nothing is looked at again and again."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from tests.kernels.cells import WITHIN_S


class Mark:
    """A FIFO with a reader, so that whoever opens it for writing does not wait."""

    def __init__(self, reader: int) -> None:
        self._reader = reader

    async def made(self) -> None:
        """Return when it was opened for writing and closed."""
        with anyio.fail_after(2 * WITHIN_S):
            await anyio.wait_readable(self._reader)


@asynccontextmanager
async def marked(path: Path) -> AsyncIterator[Mark]:
    """The mark ``path``, which is not there yet."""
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        yield Mark(reader)
    finally:
        os.close(reader)
