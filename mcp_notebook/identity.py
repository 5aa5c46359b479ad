"""Which process is meant: a process id alone may be another process's one day.

On Linux the start time is field 22 of ``/proc/PID/stat``, see
https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html; on macOS ``ps`` tells it.
"""

import contextlib
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

_STATE, _PARENT, _STARTED = 0, 1, 19
"""Fields of ``/proc/PID/stat``, counted after the name."""


@dataclass(frozen=True)
class ProcessId:
    """One process of one boot of one machine."""

    boot_id: str
    """With the process namespace where there are such: containers of a machine share its boot."""
    pid: int
    start_time: str

    @classmethod
    def of(cls, pid: int) -> "ProcessId | None":
        """None where no such process lives, or it cannot be told."""
        started = _start_time(pid)
        return cls(boot_id(), pid, started) if started else None

    @classmethod
    def from_data(cls, data: object) -> "ProcessId | None":
        """What ``as_data`` gave, or anything that has these three in it; None if it has not."""
        match data:
            case {"boot_id": str(boot), "pid": int(pid), "start_time": str(started)} if pid > 0:
                return cls(boot, pid, started)
        return None

    def as_data(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)

    def is_alive(self) -> bool:
        """Whether it is seen to live. A process of another boot or machine is not looked for."""
        return self.boot_id == boot_id() and _start_time(self.pid) == self.start_time

    def may_live(self) -> bool:
        """Whether it lives, or is in a process namespace of this boot that cannot be looked into from here."""
        same_boot = self.boot_id.partition(":")[0] == boot_id().partition(":")[0]
        return self.is_alive() or (same_boot and self.boot_id != boot_id())

    def parent(self) -> "ProcessId | None":
        """The process that will be told of its end, where that is known."""
        fields = _fields(self.pid)
        return ProcessId.of(int(fields[_PARENT])) if fields and self.is_alive() else None

    def open_descriptor(self) -> int | None:
        """A descriptor of this very process, to be closed; None where it is gone, or none is to be had."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            return None
        if self.is_alive():
            return descriptor
        os.close(descriptor)
        return None

    def send_signal(self, number: int) -> None:
        """To this process, never to one that has its process id now; nothing happens when it is gone."""
        descriptor = self.open_descriptor()
        with contextlib.suppress(ProcessLookupError):
            if descriptor is None:
                if self.is_alive():
                    os.kill(self.pid, number)
                return
            try:
                signal.pidfd_send_signal(descriptor, number)
            finally:
                os.close(descriptor)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """This boot of this machine, and the process namespace."""
    if sys.platform == "darwin":
        return _said_by("sysctl", "-n", "kern.bootsessionuuid")
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return "unknown"
    return f"{boot}:{namespace.strip('pid:[]')}"


def _start_time(pid: int) -> str | None:
    if sys.platform == "darwin":
        state, _, started = _said_by("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")
        return started.strip() if state and "Z" not in state else None
    fields = _fields(pid)
    return fields[_STARTED] if fields and fields[_STATE] not in ("Z", "X") else None


def _fields(pid: int) -> list[str] | None:
    try:
        # The name before them may hold spaces and parentheses.
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None


def _said_by(*command: str) -> str:
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()
