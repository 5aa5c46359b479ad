"""The behaviours that everything else stands on, the same on both ends of ipykernel's versions, lean and stock."""

from collections.abc import AsyncIterator

import anyio
import pytest

from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.kernels.cells import WITHIN_S, begun, run, running
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

pytestmark = pytest.mark.anyio

KINDS = [(NEWEST, True), (NEWEST, False), (OLDEST, True), (OLDEST, False)]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{'lean' if kind[1] else 'stock'}")
async def kernel(request: pytest.FixtureRequest, settings: Settings, anyio_backend: str) -> AsyncIterator[LocalKernel]:
    """One kernel of each kind; a test leaves it usable for the next."""
    age, lean = request.param
    async with running(settings, interpreter(age), lean=lean) as kernel:
        yield kernel


async def test_it_tells_what_it_is(kernel: LocalKernel) -> None:
    """Language and version come from the kernel itself."""
    assert kernel.info.language == "python"
    assert kernel.info.version.startswith("ipython ")
    hello = await kernel.ask("hello")
    assert hello["pid"] == kernel.info.pid


async def test_a_reply_counts_its_messages(kernel: LocalKernel) -> None:
    """All of them are here when the execution is complete, and none is missing."""
    for _ in range(20):
        cell = await run(kernel, "print('a'); print('b'); 40 + 2")
        assert cell.reply.status == "ok"
        assert cell.reply.missing == 0
        assert cell.reply.interrupted is False
        assert cell.text() == "a\nb\n"
        assert cell.result() == "42"


async def test_large_prints_are_whole_before_the_reply(kernel: LocalKernel) -> None:
    """300 cells of 1 MB each: nothing of a cell comes after its end."""
    for number in range(300):
        cell = await run(kernel, f"print('{number % 10}' * 1_000_000)")
        assert cell.text() == str(number % 10) * 1_000_000 + "\n"
        assert cell.reply.missing == 0


async def test_the_control_channel_answers_while_a_cell_runs(kernel: LocalKernel) -> None:
    """Also while the cell does nothing but compute."""
    await run(kernel, "go_on = True")
    async with begun(kernel, "print('in', flush=True)\nwhile go_on: pass") as cell:
        await cell.until_printed("in")
        with anyio.fail_after(WITHIN_S):
            assert (await kernel.ask("hello"))["pid"] == kernel.info.pid
        assert not cell.replies
        await kernel.interrupt()


@pytest.mark.parametrize(
    "source",
    [
        "print('in', flush=True)\nwhile True: pass",
        "import time; print('in', flush=True)\ntime.sleep(600)",
        "import asyncio; print('in', flush=True)\nawait asyncio.sleep(600)",
        "print('in', flush=True)\nwhile True: print('x' * 100)",
        "print('in', flush=True)\nwhile True: print('x', flush=True)",
        "print('in', flush=True)\nimport threading; threading.Event().wait()",
        "def f():\n    while True: pass\nprint('in', flush=True)\nf()",
        "print('in', flush=True)\nasync def g():\n    while True: pass\nawait g()",
    ],
    ids=["loop", "sleep", "await", "prints", "flushed-prints", "event", "function", "coroutine-loop"],
)
async def test_an_interrupt_stops_the_code_and_keeps_the_state(kernel: LocalKernel, source: str) -> None:
    """The reply tells of the interrupt, and the next cell finds what was defined."""
    await run(kernel, "kept = 'still here'")
    async with begun(kernel, source) as cell:
        await cell.until_printed("in")
        await kernel.interrupt()
    assert cell.reply.status == "error"
    assert cell.reply.interrupted is True
    assert cell.errors() in (["KeyboardInterrupt"], ["CancelledError"])
    await kernel.settle()
    after = await run(kernel, "kept")
    assert (after.reply.status, after.result()) == ("ok", "'still here'")


async def test_an_interrupt_ends_a_waiting_input(kernel: LocalKernel) -> None:
    """And the next input() gets its own answer."""
    async with begun(kernel, "input('first? ')") as cell:
        await cell.until(lambda: bool(cell.prompts))
        await kernel.interrupt()
    assert cell.reply.interrupted is True
    await kernel.settle()
    async with begun(kernel, "line = input('second? ')") as second:
        await second.until(lambda: bool(second.prompts))
        await kernel.input_reply("an answer")
    assert second.prompts == [("second? ", False)]
    assert (await run(kernel, "line")).result() == "'an answer'"


