"""What the system tells of a process's end to one that is not its parent, and of memory that ran out.

Linux only; elsewhere nothing is known. The sources are https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
(field 52), ``PIDFD_GET_INFO`` of ``linux/pidfd.h`` (Linux 6.15 and newer), and ``oom_kill`` of ``/proc/vmstat``.
"""

import fcntl
import os
import struct
import sys
from pathlib import Path

from mcp_notebook.kernels.base import Exit

_STATE, _EXIT_CODE = 0, 49
"""Fields of ``/proc/PID/stat``, counted after the name."""
_PIDFD_INFO = struct.Struct("=QQ11Ii")
"""Of this only the first, a mask of what is wanted or known, and the last, the exit status, are looked at."""
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_GET_INFO = 3 << 30 | _PIDFD_INFO.size << 16 | 0xFF << 8 | 11


def oom_kills() -> int | None:
    """How many processes the system has killed so far because memory ran out; None where it does not tell."""
    try:
        found = Path("/proc/vmstat").read_bytes().partition(b"\noom_kill ")[2].split(maxsplit=1)
        return int(found[0])
    except (OSError, ValueError, IndexError):
        return None


def oom_kills_since(before: int | None) -> int | None:
    """How many since ``oom_kills`` was ``before``."""
    now = oom_kills()
    return None if before is None or now is None else max(0, now - before)


def exit_by_descriptor(descriptor: int | None) -> Exit | None:
    """How the process of this descriptor ended, once somebody has waited for it."""
    if descriptor is None or not sys.platform.startswith("linux"):
        return None
    asked = bytearray(_PIDFD_INFO.pack(_PIDFD_INFO_EXIT, *[0] * 13))
    try:
        fcntl.ioctl(descriptor, _PIDFD_GET_INFO, asked)
    except OSError:  # an older Linux
        return None
    known, *_, status = _PIDFD_INFO.unpack(asked)
    return exit_of(status) if known & _PIDFD_INFO_EXIT else None


def exit_of_zombie(pid: int) -> Exit | None:
    """How a process ended that nobody has waited for yet; a status of 0 is what others see who may not know it."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        status = int(fields[_EXIT_CODE])
    except (OSError, ValueError, IndexError):
        return None
    return exit_of(status) if fields[_STATE] == "Z" and status else None


def exit_of(status: int, peak_memory_bytes: int | None = None) -> Exit:
    """What a status means that a parent gets who waits."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        return Exit(signal=-code, peak_memory_bytes=peak_memory_bytes)
    return Exit(code=code, peak_memory_bytes=peak_memory_bytes)


def peak_bytes(maxrss: int) -> int:
    """Of ``ru_maxrss``, which counts bytes on macOS and KB elsewhere."""
    return maxrss if sys.platform == "darwin" else maxrss * 1024
