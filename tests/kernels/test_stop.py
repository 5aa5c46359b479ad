"""What the kernel's own half does to a stuck cell: it ends that one, and no request for it can reach another."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import anyio
import pytest

from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.kernels.cells import Cell, begun, run, running
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

AIMED = {NEWEST: 500, OLDEST: 150}
CELL_MS, SWEEP_MS = 4.0, 6.0

SWALLOWS = "print('in', flush=True)\nwhile True:\n    try: await asyncio.sleep({s})\n    except {what}: print('caught')"
ANOTHER = "await get_ipython().run_cell_async('1', transformed_cell='1')"
NESTED = """
async def inner():
    while True:
        try: await asyncio.sleep(600)
        except asyncio.CancelledError: pass
task = asyncio.create_task(inner())
print('in', flush=True)
await task
"""

numbers = count()


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
async def aimed(
    request: pytest.FixtureRequest, settings: Settings, anyio_backend: str
) -> AsyncIterator[tuple[LocalKernel, int]]:
    """A kernel of each end, and how many times it is to stand being stopped."""
    async with running(settings, interpreter(request.param)) as kernel:
        await run(kernel, "import asyncio, os, time; get_ipython().displayhook.cache_size = 10_000")
        yield kernel, AIMED[request.param]


async def next_is_right(kernel: LocalKernel) -> None:
    """Its output, its result, its count: IPython was left as at any cell's end."""
    await kernel.settle()
    number = next(numbers)
    first = await run(kernel, f"print({number}); {number}")
    assert (first.reply.status, first.reply.interrupted, first.reply.missing) == ("ok", False, 0)
    assert (first.text(), first.text("stderr"), first.result()) == (f"{number}\n", "", str(number))
    second = await run(kernel, f"await asyncio.sleep(0, {number})")
    assert second.result() == str(number)
    assert counted(second) == counted(first) + 1


def counted(cell: Cell) -> int:
    return int(cell.reply.content["execution_count"])


async def test_a_stuck_await_is_cancelled(aimed: tuple[LocalKernel, int]) -> None:
    """Without a signal, also when the cell ignores SIGINT."""
    kernel, _ = aimed
    source = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('in', flush=True)\n"
    async with begun(kernel, f"{source}await asyncio.sleep(600)") as cell:
        await cell.until_printed("in")
        assert await kernel.stop_cell(force=False) == "cancelled"
    assert (cell.reply.interrupted, cell.errors()) == (True, ["CancelledError"])
    await next_is_right(kernel)


@pytest.mark.parametrize(
    "source",
    [
        SWALLOWS.format(s=600, what="asyncio.CancelledError"),
        SWALLOWS.format(s=0, what="asyncio.CancelledError"),
        SWALLOWS.format(s=600, what="BaseException"),
        SWALLOWS.format(s=0, what="BaseException"),
        NESTED,
        f"{ANOTHER}\n{SWALLOWS.format(s=600, what='BaseException')}",
    ],
    ids=["cancel", "cancel, busy", "everything", "everything, busy", "in another task", "behind another cell"],
)
async def test_an_await_that_swallows_its_cancel_is_ended(aimed: tuple[LocalKernel, int], source: str) -> None:
    """The coroutine is not resumed, whatever it was waiting for."""
    kernel, _ = aimed
    async with begun(kernel, source) as cell:
        await cell.until_printed("in")
        assert await kernel.stop_cell(force=False) == "cancelled"
        assert await kernel.stop_cell(force=False) == "reached"
        assert await kernel.stop_cell(force=True) == "ended"
    assert (cell.reply.status, cell.reply.interrupted, cell.reply.missing) == ("error", True, 0)
    assert cell.errors() == ["KeyboardInterrupt"]
    printed = len(cell.text())
    for _ in range(3):
        await next_is_right(kernel)
    await run(kernel, "import gc; gc.collect(); await asyncio.sleep(0.05)")
    assert len(cell.text()) == printed
    await next_is_right(kernel)


