"""Cells that do not end by themselves, each stuck in another way."""

from pathlib import Path

BEFORE = """\
import os, subprocess
kept, server = "kept", subprocess.Popen(["sleep", "86400"])
print(os.getpid(), server.pid)
"""
"""An earlier cell, which starts a server."""

# A thread says that the cell is where it is stuck: its own code can only say that it is about to be.
_BEGUN = """\
import asyncio, ctypes, os, pathlib, subprocess, threading, time
threading.Timer(0.2, pathlib.Path({begun!r}).touch).start()
"""

_C_CODE = """\
c = ctypes.CDLL(None)
mutex, condition = ctypes.create_string_buffer(256), ctypes.create_string_buffer(256)
c.pthread_mutex_init(mutex, None)
c.pthread_cond_init(condition, None)
c.pthread_mutex_lock(mutex)
c.pthread_cond_timedwait(condition, mutex, (ctypes.c_long * 2)(int(time.time()) + 4, 0))
while True: time.sleep(0.01)
"""

_SWALLOWS = """\
while True:
    try: await asyncio.sleep(600)
    except BaseException: pass
"""

_BASH = """\
%%bash
sleep 600 &
(sleep 600; true) &
touch {begun}
sleep 600
"""

CELLS = {
    "a loop that sleeps": f"{_BEGUN}while True: time.sleep(0.01)",
    "C code that SIGINT does not reach for 3 s": _BEGUN + _C_CODE,
    "an `await`": f"{_BEGUN}await asyncio.sleep(600)",
    "an `await` that swallows every cancel": _BEGUN + _SWALLOWS,
    "`os.system`": f"{_BEGUN}os.system('sleep 600')",
    "`subprocess.run`": f"{_BEGUN}subprocess.run(['sleep', '600'])",
    "`%%bash` with grandchildren": _BASH,
    "a wait for an earlier cell's server": f"{_BEGUN}server.wait()",
}
"""By what they are stuck in."""


def source(kind: str, begun: Path) -> str:
    """A cell that makes the file ``begun`` when it is stuck."""
    return CELLS[kind].format(begun=str(begun))
