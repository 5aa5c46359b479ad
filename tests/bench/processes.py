"""Processes of this machine as Linux shows them in /proc: children, memory, and whose they are."""

import os
import re
import signal
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
KILL_WITHIN_S = 10.0


def children(pid: int) -> set[int]:
    """All processes below ``pid``, at any depth."""
    found: set[int] = set()
    for task in _entries(PROC / str(pid) / "task"):
        with suppress(OSError):
            for child in map(int, (task / "children").read_text().split()):
                found |= {child} | children(child)
    return found


def command_line(pid: int) -> list[str]:
    """The arguments that a process was started with; none if it is gone."""
    try:
        return (PROC / str(pid) / "cmdline").read_text().split("\0")
    except OSError:
        return []


def rss_bytes(pid: int) -> int:
    """The resident memory of one process."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pss_bytes(pids: Iterable[int]) -> int:
    """The memory of processes, of which a page that n processes share counts as an nth."""
    return sum(_pss_bytes(pid) for pid in pids)


def cpu_ms(pid: int) -> float:
    """The processor time that a process's threads have used, as the scheduler counts it, in milliseconds."""
    tasks = _entries(PROC / str(pid) / "task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


def marked(variable: str, mention: str) -> set[int]:
    """Every other process that has ``variable``, NAME=VALUE, in its environment or ``mention`` in its arguments."""
    return {
        pid
        for pid in _pids()
        if pid != os.getpid() and (_was_given(pid, variable) or mention in "\0".join(command_line(pid)))
    }


def kill_marked(variable: str, mention: str) -> None:
    """End all of ``marked``, and what they started meanwhile."""
    deadline = time.monotonic() + KILL_WITHIN_S
    while (living := marked(variable, mention)) and time.monotonic() < deadline:
        for pid in living:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _pids() -> list[int]:
    return [int(entry.name) for entry in _entries(PROC) if entry.name.isdecimal()]


def _entries(directory: Path) -> list[Path]:
    with suppress(OSError):
        return list(directory.iterdir())
    return []


def _was_given(pid: int, variable: str) -> bool:
    """False as well for a process that has ended, or that is another user's."""
    try:
        return variable.encode() in (PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _pss_bytes(pid: int) -> int:
    match = re.search(r"^Pss:\s+(\d+) kB", (PROC / str(pid) / "smaps_rollup").read_text(), re.MULTILINE)
    return int(match[1]) * 1024 if match else 0
