"""How soon a waiting call hears of the kernel's death: from the death of the process to the answer, cause by cause.

Also of kernels that the server has taken over, and of kernels whose keeper was killed.
"""

import json
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from statistics import median

from tests.bench.figure import Figure, at_most
from tests.bench.place import Place
from tests.bench.raw_mcp import RawMcp, spawn

DEATHS = 15
BETWEEN_KILLS_S = 2.5
"""A server that ends five times within 10 s is not started again."""
IN_OTHER_SITUATIONS = 5
LIMIT_MB = 300
ALLOWED_MS = 100.0
SETTINGS = f"[limits]\nmemory_mb = {LIMIT_MB}\n"
CAUSES = {
    "os._exit(9)": ("os._exit(9)", "exit code 9"),
    "kill -9": ("os.kill(os.getpid(), 9)", "signal 9 (SIGKILL)"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "signal 11 (SIGSEGV"),
    "memory limit": (f"hoard = []\nwhile True: hoard.append(b'x' * {4 << 20})", f"the limit is {LIMIT_MB} MB"),
}
UNKNOWN = "cause unknown"
"""What older systems leave to be said where the keeper was killed."""


async def measure(place: Place) -> list[Figure]:
    """One session, whose kernel is rebuilt after each death."""
    place.settings.home.mkdir(parents=True, exist_ok=True)
    (place.settings.home / "settings.toml").write_text(SETTINGS)
    with spawn(place, agent="mortal") as relay:
        relay.finish(relay.begin("import os, time; kept = 1"))
        figures = [
            _figure(f"from death to certificate, {name}, p50", [_death_ms(relay, name) for _ in range(DEATHS)])
            for name in CAUSES
        ]
        situations: dict[str, Callable[[], int]] = {
            "kernel taken over": place.server_pid,
            "keeper killed": place.keeper_pid,
        }
        for situation, victim in situations.items():
            slowest = max(
                (median(_death_ms(relay, name, victim) for _ in range(IN_OTHER_SITUATIONS)), name) for name in CAUSES
            )
            figures.append(_figure(f"... {situation}, the slowest cause ({slowest[1]})", [slowest[0]]))
        return figures


def _figure(name: str, samples: list[float]) -> Figure:
    return Figure(name, median(samples), ALLOWED_MS, "ms", "100 ms", at_most(1))


def _death_ms(relay: RawMcp, name: str, victim: Callable[[], int] | None = None) -> float:
    """Of a kernel, once the process ``victim`` was killed, and the relay has its next server."""
    source, said = CAUSES[name]
    if victim is not None:
        time.sleep(BETWEEN_KILLS_S)
        os.kill(victim(), signal.SIGKILL)
    pid = json.loads(relay.control("status"))["kernel"]["pid"]
    ended: list[float] = []
    watching = threading.Thread(target=_watch, args=(pid, ended))
    watching.start()
    answer = relay.answer(relay.begin(source))
    answered = time.perf_counter()
    watching.join()
    if "] dead " not in answer or (said not in answer and UNKNOWN not in answer):
        raise RuntimeError(f"A death was not certified: {answer[:500]}")
    rebuilt = relay.control("rebuild")
    if "stopped" in rebuilt or "cells ran" not in rebuilt:
        raise RuntimeError(f"A kernel was not rebuilt: {rebuilt[:500]}")
    return (answered - ended[0]) * 1000


def _watch(pid: int, ended: list[float]) -> None:
    """Note when the process ends."""
    descriptor = os.pidfd_open(pid)
    try:
        select.select([descriptor], [], [])
        ended.append(time.perf_counter())
    finally:
        os.close(descriptor)
