"""What a runtime call costs a cell: one that does nothing, over each carrier, and twenty at once."""

import json

from mcp_notebook.settings import Settings
from tests.bench.figure import Figure, at_most
from tests.bench.place import Place
from tests.bench.raw_mcp import RawMcp, spawn

CALLS = 1000
NOTHING = f"""
import json, statistics, time
from hermes_runtime import calls
def once():
    began = time.perf_counter()
    calls.ask("servers.list", {{}})
    return time.perf_counter() - began
for _ in range(100): once()
print(json.dumps(statistics.median(once() for _ in range({CALLS})) * 1000))
"""
SLEEPERS = """
import json, threading, time
from hermes_runtime import terminal
threads = [threading.Thread(target=terminal, args=("sleep 1",)) for _ in range(20)]
began = time.perf_counter()
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps(time.perf_counter() - began))
"""
SETTINGS = '[runtime]\ncarrier = "stdin"\n'


async def measure(place: Place) -> list[Figure]:
    """In one kernel for each carrier; the settings are read when a server starts."""
    with spawn(place, agent="socket") as relay:
        over_socket = _printed(relay, NOTHING)
        at_once = _printed(relay, SLEEPERS)
    place.end_all()
    _configure(place.settings)
    with spawn(place, agent="stdin") as relay:
        over_stdin = _printed(relay, NOTHING)
    return [
        Figure("runtime call that does nothing, socket, p50", over_socket, 0.2, "ms", "0.2 ms", at_most(1)),
        Figure("... over Jupyter's stdin channel", over_stdin, 1.0, "ms", "1 ms", at_most(1)),
        Figure("20 calls of 1 s from 20 threads", at_once, 2.0, "s", "2 s", at_most(1)),
    ]


def _configure(settings: Settings) -> None:
    (settings.home / "settings.toml").write_text(SETTINGS)


def _printed(client: RawMcp, source: str) -> float:
    """The number that a cell prints."""
    return float(json.loads(client.finish(client.begin(source)).splitlines()[-1]))