async def test_a_password_prompt_is_told_as_one(kernel: LocalKernel) -> None:
    """Whoever answers it must know."""
    async with begun(kernel, "import getpass; p = getpass.getpass('pw: ')") as cell:
        await cell.until(lambda: bool(cell.prompts))
        await kernel.input_reply("secret")
    assert cell.prompts == [("pw: ", True)]
    assert cell.reply.status == "ok"


async def test_an_interrupt_between_cells_reaches_nobody(kernel: LocalKernel) -> None:
    """The next cell runs as if there had been none."""
    for _ in range(20):
        await kernel.interrupt()
        await kernel.settle()
        cell = await run(kernel, "import time; time.sleep(0.001); 'whole'")
        assert (cell.reply.status, cell.reply.interrupted) == ("ok", False)
        assert cell.result() == "'whole'"


async def test_a_traceback_of_an_interrupt_ends_in_the_cells_own_line(kernel: LocalKernel) -> None:
    """Nothing of the product's own code is shown to the author of the cell."""
    async with begun(kernel, "print('in', flush=True)\nwhile True:\n    pass  # here it was") as cell:
        await cell.until_printed("in")
        await kernel.interrupt()
    traceback = "\n".join(cell.reply.content["traceback"])
    assert "here it was" in traceback
    for ours in ("on_sigint", "hermes_runtime", "mcp_notebook"):
        assert ours not in traceback


async def test_a_traceback_of_an_error_has_no_frames_of_ours(kernel: LocalKernel) -> None:
    """Wrapping the kernel's execution leaves no trace."""
    cell = await run(kernel, "def f():\n    1 / 0\nf()")
    traceback = "\n".join(cell.reply.content["traceback"])
    assert "ZeroDivisionError" in traceback
    assert "kernel.py" not in traceback


async def test_what_child_processes_write_is_in_the_cell_that_made_them(kernel: LocalKernel) -> None:
    """By ``os.system``, ``subprocess`` and ``!``, in 20 cells one after the other."""
    for number in range(20):
        cell = await run(kernel, f"import os; _ = os.system('echo by system {number}; echo err {number} >&2')")
        assert f"by system {number}\n" in cell.text()
        assert f"err {number}\n" in cell.text("stderr")
        cell = await run(kernel, f"import subprocess; _ = subprocess.run(['echo', 'by run {number}'])")
        assert f"by run {number}\n" in cell.text()
    assert "by shell" in (await run(kernel, "!echo by shell")).text()


async def test_what_forked_children_print_is_in_the_cell(kernel: LocalKernel) -> None:
    """A child of ``multiprocessing`` prints through the kernel, and the counts stay right."""
    source = (
        "import sys, multiprocessing as mp\ncontext = mp.get_context('fork')\n"
        "def work(n): sys.stdout.write(f'child {n}\\n')\n"
        "children = [context.Process(target=work, args=(n,)) for n in range(4)]\n"
        "for child in children: child.start()\n"
        "for child in children: child.join()\n"
    )
    cell = await run(kernel, source)
    assert cell.reply.status == "ok"
    await cell.until(lambda: all(f"child {n}\n" in cell.text() for n in range(4)))
    after = await run(kernel, "print('after'); 1 + 1")
    assert (after.text(), after.result(), after.reply.missing) == ("after\n", "2", 0)


async def test_late_output_of_a_thread_reaches_the_cell_that_started_it(kernel: LocalKernel) -> None:
    """Printed while another cell runs, it is not that cell's."""
    await run(kernel, "import threading; gate = threading.Event()")
    source = "def later():\n    gate.wait(); print('late')\nthread = threading.Thread(target=later); thread.start()"
    first = await run(kernel, source)
    second = await run(kernel, "gate.set(); thread.join(); print('own')")
    await first.until_printed("late")
    assert second.text() == "own\n"


async def test_variables_are_told_while_a_cell_runs(kernel: LocalKernel) -> None:
    """What is defined can be asked for at any time."""
    from mcp_notebook.inspection import inspect_kernel

    async with begun(kernel, "seen = [1, 2, 3]; print('in', flush=True)\nwhile True: pass") as cell:
        await cell.until_printed("in")
        overview = await inspect_kernel(kernel, None)
        await kernel.interrupt()
    assert "seen" in [variable["name"] for variable in overview["variables"]]
