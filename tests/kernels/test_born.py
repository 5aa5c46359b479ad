"""Which processes are a cell's: those born in it, whoever their parent is now, and nobody else's."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.born import Born, Moment, born_since, by_ps, family, processes, signal_all

LEADER = """
import subprocess, sys
started = []
for line in sys.stdin:
    how = line.strip()
    if how == "orphan":
        print(subprocess.run(["sh", "-c", "sleep 600 >&- & echo $!"], stdout=subprocess.PIPE, text=True).stdout.strip())
    elif how == "tell":
        started[-1].stdin.write(b"\\n")
        started[-1].stdin.flush()
    else:
        command = [sys.executable, "-c", sys.argv[1]] if how == "server" else ["sleep", "600"]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=how == "apart"))
        print(started[-1].pid)
    sys.stdout.flush()
"""
"""Stands for a kernel: starts processes as it is told."""

SERVER = "import subprocess, sys; sys.stdin.readline(); print(subprocess.Popen(['sleep', '600']).pid, flush=True)"
SERVER += "; sys.stdin.readline()"


class Leader:
    """The process, from which ``start`` has others come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self.pid = process.pid

    def start(self, how: str) -> int:
        """Returns the process id.

        ``child``, ``orphan``, ``server``, ``apart`` in a session of its own; ``tell``: the server starts one.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{how}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def leading(*, a_session: bool) -> Iterator[Leader]:
    """It and what it has started, until the end of the block."""
    command = [sys.executable, "-c", LEADER, SERVER]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=a_session
    )
    with process:
        try:
            yield Leader(process)
        finally:
            table = processes()
            mine = {process.pid, *family(process.pid)}
            signal_all([each for each in table.values() if mine & {each.identity.pid, each.session}], signal.SIGKILL)


@pytest.fixture
def leader() -> Iterator[Leader]:
    """A process that leads a session."""
    with leading(a_session=True) as leader:
        yield leader


def pids(found: list[Born]) -> set[int]:
    return {each.identity.pid for each in found}


def test_what_is_born_later_is_found_and_what_is_earlier_is_not(leader: Leader) -> None:
    """Also within one tick of the clock, which every second pair here falls into."""
    for _ in range(20):
        earlier = leader.start("child")
        since = Moment.now()
        later = leader.start("child")
        found = born_since(leader.pid, since)
        assert pids(found) == {later}
        until = Moment.now()
        next_one = leader.start("child")
        assert pids(born_since(leader.pid, since, until)) == {later}
        assert next_one in pids(born_since(leader.pid, since))
        assert earlier not in pids(born_since(leader.pid, since))


def test_an_orphan_is_found_and_a_session_apart_is_not(leader: Leader) -> None:
    """Who has lost its parent is still of the session; who left the session wants to outlive it."""
    since = Moment.now()
    child, orphan, apart = leader.start("child"), leader.start("orphan"), leader.start("apart")
    assert pids(born_since(leader.pid, since)) == {child, orphan}
    assert pids(born_since(leader.pid, since, orphans=True)) == {orphan}
    os.kill(apart, signal.SIGKILL)


def test_what_an_earlier_process_starts_is_its_own(leader: Leader) -> None:
    """A server's worker is not the cell's, although it was born in it; of what a kernel consists of, it is."""
    server = leader.start("server")
    own = family(leader.pid)
    assert own == {leader.pid, server}
    since = Moment.now()
    worker, child = leader.start("tell"), leader.start("child")
    assert pids(born_since(leader.pid, since)) == {child}
    assert pids(born_since(leader.pid, since, own=own)) == {worker, child}
    assert pids(born_since(leader.pid, since, own=own, orphans=True)) == set()


def test_a_process_that_leads_no_session_has_none_of_its_own() -> None:
    """It shares its session with strangers, who are never touched."""
    with leading(a_session=False) as leader:
        since = Moment.now()
        leader.start("child")
        assert born_since(leader.pid, since) == []
        assert born_since(2**22 - 1, since) == []


def test_ps_tells_the_same_as_proc(leader: Leader) -> None:
    """As macOS has it, to the second."""
    child = leader.start("child")
    told, read = by_ps(), processes()
    assert {leader.pid, child, os.getpid()} <= told.keys() & read.keys()
    for pid in (leader.pid, child):
        assert (told[pid].parent, told[pid].session) == (read[pid].parent, read[pid].session)
        assert told[pid].name == read[pid].name
        booted = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
        assert abs(told[pid].ticks - booted - read[pid].ticks / os.sysconf("SC_CLK_TCK")) < 3


def _born(pid: int, ticks: int) -> Born:
    return Born(ProcessId("boot", pid, str(ticks)), 1, 1, ticks, "sleep")


@pytest.mark.parametrize(
    ("moment", "process", "is_before"),
    [
        (Moment(100, 50), _born(7, 101), True),
        (Moment(100, 50), _born(90, 99), False),
        (Moment(100, 50), _born(51, 100), True),
        (Moment(100, 50), _born(50, 100), False),
        (Moment(100, 2**22 - 1), _born(301, 100), True),
        (Moment(100, 301), _born(2**22 - 1, 100), False),
        (Moment(100), _born(7, 100), True),
    ],
)
def test_within_a_tick_the_process_id_decides(moment: Moment, process: Born, is_before: bool) -> None:
    """They are given out in order, and begin anew at the end; where the last one is not known, it counts as later."""
    assert moment.is_before(process) is is_before
    assert Moment.from_data(moment.as_data()) == moment


def test_a_name_cannot_write_into_an_answer() -> None:
    """It is chosen by whoever starts the process."""
    assert str(Born(ProcessId("boot", 7, "1"), 1, 1, 1, "a\x1b[2J\nb")) == "a?[2J?b (7)"
