"""Cells that do their worst to their own kernel: there is a reply, and the next cell runs."""

import contextlib

import anyio
import pytest

from mcp_notebook.errors import KernelDied
from mcp_notebook.kernels.base import Exit
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.kernels.cells import WITHIN_S, begun, run, running

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "source",
    [
        "import os; os.close(1); os.close(2)",
        "import sys; sys.stdout = sys.stderr = open(os.devnull, 'w')",
        "import sys; sys.stdout.close()",
        "import sys; sys.stdout = None; sys.stderr = None",
        "import sys, io; sys.stdout = io.StringIO(); sys.stdout.close()",
        "import sys; sys.stdout = 5; sys.stderr = object()",
        "import sys; del sys.stdout",
        "import asyncio; asyncio.set_event_loop(asyncio.new_event_loop())",
        "import asyncio; asyncio.get_event_loop().call_soon(lambda: 1 / 0)",
        "%reset -f",
        "import gc, signal; signal.signal(signal.SIGINT, signal.SIG_DFL)",
        "import os\npid = os.fork()\nif not pid: os._exit(0)\nos.waitpid(pid, 0)",
        "import glob, os, sys; os.remove(sys.argv[sys.argv.index('-f') + 1])",
        "get_ipython().events.register('post_execute', lambda: 1 / 0)",
        "import builtins; builtins.print = None",
        "import sys; sys.settrace(lambda *a: None)",
        "import threading; threading.Thread(target=lambda: 1 / 0).start()",
        "import logging; logging.disable(); logging.shutdown()",
        "import os; os.chdir('/'); os.environ.clear()",
        "raise ValueError('\\ud83d lone')",
        "class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E",
        "class R:\n    def __repr__(self): raise KeyboardInterrupt\nR()",
        "raise KeyboardInterrupt",
        "raise GeneratorExit",
        "raise BaseException('base')",
        "import asyncio; raise asyncio.CancelledError",
        "import asyncio; asyncio.current_task().cancel(); await asyncio.sleep(1)",
        "'unterminated",
        "",
        "\n\n# only a comment",
    ],
)
async def test_a_cell_gets_its_reply_whatever_it_does(settings: Settings, source: str) -> None:
    """And the next cell runs and shows its result."""
    async with running(settings) as kernel:
        await run(kernel, "import os")
        cell = await run(kernel, source)
        assert cell.reply.status in ("ok", "error")
        assert (await run(kernel, "6 * 7")).result() == "42"


@pytest.mark.parametrize("text", ["\\ud83d", "\\udc80", "a\\ud83db\\ude00"])
async def test_a_lone_surrogate_is_shown_as_its_escape(kernel: LocalKernel, text: str) -> None:
    """UTF-8 does not have it; the rest of the text and of the cell is as it was."""
    cell = await run(kernel, f"print('before {text} after'); 'next'")
    assert cell.text().replace("\n", "") == f"before {text} after"
    assert cell.result() == "'next'"
    assert cell.reply.missing == 0
    displayed = await run(kernel, f"from IPython.display import display; display({{'text/plain': '{text}'}}, raw=True)")
    shown = [m["content"]["data"] for m in displayed.messages if m["header"]["msg_type"] == "display_data"]
    assert shown == [{"text/plain": text}]


async def test_a_kernel_that_ends_itself_is_dead(settings: Settings) -> None:
    """``do_shutdown`` from a cell is an end like any other, with its code."""
    async with running(settings) as kernel:
        with anyio.move_on_after(WITHIN_S):
            with contextlib.suppress(KernelDied):
                await run(kernel, "get_ipython().kernel.do_shutdown(False); get_ipython().kernel.io_loop.stop()")
        with anyio.fail_after(WITHIN_S):
            assert await kernel.wait_dead() == Exit(code=0)


async def test_50_mb_of_print_arrive(kernel: LocalKernel) -> None:
    """In one call and line by line."""
    cell = await run(kernel, "print('x' * 50_000_000)")
    assert len(cell.text()) == 50_000_001
    cell = await run(kernel, "for n in range(100_000): print(f'{n:06d}', 'y' * 92)")
    assert len(cell.text()) == 100_000 * 100
    assert cell.reply.missing == 0


async def test_a_source_of_5_mb_runs(kernel: LocalKernel) -> None:
    """There is no limit on the way."""
    cell = await run(kernel, "big = '" + "x" * 5_000_000 + "'\nlen(big)")
    assert cell.result() == "5000000"


async def test_a_cell_that_swallows_everything_is_left_alone_and_told(settings: Settings) -> None:
    """The interrupt reaches it; what it makes of it is its own business."""
    async with running(settings) as kernel:
        source = (
            "import time\ncaught = 0\nwhile caught < 3:\n    try:\n        print('in', caught, flush=True)\n"
            "        time.sleep(600)\n    except KeyboardInterrupt:\n        caught += 1"
        )
        async with begun(kernel, source) as cell:
            for count in range(3):
                await cell.until_printed(f"in {count}\n")
                await kernel.interrupt()
        assert cell.reply.status == "ok"
        assert cell.reply.interrupted is True


async def test_a_forked_child_does_not_live_on_as_a_second_kernel(kernel: LocalKernel) -> None:
    """It runs the rest of its cell, and ends there instead of answering on its parent's sockets."""
    cell = await run(kernel, "import os; child = os.fork(); child")
    assert cell.result() == await forked(kernel)
    for number in range(20):
        assert (await run(kernel, f"{number}")).result() == str(number)


async def forked(kernel: LocalKernel) -> str | None:
    """The child's number, once it has ended in order."""
    ended = await run(kernel, "os.waitpid(child, 0)[1]")
    assert ended.result() == "0"
    return (await run(kernel, "child")).result()


async def test_an_idle_kernel_that_never_replied_is_told_as_unknown(settings: Settings) -> None:
    """Whether the cell ended well cannot be known, so it is not said; the caller does not hang."""
    async with running(settings) as kernel:
        cell = await run(kernel, "get_ipython().kernel.finish_metadata = None")
        assert cell.reply.status == "unknown"


async def test_what_a_pools_thread_prints_belongs_to_who_handed_in_the_work(kernel: LocalKernel) -> None:
    """Not to the cell that made the pool, whose thread it is."""
    await run(kernel, "from concurrent.futures import ThreadPoolExecutor; pool = ThreadPoolExecutor(1)")
    first = await run(kernel, "pool.submit(print, 'one').result()")
    second = await run(kernel, "pool.submit(print, 'two').result()")
    assert (first.text(), second.text()) == ("one\n", "two\n")


async def test_a_cell_that_closes_stdout_closes_it_for_no_other(kernel: LocalKernel) -> None:
    """The next one prints."""
    await run(kernel, "import sys; sys.stdout.close(); sys.stderr.close()")
    assert (await run(kernel, "print('here')")).text() == "here\n"
