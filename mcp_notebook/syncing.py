"""What is done for a session's journal while others work: on the disk soon after it changed, rewritten when it is long.

A process that is killed loses nothing of what it has written; a machine that crashes loses what is not on the disk.
So this is for the crash of a machine, and no cell waits for it. See docs/decisions/0013-when-the-journal-is-synced.md.
"""

import logging
import os

import anyio
import anyio.to_thread

from mcp_notebook.journal import Compaction, Journal, directory_to_disk, to_disk

SYNC_AFTER_S = 0.5
"""At most so much of the latest is lost when the machine crashes, and the time that the disk takes."""

logger = logging.getLogger(__name__)


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
            await anyio.sleep(SYNC_AFTER_S)
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
        try:
            await anyio.to_thread.run_sync(to_disk, descriptor)
            if not self._is_listed:
                await anyio.to_thread.run_sync(directory_to_disk, self._journal.path.parent)
                self._is_listed = True
            self._journal.sync_failed = None
        except OSError as exc:
            logger.warning("A journal is not on the disk: %s", exc)
            self._journal.sync_failed = exc.strerror
        finally:
            os.close(descriptor)
