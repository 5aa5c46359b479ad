"""What stands between a client and the server: a relay of its own, and all the relays of others."""

import subprocess
import sys
from contextlib import ExitStack

import anyio

from tests.bench.figure import Figure, at_most
from tests.bench.place import Place
from tests.bench.processes import cpu_ms, rss_bytes
from tests.bench.raw_mcp import RawMcp, connect, spawn
from tests.bench.stopwatch import Stopwatch

SOURCE = "x=1"
STARTS = 15
START_MS = 60.0
"""A relay may need so long, or a tenth of the import of the SDK's server if that is more."""
BLOCKS = 40
CALLS = 10
ADDED_MS = 0.3
RELAY_MB = 15.0
CONNECTIONS = 200
CROWDS = 3
CALLS_PER_CROWD = 100
IDLE_SESSIONS = 20
SETTLE_S = 6
"""Longer than anything that a cell leaves to be looked after."""
IDLE_S = 60
TICK_MS = 10.0
IMPORT = "import time; began = time.perf_counter(); import mcp.server; print(time.perf_counter() - began)"


async def measure(place: Place) -> list[Figure]:
    """One server for all of it, and one session that works."""
    with spawn(place, agent="worker") as relay:
        handle = relay.open_session("worker")
        figures = [_start(place), _added(place, relay, handle)]
        megabytes = rss_bytes(relay.pid) / 1e6
        figures.append(Figure("memory of a relay (RSS)", megabytes, RELAY_MB, "MB", "15 MB", at_most(1)))
        figures += _beside_connections(place, relay, handle)
        for number in range(2, IDLE_SESSIONS):  # beside the worker's and that of the starts
            _run(relay, relay.open_session(f"idle-{number}"))
        return [*figures, await _idle(place)]


def _start(place: Place) -> Figure:
    """Relays one after the other, each of which goes on with the session of the one before."""
    watch = Stopwatch()
    for number in range(STARTS + 1):
        if number == 1:
            watch.samples.clear()  # the first has made the session
        watch.samples["import"].append(_import_s(place))
        with ExitStack() as stack, watch("relay"):
            _run(stack.enter_context(spawn(place, agent="starts")))
    import_ms = watch.median("import") * 1000
    allowed = f"60 ms, or a tenth of `import mcp.server` ({import_ms:.0f} ms) if that is more"
    name = "spawn to first result, running server, resumed session"
    return Figure(name, watch.median("relay") * 1000, max(START_MS, import_ms / 10), "ms", allowed, at_most(1))


def _added(place: Place, relay: RawMcp, handle: str) -> Figure:
    """The same session through the relay and on the server's socket, block by block."""
    watch = Stopwatch()
    with connect(place) as direct:
        for number in range(BLOCKS + 1):
            if number == 1:
                watch.samples.clear()
            for name, client in (("relay", relay), ("direct", direct)):
                for _ in range(CALLS):
                    with watch(name):
                        _run(client, handle)
    through, without = (watch.percentile_ms(name, 50) for name in ("relay", "direct"))
    allowed = f"0.3 ms; {through:.2f} ms with it, {without:.2f} ms without"
    return Figure("trivial cell, p50: what the relay adds", through - without, ADDED_MS, "ms", allowed, at_most(1))


def _beside_connections(place: Place, relay: RawMcp, handle: str) -> list[Figure]:
    """Cells in turn with and without the connections of 200 relays whose clients do nothing."""
    watch = Stopwatch()
    for _ in range(CROWDS):
        with ExitStack() as stack:
            for name in ("alone", "beside"):
                if name == "beside":
                    for _ in range(CONNECTIONS):
                        stack.enter_context(connect(place))
                for _ in range(CALLS_PER_CROWD):
                    with watch(name):
                        _run(relay, handle)
    return [
        Figure(
            f"trivial cell beside {CONNECTIONS} idle clients, p{percent}",
            watch.percentile_ms("beside", percent),
            watch.percentile_ms("alone", percent),
            "ms",
            "without those clients",
        )
        for percent in (50, 95)
    ]


async def _idle(place: Place) -> Figure:
    """The server and the keeper while no client asks for anything."""
    pids = (place.server_pid(), place.keeper_pid())
    await anyio.sleep(SETTLE_S)
    before = sum(map(cpu_ms, pids))
    await anyio.sleep(IDLE_S)
    used_ms = sum(map(cpu_ms, pids)) - before
    name = f"processor time of server and keeper, {IDLE_SESSIONS} idle sessions, {IDLE_S} s"
    return Figure(name, used_ms, TICK_MS, "ms", "one tick, the least that Linux counts", at_most(1))


def _run(client: RawMcp, handle: str | None = None) -> None:
    client.finish(client.begin(SOURCE, handle))


def _import_s(place: Place) -> float:
    """What every server on the SDK needs for a part of its start."""
    return float(subprocess.check_output([sys.executable, "-c", IMPORT], env=place.environment))
