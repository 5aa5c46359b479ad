"""What a lean kernel leaves out, and that nobody misses it."""

import pytest

from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.kernels.cells import run, running
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

pytestmark = pytest.mark.anyio

COUNT_TRANSFORMATIONS = """
seen = []
def count(lines):
    seen.append("".join(lines))
    return lines
get_ipython().input_transformers_cleanup.append(count)
"""
DOUBLE_FROM_NOW_ON = """
get_ipython().input_transformers_cleanup.append(lambda lines: [line.replace("21", "42") for line in lines])
import asyncio
"""
TEAR_TWO_SENDS = """
thread, schedule = get_ipython().kernel.iopub_thread, get_ipython().kernel.iopub_thread.schedule
def torn(*args):
    thread.schedule = schedule
    raise KeyboardInterrupt
for _ in range(2):
    thread.schedule = torn
    try:
        get_ipython().kernel.session.send(thread.background_socket, "stream", {"name": "stdout", "text": "x"})
    except KeyboardInterrupt:
        print("torn")
"""
RAISE_WHEN_WAKING = """
loop = get_ipython().kernel.iopub_thread.io_loop.asyncio_loop
def raising(*args):
    del loop.call_soon_threadsafe
    raise TimeoutError
while True:  # the thread may have been woken and not have looked yet; then nobody wakes it
    print("before", flush=True)
    loop.call_soon_threadsafe = raising
    try:
        print("lost?", flush=True)
    except TimeoutError:
        print("raised")
        break
    vars(loop).pop("call_soon_threadsafe", None)
"""
SCHEDULE_WITH_A_FAILURE = """
import threading
thread, done, last = get_ipython().kernel.iopub_thread, [], threading.Event()
for number in range(100):
    thread.schedule(lambda number=number: 1 / 0 if number == 50 else done.append(number))
thread.schedule(last.set)
print(last.wait(10), done == [number for number in range(100) if number != 50])
"""


@pytest.mark.parametrize("age", [OLDEST, NEWEST])
async def test_a_cell_is_transformed_once(settings: Settings, age: str) -> None:
    """ipykernel and IPython both want to see it transformed; a transformer of the user's sees it once."""
    async with running(settings, interpreter(age)) as kernel:
        await run(kernel, COUNT_TRANSFORMATIONS)
        await run(kernel, "x = 1")
        assert (await run(kernel, "seen.count('x = 1\\n')")).result() == "1"


async def test_the_same_cell_is_transformed_again_when_it_runs_again(kernel: LocalKernel) -> None:
    """What a transformation gave is not kept beyond its cell, also not by a cell that awaits."""
    await run(kernel, "import asyncio")
    awaiting = "await asyncio.sleep(0); print(21)"
    assert (await run(kernel, awaiting)).text() == "21\n"
    await run(kernel, DOUBLE_FROM_NOW_ON)
    assert (await run(kernel, awaiting)).text() == "42\n"


async def test_nothing_is_logged_for_a_cell(kernel: LocalKernel) -> None:
    """The kernel's own log has records of the level that it shows, and no others are made."""
    enabled = "get_ipython().kernel.log.isEnabledFor(10), get_ipython().kernel.log.isEnabledFor(30)"
    assert (await run(kernel, enabled)).result() == "(False, True)"


async def test_a_call_that_fails_holds_none_back(kernel: LocalKernel) -> None:
    """What is scheduled for the IOPub thread behind a call that raises is done all the same, in order."""
    assert (await run(kernel, SCHEDULE_WITH_A_FAILURE)).text() == "True True\n"
    assert (await run(kernel, "print('and goes on')")).text() == "and goes on\n"


@pytest.mark.parametrize("age", [OLDEST, NEWEST])
async def test_a_torn_send_costs_no_later_cell_anything(settings: Settings, age: str) -> None:
    """What the kernel counted and never sent is not waited for again and again."""
    async with running(settings, interpreter(age)) as kernel:
        assert (await run(kernel, TEAR_TWO_SENDS)).text() == "torn\ntorn\n"
        for _ in range(3):
            cell = await run(kernel, "print('here')")
            assert (cell.text(), cell.reply.missing) == ("here\n", 0)


async def test_a_handler_that_raises_while_the_thread_is_woken_silences_nobody(kernel: LocalKernel) -> None:
    """A time-out by SIGALRM, say, in the middle of a print: the next one is sent."""
    assert (await run(kernel, RAISE_WHEN_WAKING)).text().endswith("raised\n")
    assert (await run(kernel, "print('here')")).text() == "here\n"
