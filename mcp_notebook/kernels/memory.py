"""What a process and its children have in memory now.

On Linux this reads a few small files of ``/proc``, see https://man7.org/linux/man-pages/man5/proc_pid_statm.5.html;
elsewhere psutil tells.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

PAGE = os.sysconf("SC_PAGE_SIZE")
HAS_PROC: bool = Path("/proc/self/statm").exists()
_RESIDENT = 1
"""A field of ``/proc/PID/statm``, in pages."""


def family(pid: int) -> list[int]:
    """The process and those that it started, and so on; not those whose own parent has ended."""
    if not HAS_PROC:
        with suppress(psutil.Error):
            return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
        return [pid]
    found = [pid]
    for each in found:  # which grows
        found += _children(each)
    return found


def resident_bytes(pids: Sequence[int]) -> int:
    """What these have in memory together. What several share is counted once for each, so this may be too much."""
    return sum(map(_resident, pids))


def shared_out_bytes(pids: Sequence[int]) -> int:
    """The same, but what several share is shared out among them: slow, and true. Linux only, elsewhere as above."""
    return sum(_proportional(pid) or _resident(pid) for pid in pids)


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for thread in os.scandir(f"/proc/{pid}/task"):
            with suppress(OSError, ValueError):
                yield from map(int, (Path(thread.path) / "children").read_bytes().split())


def _resident(pid: int) -> int:
    try:
        if HAS_PROC:
            return int(Path(f"/proc/{pid}/statm").read_bytes().split()[_RESIDENT]) * PAGE
        return int(psutil.Process(pid).memory_info().rss)
    except (OSError, psutil.Error, IndexError, ValueError):  # it has ended
        return 0


def _proportional(pid: int) -> int:
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    except (OSError, IndexError, ValueError):
        return 0
    return 0
