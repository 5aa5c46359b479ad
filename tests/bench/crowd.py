"""Many sessions at once: cells a second over MCP and below it, against raw clients of as many kernels."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio

from mcp_notebook.session import Session
from mcp_notebook.sessions import Connection, Sessions
from tests.bench.figure import Figure, at_least, at_most
from tests.bench.place import Place
from tests.bench.raw_client import RawClient, execute_all
from tests.bench.raw_kernels import lean_kernels, stock_kernels
from tests.bench.raw_mcp import RawMcp, spawn
from tests.bench.stopwatch import Stopwatch

SOURCE = "x=1"
SIZES = (8, 32)
LARGEST = max(SIZES)
"""The bars are set for this many."""
CELLS = 50
CELLS_TO_WARM_UP = 5
ROUNDS = 3
SLEEPER = "import time; time.sleep(5)"
CELLS_BESIDE_SLEEPER = 10
WAIT_S = 60

Crowd = Callable[[int, int], Awaitable[None]]
"""Run on so many kernels so many cells each, all kernels at once."""


async def measure(place: Place) -> list[Figure]:
    """All kernels of all four crowds live from the beginning; one crowd works at a time."""
    most = LARGEST
    watch = Stopwatch()
    async with AsyncExitStack() as stack:
        client = stack.enter_context(spawn(place))
        handles = [client.open_session(f"crowd-{number}") for number in range(most)]
        sessions = await stack.enter_async_context(_direct_sessions(place, most))
        lean = stack.enter_context(lean_kernels(place, most))
        stock = stack.enter_context(stock_kernels(place, most))
        crowds: dict[str, Crowd] = {
            "mcp": partial(_over_mcp, client, handles),
            "direct": partial(_directly, sessions),
            "lean": partial(_raw, lean),
            "stock": partial(_raw, stock),
        }
        for crowd in crowds.values():
            await crowd(most, CELLS_TO_WARM_UP)
        for _ in range(ROUNDS):
            for size in SIZES:
                for name, crowd in crowds.items():
                    with watch(f"{name} {size}"):
                        await crowd(size, CELLS)
        with watch("alone"):
            client.run(SOURCE, handles[1:], CELLS_BESIDE_SLEEPER)
        _beside_sleeper(client, handles, watch)
    return [*_rates(watch), *_sleeper(watch)]


@asynccontextmanager
async def _direct_sessions(place: Place, count: int) -> AsyncIterator[list[Session]]:
    """Sessions in this process, each of a connection of its own."""
    async with Sessions(place.settings) as sessions:
        yield [(await sessions.open(Connection(), name=f"direct-{number}")).session for number in range(count)]


async def _over_mcp(client: RawMcp, handles: Sequence[str], count: int, cells: int) -> None:
    client.run(SOURCE, handles[:count], cells)


async def _directly(sessions: Sequence[Session], count: int, cells: int) -> None:
    async def work(session: Session) -> None:
        for _ in range(cells):
            execution = await session.execute_cell(SOURCE)
            await execution.wait(WAIT_S)
            if execution.status != "ok":
                raise RuntimeError(f"A cell that should be ok was not: {execution.status}")

    async with anyio.create_task_group() as tasks:
        for session in sessions[:count]:
            tasks.start_soon(work, session)


async def _raw(clients: Sequence[RawClient], count: int, cells: int) -> None:
    execute_all(clients[:count], SOURCE, cells)


def _beside_sleeper(client: RawMcp, handles: Sequence[str], watch: Stopwatch) -> None:
    with watch("sleeper"):
        sleeper = client.begin(SLEEPER, handles[0])
        with watch("beside"):
            client.run(SOURCE, handles[1:], CELLS_BESIDE_SLEEPER)
        client.finish(sleeper)


def _rates(watch: Stopwatch) -> list[Figure]:
    figures = []
    for size in SIZES:
        rate = {name: size * CELLS / watch.median(f"{name} {size}") for name in ("mcp", "direct", "lean", "stock")}
        over, below = f"{size} sessions at once, over MCP", f"{size} sessions at once, below MCP"
        lean, stock = "raw ZMQ (a), the same lean kernels", "raw ZMQ (a), stock kernels"
        figures += [
            Figure(over, rate["mcp"], rate["lean"], "cells/s", lean, at_least(0.6) if size == LARGEST else None),
            Figure(over, rate["mcp"], rate["stock"], "cells/s", stock, at_least(1.3) if size == LARGEST else None),
            Figure(below, rate["direct"], rate["lean"], "cells/s", lean),
            Figure(below, rate["direct"], rate["stock"], "cells/s", stock),
        ]
    return figures


def _sleeper(watch: Stopwatch) -> list[Figure]:
    beside, alone, slept = (watch.median(name) for name in ("beside", "alone", "sleeper"))
    cells = (max(SIZES) - 1) * CELLS_BESIDE_SLEEPER
    return [
        Figure(f"{cells} cells of 31 sessions beside one that sleeps 5 s", beside, slept, "s", "its sleep", at_most(1)),
        Figure("... the same", beside, alone, "s", "without that session"),
    ]