async def test_an_interrupt_is_left_for_code_that_ignores_signals(aimed: tuple[LocalKernel, int]) -> None:
    """``os.system`` does while it waits; the loop around it ends with the command that runs."""
    kernel, _ = aimed
    source = "while True: os.system('echo $$; exec sleep 600')"
    async with begun(kernel, source) as cell:
        await cell.until(lambda: cell.text().strip() != "")
        assert await kernel.stop_cell(force=False) == "left"
        (await anyio.run_process(["kill", cell.text().strip()])).check_returncode()
    assert (cell.reply.interrupted, cell.errors()) == (True, ["KeyboardInterrupt"])
    await next_is_right(kernel)


@pytest.mark.parametrize("source", ["print('x' * 50)", "print('x', flush=True)", "sys.stderr.write('e')"])
async def test_an_interrupt_that_is_left_tears_no_message(aimed: tuple[LocalKernel, int], source: str) -> None:
    """Code that prints all the time is found in the middle of it, where a signal would have been as well."""
    kernel, total = aimed
    for _ in range(total // 25):
        async with begun(kernel, f"import sys\nprint('in', flush=True)\nwhile True: {source}") as cell:
            await cell.until_printed("in")
            assert await kernel.stop_cell(force=True) == "left"
        assert (cell.reply.interrupted, cell.reply.missing, cell.errors()) == (True, 0, ["KeyboardInterrupt"])
        await next_is_right(kernel)


async def test_nothing_is_stopped_between_cells(aimed: tuple[LocalKernel, int]) -> None:
    """Nor what has ended, by its id, while the next one runs."""
    kernel, _ = aimed
    assert await kernel.stop_cell(force=True) == "over"
    async with begun(kernel, "print('in', flush=True); await asyncio.sleep(0.1); 'whole'") as cell:
        await cell.until_printed("in")
        assert await kernel.ask("stop", {"msg_id": "an earlier one", "force": True}) == "over"
    assert cell.result() == "'whole'"


@pytest.mark.parametrize("source", ["time.sleep({s}); '{done}'", "await asyncio.sleep({s}); '{done}'"])
async def test_stops_aimed_at_the_end_of_a_cell(aimed: tuple[LocalKernel, int], source: str) -> None:
    """Signal, cancel and ending together: the reply comes and is true, the next cell is untouched."""
    kernel, total = aimed
    total //= 2
    reached = 0
    for number in range(total):
        delay_s = (CELL_MS + SWEEP_MS * (number / total - 0.4)) / 1000
        async with begun(kernel, source.format(s=CELL_MS / 1000, done=f"done {number}")) as cell:
            # The last moments of a cell give no sign to wait for: only a delay can aim at them.
            await anyio.sleep(delay_s)
            await kernel.interrupt()
            await kernel.stop_cell(force=number % 2 == 0)
        reply = cell.reply
        assert reply.missing == 0
        if reply.interrupted:
            reached += 1
            assert (reply.status, len(cell.errors())) == ("error", 1)
        else:
            assert (reply.status, cell.errors(), cell.result()) == ("ok", [], f"'done {number}'")
        await next_is_right(kernel)
    assert 0 < reached < total, "the sweep missed the end of the cells"


async def test_an_interrupt_left_for_one_cell_is_not_missed_by_the_next(
    aimed: tuple[LocalKernel, int], tmp_path: Path
) -> None:
    """The first ignored every signal to its end; the next one's first counts."""
    kernel, _ = aimed
    go = tmp_path / "go"
    source = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\nwhile not os.path.exists({str(go)!r}): "
    async with begun(kernel, f"print('in', flush=True)\n{source}time.sleep(0.01)") as cell:
        await cell.until_printed("in")
        assert await kernel.stop_cell(force=False) == "left"
        go.touch()
    assert cell.reply.status == "ok"
    async with begun(kernel, "print('in', flush=True)\nwhile True: time.sleep(0.01)") as cell:
        await cell.until_printed("in")
        await kernel.interrupt()
    assert cell.errors() == ["KeyboardInterrupt"]
    await next_is_right(kernel)
