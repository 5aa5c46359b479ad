"""To a first result: from nothing, from a running server, and of a new session of a client that is connected."""

from itertools import count

from mcp import Client

from tests.bench import jupyter
from tests.bench.figure import Figure, at_most
from tests.bench.mcp_client import echo, embedded, open_session, ours, run_cell, run_echo
from tests.bench.place import Place, make_place
from tests.bench.stopwatch import Stopwatch
from tests.calls import call

SOURCE = "x=1"
ROUNDS = 5


async def measure(place: Place) -> list[Figure]:
    """Six kinds of start in turn, each ended before the next begins."""
    watch = Stopwatch()
    names = count(1)
    async with ours(place) as warm:
        for number in range(ROUNDS + 1):
            if number == 1:
                watch.samples.clear()  # files are in the page cache, bytecode is written
            await _jupyter(place, watch)
            await _session(warm, f"session-{next(names)}", watch)
            await _echo(place, watch)
            with make_place() as untouched:
                await _first_result("all", ours(untouched), watch)
            await _first_result("relay", ours(place, agent=f"agent-{next(names)}"), watch)
            await _first_result("embedded", embedded(place), watch)
    return _figures(watch)


async def _jupyter(place: Place, watch: Stopwatch) -> None:
    started = jupyter.jupyter_kernel(place)
    with watch("jupyter"):
        _, client = await started.__aenter__()
        await client.execute(SOURCE, reply=True)
    await started.__aexit__(None, None, None)


async def _session(warm: Client, name: str, watch: Stopwatch) -> None:
    with watch("session"):
        handle = await open_session(warm, name)
        await run_cell(warm, SOURCE, session=handle)
    await call(warm, "control_kernel", action="shutdown", session=handle)


async def _echo(place: Place, watch: Stopwatch) -> None:
    client = echo(place)
    with watch("echo"):
        await client.__aenter__()
        await run_echo(client, SOURCE)
    await client.__aexit__(None, None, None)


async def _first_result(name: str, client: Client, watch: Stopwatch) -> None:
    with watch(name):
        await client.__aenter__()
        await run_cell(client, SOURCE)
    await call(client, "control_kernel", action="shutdown")
    await client.__aexit__(None, None, None)


def _figures(watch: Stopwatch) -> list[Figure]:
    ms = {name: watch.median(name) * 1000 for name in watch.samples}
    echo_alone, both = "echo server (b), which has no kernel", "echo server (b) + jupyter_client (c)"
    with_kernel = ms["echo"] + ms["jupyter"]
    return [
        Figure("spawn to first result, no server yet", ms["all"], ms["echo"], "ms", echo_alone),
        Figure("... the same", ms["all"], with_kernel, "ms", both),
        Figure("... with --embedded", ms["embedded"], with_kernel, "ms", both),
        Figure("... a server runs, new session", ms["relay"], with_kernel, "ms", both),
        Figure(
            "new session to first result",
            ms["session"],
            ms["jupyter"],
            "ms",
            "AsyncKernelManager + wait_for_ready + execute (c)",
            at_most(0.5),
        ),
    ]
