"""The memory that a kernel and its children may have: a warning, the end, and nothing while nothing runs."""

import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from mcp_notebook.kernels.memory import family
from mcp_notebook.limits import Limits
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.daemons import wait_until
from tests.live import WITHIN_S, finished, opened, over, ran, soon, text_of, until_printed

pytestmark = pytest.mark.anyio

LIMIT_MB = 300
NEAR = 205_000_000
"""Bytes that bring a kernel, which has 45 MB itself, between 80 % of it and all of it."""
WAIT = "import os\nwhile not os.path.exists({!r}): pass"
FILL = f"hoard = []\nwhile True: hoard.append(b'x' * {4 << 20})"


@pytest.fixture(scope="module")
async def limited(
    settings: Settings, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Sessions]:
    """Sessions of a server that has the limit."""
    own = replace(settings, home=tmp_path_factory.mktemp("state"), limits=Limits(memory_mb=LIMIT_MB))
    async with Sessions(own) as sessions:
        yield sessions


@pytest.fixture
async def session(limited: Sessions) -> AsyncIterator[Session]:
    async with opened(limited) as session:
        yield session


async def test_near_the_limit_the_cell_says_so_once(session: Session, tmp_path: Path) -> None:
    """While it runs, and not again in the next one; the limit is not passed."""
    gate = tmp_path / "gate"
    near = f"near = b'x' * {NEAR}\nprint('begun', flush=True)"
    cell = await session.execute_cell(f"{near}\n{WAIT.format(str(gate))}")
    await until_printed(cell, "80 %")
    assert "more than 80 % of its limit of 300 MB ([limits] memory_mb)" in text_of(cell)
    gate.touch()
    assert (await finished(cell)).status == "ok"
    assert text_of(cell).count("80 %") == 1
    assert session.state == "idle"


async def test_above_the_limit_the_kernel_is_stopped(session: Session) -> None:
    """The certificate says by whom and why; rebuild brings back what was before."""
    await ran(session, "kept = 1")
    cell = await ran(session, FILL)
    assert cell.status == "dead"
    assert f"while cell {cell.cell_id} ran, because it had " in cell.message
    assert "MB in memory and the limit is 300 MB ([limits] memory_mb); its variables are lost." in cell.message
    assert "the limit is 300 MB" in text_of(cell)
    assert str(session.death) == cell.message
    await over(await soon(session.rebuild()))
    assert text_of(await ran(session, "kept")) == "1"


async def test_other_sessions_do_not_wait_for_a_look(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of the kernel's processes are read in a thread, and not in that of the event loop."""
    readers, has_read = set(), threading.Event()

    def reading(pid: int) -> list[int]:
        readers.add(threading.get_ident())
        has_read.set()
        return family(pid)

    monkeypatch.setattr("mcp_notebook.memory_limit.family", reading)
    assert (await ran(session, "x = 1")).status == "ok"
    assert await anyio.to_thread.run_sync(has_read.wait, WITHIN_S)
    assert threading.get_ident() not in readers


async def test_children_count_and_end_with_it(session: Session) -> None:
    """A kernel that is small itself, and whose child is not."""
    child = f"x = bytearray({320 << 20}); import time; time.sleep(600)"
    begin = f"import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', {child!r}])"
    source = f"{begin}\nprint(child.pid, flush=True)\nchild.wait()"
    cell = await ran(session, source)
    assert cell.status == "dead"
    assert "because it and 1 child process had " in cell.message
    pid = int(text_of(cell).split()[0])
    await anyio.to_thread.run_sync(wait_until, lambda: is_gone(pid))


async def test_what_processes_share_counts_once(session: Session) -> None:
    """Four forks of a kernel with 100 MB pass no limit of 300 MB."""
    source = f"""
import multiprocessing, os
shared = bytearray({100 << 20})
pool = multiprocessing.get_context("fork").Pool(4)
pool.map(len, [b"x"] * 8)
import time
time.sleep(0.5)
pool.terminate()
"""
    cell = await ran(session, source)
    assert cell.status == "ok", cell.message
    assert (await ran(session, "len(shared)")).status == "ok"


async def test_memory_that_is_left_behind_ends_the_kernel_after_the_cell(limited: Sessions, session: Session) -> None:
    """Also of a cell that is over before anybody has looked."""
    told = anyio.Event()
    limited.listeners.append(lambda _handle, _cell: told.set() if session.state == "dead" else None)
    await ran(session, f"hoard = b'x' * {400 << 20}")
    await soon(told.wait())
    limited.listeners.pop()
    assert "the limit is 300 MB ([limits] memory_mb); its variables are lost." in str(session.death)


async def test_a_kernel_that_ends_itself_at_that_moment_is_told_as_such(session: Session) -> None:
    """Only a kernel that was killed can have been stopped by us."""
    session._deaths.stop(", because of the test")
    cell = await ran(session, "import os; os._exit(4)")
    assert "exit code 4 while cell" in cell.message
    assert "because of the test" not in cell.message


def is_gone(pid: int) -> bool:
    """Also where nobody has waited for it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
