"""What is done for a journal in the background: on the disk soon after it changed, by no thread that serves anybody."""

import os
import threading
from pathlib import Path

import anyio
import pytest

from mcp_notebook import journal, syncing
from mcp_notebook.journal import Journal, read
from mcp_notebook.ledger import Ledger
from mcp_notebook.notebook import Notebook
from mcp_notebook.state import JOURNAL
from mcp_notebook.syncing import Syncing

pytestmark = pytest.mark.anyio
WITHIN_S = 20


class Disk:
    """What is asked of the disk, which does it."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []
        """The file, and the thread that waited for it."""
        self.refuses = False
        self.done = anyio.Event()

    def write(self, descriptor: int) -> None:
        os.fsync(descriptor)
        self.asked.append((os.fstat(descriptor).st_ino, threading.get_ident()))
        anyio.from_thread.run_sync(self._tell)
        if self.refuses:
            raise OSError(5, os.strerror(5))

    def _tell(self) -> None:
        self.done.set()
        self.done = anyio.Event()

    async def waited(self) -> None:
        with anyio.fail_after(WITHIN_S):
            await self.done.wait()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(syncing, "to_disk", disk.write)
    return disk


async def test_much_that_is_put_is_synced_together(tmp_path: Path, disk: Disk) -> None:
    """Soon after, once, in another thread; and again when something follows."""
    path = tmp_path / "journal.jsonl"
    kept = Journal(path)
    keeping = Syncing(kept)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeping.work)
        await disk.waited()
        for number in range(1000):
            kept.put({"n": number})
            keeping.note()
        await disk.waited()
        kept.put({"n": 1000})
        keeping.note()
        await disk.waited()
        kept.close()
        keeping.note()
    assert [inode for inode, _ in disk.asked] == [path.stat().st_ino] * 3
    assert threading.get_ident() not in {thread for _, thread in disk.asked}


async def test_a_long_journal_is_rewritten(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """While more is put, of which nothing is lost; the new file is on the disk as well."""
    monkeypatch.setattr(journal, "COMPACT_BYTES", 1000)
    path = tmp_path / "journal.jsonl"
    kept = Journal(path)
    before = path.stat().st_ino
    keeping = Syncing(kept)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeping.work)
        number = 0
        with anyio.fail_after(WITHIN_S):
            while path.stat().st_ino == before or before in {disk.asked[-1][0]}:
                number += 1
                kept.put({"n": number, f"k{number % 10}": "x" * 100})
                keeping.note()
                await anyio.sleep(0.001)
        kept.close()
        keeping.note()
    found = read(path)
    assert (found.entries["n"], len(found.entries), found.damaged) == (number, 12, 0)
    assert path.stat().st_ino == disk.asked[-1][0]


async def test_a_disk_that_fails_is_told(tmp_path: Path, disk: Disk) -> None:
    """Until it works again."""
    ledger = Ledger(tmp_path, Notebook())
    told = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger.keep_synced)
        for number, refuses in enumerate((True, True, False, False)):
            disk.refuses = refuses
            ledger.lineage(number)
            await disk.waited()
            told.append(ledger.take_failure())  # of what was asked before this one
        ledger.close()
    assert told == [None, os.strerror(5), None, None]
    assert ledger.failed is None
    assert read(tmp_path / JOURNAL).entries["lineage"] == 3


async def test_all_journals_are_synced_by_one_thread_at_a_time(tmp_path: Path, disk: Disk) -> None:
    """Those that have changed, also when who waits for it is cancelled meanwhile."""
    kept = [Journal(tmp_path / f"{number}.jsonl") for number in range(20)]
    keeping = [Syncing(each) for each in kept]
    inodes = {each.path.stat().st_ino for each in kept}
    async with anyio.create_task_group() as tasks:
        for each in keeping:
            tasks.start_soon(each.work)
        await disk.waited()
        tasks.cancel_scope.cancel()
    assert {inode for inode, _ in disk.asked} == inodes
    assert len({thread for _, thread in disk.asked}) == 1
    for made in kept:
        made.close()
