"""Hundreds of interrupts where they hurt most: at the very end of a cell, and in the middle of printing.

What must hold after each: the reply comes, it tells the truth about the interrupt, the kernel lives, the next
cell runs untouched and gives its own result. The delays are swept, not random, so that a failure is found again.
"""

from collections.abc import AsyncIterator
from itertools import count

import anyio
import pytest

from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.kernels.cells import Cell, begun, run, running
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

NEWEST_SHOTS = 500
OLDEST_SHOTS = 150
CELL_MS = 4.0
SWEEP_MS = 6.0
"""Interrupts are aimed from this long after a cell's usual beginning of its end, back to its start."""

numbers = count()


@pytest.fixture(scope="module", params=[NEWEST, OLDEST])
async def shots(
    request: pytest.FixtureRequest, settings: Settings, anyio_backend: str
) -> AsyncIterator[tuple[LocalKernel, int]]:
    """A kernel of each end, and how many interrupts it is to stand."""
    async with running(settings, interpreter(request.param)) as kernel:
        yield kernel, NEWEST_SHOTS if request.param == NEWEST else OLDEST_SHOTS


def truthful(cell: Cell, done: str) -> bool:
    """Whether the interrupt reached it; the reply and the outputs must agree on that."""
    reply = cell.reply
    if reply.interrupted:
        assert reply.status == "error"
        assert cell.errors()[0] in ("KeyboardInterrupt", "CancelledError")
    else:
        assert (reply.status, cell.errors()) == ("ok", [])
        assert cell.result() == f"'{done}'"
    return bool(reply.interrupted)


async def next_is_untouched(kernel: LocalKernel) -> None:
    await kernel.settle()
    number = next(numbers)
    cell = await run(kernel, f"print({number}); {number}")
    assert (cell.reply.status, cell.reply.interrupted, cell.reply.missing) == ("ok", False, 0)
    assert (cell.text(), cell.result()) == (f"{number}\n", str(number))


@pytest.mark.parametrize(
    "source",
    [
        "import time; time.sleep({s}); '{done}'",
        "import asyncio; await asyncio.sleep({s}); '{done}'",
    ],
    ids=["sleep", "await"],
)
async def test_interrupts_aimed_at_the_end_of_a_cell(shots: tuple[LocalKernel, int], source: str) -> None:
    """Before, in and after the last moments of the code, while the reply is made and sent, and when it is gone."""
    kernel, total = shots
    total //= 2
    reached = 0
    for number in range(total):
        done = f"done {number}"
        delay_s = (CELL_MS + SWEEP_MS * (number / total - 0.4)) / 1000
        async with begun(kernel, source.format(s=CELL_MS / 1000, done=done)) as cell:
            # The last moments of a cell give no sign to wait for: only a delay can aim at them.
            await anyio.sleep(delay_s)
            await kernel.interrupt()
        assert cell.reply.missing == 0
        reached += truthful(cell, done)
        await next_is_untouched(kernel)
    assert 0 < reached < total, "the sweep missed the end of the cells"
    assert (await kernel.ask("hello"))["pid"] == kernel.info.pid


@pytest.mark.parametrize(
    "source",
    [
        "print('in', flush=True)\nwhile True: print('x' * 50)",
        "print('in', flush=True)\nwhile True: print('x', flush=True)",
        "from IPython.display import display\nprint('in', flush=True)\nwhile True: display(1)",
        "import sys\nprint('in', flush=True)\nwhile True: sys.stderr.write('e')",
    ],
    ids=["prints", "flushed", "displays", "stderr"],
)
async def test_interrupts_of_cells_that_print_all_the_time(shots: tuple[LocalKernel, int], source: str) -> None:
    """Nothing of the message that was in the making is torn; the next cell's are all there."""
    kernel, total = shots
    for number in range(total // 4):
        async with begun(kernel, source) as cell:
            await cell.until_printed("in")
            # The making of a message gives no sign either: the delay moves the interrupt through it.
            await anyio.sleep(0.002 * number / total)
            await kernel.interrupt()
        assert truthful(cell, "")
        await next_is_untouched(kernel)
    assert (await kernel.ask("hello"))["pid"] == kernel.info.pid


async def test_bursts_of_interrupts_are_one_interrupt(shots: tuple[LocalKernel, int]) -> None:
    """Whoever presses the key five times loses nothing but the cell."""
    kernel, total = shots
    for number in range(total // 10):
        done = f"done {number}"
        async with begun(kernel, f"import time\nfor _ in range(100): time.sleep(0.001)\n'{done}'") as cell:
            for _ in range(5):
                # Without a pause the signals would merge while they are pending, and be one.
                await anyio.sleep(0.0005)
                await kernel.interrupt()
        truthful(cell, done)
        await next_is_untouched(kernel)


@pytest.mark.parametrize("handler", ["signal.SIG_DFL", "signal.SIG_IGN", "signal.default_int_handler"])
@pytest.mark.parametrize("code", ["await asyncio.sleep(60)", "time.sleep(60)"])
async def test_a_handler_of_an_earlier_cell_is_gone(kernel: LocalKernel, handler: str, code: str) -> None:
    """What one cell does to SIGINT holds for that cell: later ones are interrupted, and the kernel lives."""
    await run(kernel, f"import asyncio, signal, time; kept = 5; signal.signal(signal.SIGINT, {handler})")
    async with begun(kernel, f"print('in', flush=True)\n{code}") as cell:
        await cell.until_printed("in")
        await kernel.interrupt()
    assert cell.reply.interrupted
    await kernel.settle()
    assert (await run(kernel, "kept")).result() == "5"
