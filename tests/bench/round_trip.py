"""A trivial cell through a real client, a relay and the server, against a raw kernel and an echo tool."""

from contextlib import AsyncExitStack

from tests.bench import jupyter
from tests.bench.figure import Figure, at_most, percentile
from tests.bench.mcp_client import echo, embedded, ours, run_cell, run_echo
from tests.bench.place import Place
from tests.bench.raw_kernels import stock_kernels
from tests.bench.stopwatch import Stopwatch

SOURCE = "x=1"
ROUNDS = 30
CALLS = 10
WARM_UP = 10


async def measure(place: Place) -> list[Figure]:
    """300 calls of each, ten by ten."""
    watch = Stopwatch()
    async with AsyncExitStack() as stack:
        (raw,) = stack.enter_context(stock_kernels(place, 1))
        _, plain = await stack.enter_async_context(jupyter.jupyter_kernel(place))
        echo_client = await stack.enter_async_context(echo(place))
        client = await stack.enter_async_context(ours(place))
        one_process = await stack.enter_async_context(embedded(place))
        for number in range(ROUNDS + 1):
            if number == 1:
                watch.samples.clear()  # the first round has warmed up
            for _ in range(CALLS):
                with watch("raw"):
                    raw.execute(SOURCE)
            for _ in range(CALLS):
                with watch("echo"):
                    await run_echo(echo_client, SOURCE)
            for _ in range(CALLS):
                with watch("plain"):
                    await jupyter.run_cell(plain, SOURCE)
            for _ in range(CALLS):
                with watch("ours"):
                    await run_cell(client, SOURCE)
            for _ in range(CALLS):
                with watch("embedded"):
                    await run_cell(one_process, SOURCE)
    return _figures(watch)


def _figures(watch: Stopwatch) -> list[Figure]:
    p50 = {name: watch.percentile_ms(name, 50) for name in watch.samples}
    tail = percentile(watch.sums("raw", "echo"), 95) * 1000
    sum_name = "raw ZMQ (a) + echo (b)"
    parts = f"{sum_name}: {p50['raw']:.2f} + {p50['echo']:.2f} ms"
    return [
        Figure("trivial cell, p50", p50["ours"], p50["raw"] + p50["echo"], "ms", parts, at_most(0.85)),
        Figure("trivial cell, p95", watch.percentile_ms("ours", 95), tail, "ms", sum_name),
        Figure("trivial cell, p50", p50["ours"], p50["plain"] + p50["echo"], "ms", "jupyter_client (c) + echo (b)"),
        Figure("... with --embedded, p50", p50["embedded"], p50["raw"] + p50["echo"], "ms", sum_name),
    ]
