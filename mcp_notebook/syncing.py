"""What is done for a session's journal while others work: on the disk soon after it changed, rewritten when it is long.

A process that is killed loses nothing of what it has written; a machine that crashes loses what is not on the disk.
So this is for the crash of a machine, and no cell waits for it. See docs/decisions/0013-when-the-journal-is-synced.md.
"""

import logging
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread

from mcp_notebook.journal import Compaction, Journal, directory_to_disk, to_disk

SYNC_AFTER_S = 0.5
"""At most so much of the latest is lost when the machine crashes, and the time that the disk takes.

All journals of a server are synced at the same moments, in one thread.
"""

logger = logging.getLogger(__name__)


@dataclass
class File:
    """One that is to be on the disk: its descriptor, which is closed then, and the directory if that must be too."""

    descriptor: int
    directory: Path | None
    failed: str | None = None

    def to_disk(self) -> None:
        """Takes as long as the disk does."""
        try:
            to_disk(self.descriptor)
            if self.directory is not None:
                directory_to_disk(self.directory)
        except OSError as exc:
            logger.warning("A journal is not on the disk: %s", exc)
            self.failed = exc.strerror
        finally:
            os.close(self.descriptor)


@dataclass
class Batch:
    """Files whose moment is the same."""

    files: list[File] = field(default_factory=list)
    done: anyio.Event = field(default_factory=anyio.Event)

    async def gather(self) -> None:
        """Wait for the others, then for the disk; also when the caller is cancelled, for the others wait for it."""
        with anyio.CancelScope(shield=True):
            await anyio.lowlevel.checkpoint()
            _gathering.set(None)
            try:
                await anyio.to_thread.run_sync(self._to_disk)
            finally:
                self.done.set()

    def _to_disk(self) -> None:
        for file in self.files:
            file.to_disk()


_gathering: anyio.lowlevel.RunVar[Batch | None] = anyio.lowlevel.RunVar("gathering", default=None)


class Syncing:
    """Of one journal. ``work`` is a task of the session's owner; it ends when the journal is closed."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._changed: anyio.Event | None = None
        self._is_listed = False
        """Whether the directory has its file, also after a crash."""

    def note(self) -> None:
        """Something was appended, or it was closed."""
        if self._changed is not None:
            self._changed.set()

    async def work(self) -> None:
        """Until the journal is closed."""
        self._changed = anyio.Event()
        self._changed.set()
        while self._journal.is_open:
            await self._changed.wait()
            await anyio.sleep_until(math.floor(anyio.current_time() / SYNC_AFTER_S + 1) * SYNC_AFTER_S)
            self._changed = anyio.Event()
            await self._sync()
            if self._journal.is_open and self._journal.is_bloated:
                compaction = self._journal.compaction()
                await anyio.to_thread.run_sync(compaction.write)
                self._replace(compaction)

    def _replace(self, compaction: Compaction) -> None:
        if not self._journal.is_open:
            compaction.discard()
            return
        self._journal.replace(compaction)
        self._is_listed = False
        self.note()

    async def _sync(self) -> None:
        if not self._journal.is_open:
            return
        try:
            descriptor = self._journal.duplicate()
        except OSError as exc:
            self._journal.sync_failed = exc.strerror
            return
        file = File(descriptor, None if self._is_listed else self._journal.path.parent)
        batch = _gathering.get()
        if batch is not None:
            batch.files.append(file)
            await batch.done.wait()
        else:
            batch = Batch([file])
            _gathering.set(batch)
            await batch.gather()
        self._is_listed = self._is_listed or file.failed is None
        self._journal.sync_failed = file.failed
