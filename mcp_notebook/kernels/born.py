"""Which processes of a kernel were born in a cell: those of its process session that began after the cell did.

A start time is not finer than the clock's tick, so the process id that was given out last decides within one. Parent
links alone would not do: who loses its parent gets another. Linux has it all in ``/proc``, see
https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; macOS tells it with ``ps``, to the second.
"""

import calendar
import contextlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from mcp_notebook.identity import ProcessId, boot_id

_STATE, _PARENT, _SESSION, _STARTED = 0, 1, 3, 19
"""Fields of ``/proc/PID/stat``, counted after the name."""
_MOST_PIDS = 1 << 22
_GONE = ("Z", "X")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PS = ("ps", "-axo", "pid=,ppid=,stat=,lstart=,comm=")
_PS_LINE = re.compile(r"\s*(\d+)\s+(\d+)\s+(\S+)\s+(\w{3} +\w{3} +\d+ [\d:]{8} +\d{4})\s+(.*)")


@cache
def _load() -> int:
    """A descriptor of ``/proc/loadavg``, whose last number is the process id that was given out last."""
    return os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)


def _latest_pid() -> int:
    """0 where the system does not tell."""
    try:
        return int(os.pread(_load(), 100, 0).split()[-1])
    except (OSError, ValueError, IndexError):
        return 0


@dataclass(frozen=True)
class Moment:
    """A moment of this boot that tells who was born before it."""

    ticks: int
    """As start times are counted."""
    latest: int = 0
    """The process id that was given out last; 0 where it is not known."""

    @classmethod
    def now(cls) -> "Moment":
        """Costs microseconds."""
        if sys.platform == "darwin":
            return cls(int(time.time()))
        return cls(int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS_PER_S), _latest_pid())

    @classmethod
    def from_data(cls, data: Mapping[str, Any] | None) -> "Moment | None":
        """What ``as_data`` gave."""
        return None if data is None else cls(int(data["ticks"]), int(data["latest"]))

    def as_data(self) -> dict[str, Any]:
        """As JSON."""
        return {"ticks": self.ticks, "latest": self.latest}

    def is_before(self, born: "Born") -> bool:
        """Whether it was born after this moment; within the same tick, if that cannot be told, yes."""
        if born.ticks != self.ticks or not self.latest:
            return born.ticks >= self.ticks
        return 0 < (born.identity.pid - self.latest) % _MOST_PIDS < _MOST_PIDS // 2


@dataclass(frozen=True)
class Born:
    """A process."""

    identity: ProcessId
    parent: int
    session: int
    ticks: int
    name: str

    def __str__(self) -> str:
        return f"{''.join(each if each.isprintable() else '?' for each in self.name)} ({self.identity.pid})"


Table = dict[int, Born]


def family(kernel: int) -> frozenset[int]:
    """The kernel's process and what descends from it: of one that has run no cell yet, what it consists of. Blocks."""
    table = processes()
    return frozenset({kernel} | {pid for pid, each in table.items() if _reaches(each, {kernel}, table)})


def born_since(
    kernel: int, since: Moment, until: Moment | None = None, own: Collection[int] = (), *, orphans: bool = False
) -> list[Born]:
    """The processes of the kernel's session that were born after ``since``, and before ``until``. Blocks.

    Not those of an earlier cell's process; with ``orphans``, only those that lost the kernel as their ancestor.
    ``own`` are the processes that the kernel consists of, whose sessions count too. A kernel that leads no session
    of its own shares it with strangers: then there are none.
    """
    table, own = processes(), {kernel, *own}
    sessions = {pid for pid in own if pid in table and table[pid].session == pid}
    if kernel not in sessions:
        return []
    found = (each for each in table.values() if each.session in sessions and each.identity.pid not in own)
    born = (each for each in found if since.is_before(each) and not (until and until.is_before(each)))
    return [
        each
        for each in born
        if not _is_of_earlier(each, since, own, sessions, table) and not (orphans and _reaches(each, own, table))
    ]


def signal_all(found: Collection[Born], number: int) -> list[Born]:
    """Send them the signal; returns those to which it could be sent. A process that has ended is passed over."""
    reached = []
    for each in found:
        with contextlib.suppress(PermissionError):
            each.identity.send_signal(number)
            reached.append(each)
    return reached


def processes() -> Table:
    """All that run and can be looked at, by process id. Blocks."""
    if sys.platform == "darwin":
        return by_ps()
    pids = (int(name) for name in os.listdir("/proc") if name.isdecimal())  # noqa: PTH208 - it wants names only
    return {pid: born for pid in pids if (born := _from_proc(pid)) is not None}


def by_ps() -> Table:
    """As ``processes``, with ``ticks`` in seconds."""
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    said = subprocess.run(_PS, env=environment, capture_output=True, text=True, errors="replace").stdout
    found = {}
    for match in map(_PS_LINE.match, said.splitlines()):
        if match is None or match[3].startswith(_GONE):
            continue
        pid, started = int(match[1]), match[4]
        with contextlib.suppress(OSError):
            ticks = calendar.timegm(time.strptime(started, "%a %b %d %H:%M:%S %Y"))
            name = match[5].rpartition("/")[2]
            found[pid] = Born(ProcessId(boot_id(), pid, started), int(match[2]), os.getsid(pid), ticks, name)
    return found


def _from_proc(pid: int) -> Born | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The name may hold spaces and parentheses.
    before, _, after = text.rpartition(")")
    fields = after.split()
    if fields[_STATE] in _GONE:
        return None
    started = fields[_STARTED]
    identity = ProcessId(boot_id(), pid, started)
    return Born(identity, int(fields[_PARENT]), int(fields[_SESSION]), int(started), before.partition("(")[2])


def _reaches(born: Born, ancestors: Collection[int], table: Table) -> bool:
    """Whether it descends from one of these."""
    return any(each.parent in ancestors for each in (born, *_ancestors(born, table)))


def _is_of_earlier(born: Born, since: Moment, own: Collection[int], sessions: Collection[int], table: Table) -> bool:
    """Whether it descends from a process that was there before, and is not the kernel's own: a server's worker."""
    theirs = takewhile(lambda each: each.identity.pid not in own, _ancestors(born, table))
    return any(each.session in sessions and not since.is_before(each) for each in theirs)


def _ancestors(born: Born, table: Table) -> Iterator[Born]:
    """The nearest first. The table is not of one moment, so a process id in it may have come to mean another."""
    seen = {born.identity.pid}
    ancestor = table.get(born.parent)
    while ancestor is not None and ancestor.identity.pid not in seen:
        yield ancestor
        seen.add(ancestor.identity.pid)
        ancestor = table.get(ancestor.parent)
