"""What the system tells of processes whose parent does not."""

import os
import signal
import subprocess
import sys

import pytest

from mcp_notebook.kernels.base import Exit
from mcp_notebook.kernels.ending import (
    exit_by_descriptor,
    exit_of_zombie,
    oom_kills,
    oom_kills_since,
)
from mcp_notebook.kernels.memory import family, resident_bytes, shared_out_bytes
from tests.kernels.keepers import SYSTEM_TELLS_ENDS

ON_LINUX: bool = sys.platform == "linux"
"""Elsewhere none of it is told."""
ENDS = {
    "a code": ("exit 3", Exit(code=3)),
    "a signal": ("kill -9 $$", Exit(signal=9)),
    "well": ("exit 0", Exit(code=0)),
}


@pytest.mark.parametrize(("command", "end"), ENDS.values(), ids=ENDS)
def test_an_end_is_told_by_the_descriptor_once_somebody_has_waited(command: str, end: Exit) -> None:
    """Before that by the zombie, but for a status of 0, which may mean that it is nobody's business."""
    with subprocess.Popen(["/bin/sh", "-c", f"read line; {command}"], stdin=subprocess.PIPE) as process:
        descriptor = os.pidfd_open(process.pid) if ON_LINUX else None
        try:
            assert exit_by_descriptor(descriptor) is None
            assert exit_of_zombie(process.pid) is None
            assert process.stdin is not None
            process.stdin.close()
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            assert exit_of_zombie(process.pid) == (end if end.code != 0 and ON_LINUX else None)
            process.wait()
            assert exit_by_descriptor(descriptor) == (end if SYSTEM_TELLS_ENDS else None)
        finally:
            if descriptor is not None:
                os.close(descriptor)


def test_of_nothing_nothing_is_told() -> None:
    """No descriptor, one of something else, a process that was never there."""
    reading, writing = os.pipe()
    try:
        assert exit_by_descriptor(None) is None
        assert exit_by_descriptor(reading) is None
        assert exit_of_zombie(2**22 + 1) is None
    finally:
        os.close(reading)
        os.close(writing)


def test_kills_for_want_of_memory_are_counted_from_then_on() -> None:
    """Where the system tells; never less than none."""
    before = oom_kills()
    assert oom_kills_since(None) is None
    if before is not None:
        assert oom_kills_since(before + 5) == 0
        assert (oom_kills_since(before) or 0) >= 0


def test_the_memory_of_a_family() -> None:
    """A child and a grandchild count, and what they share is shared out; those that have ended are nothing."""
    fill = "x = bytearray(50 << 20)\n"
    child = f"import os, sys, time\n{fill}os.fork() or time.sleep(600)\nprint('ready', flush=True)\ntime.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", child], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            pids = family(process.pid)
            assert pids[0] == process.pid
            assert len(pids) == 2
            assert resident_bytes(pids) > 100 << 20
            assert 50 << 20 < shared_out_bytes(pids) < 100 << 20 or not ON_LINUX
        finally:
            os.killpg(process.pid, signal.SIGKILL)
    assert resident_bytes([process.pid]) == 0
    assert family(process.pid) == [process.pid]
