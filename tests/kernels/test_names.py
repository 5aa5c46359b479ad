"""The names that a kernel tells of, at each cell's end that changed them: what is lost when it dies."""

import pytest

from hermes_runtime.names import LONGEST, MOST
from mcp_notebook.kernels.base import Defined
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.kernels.cells import run, running
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

pytestmark = pytest.mark.anyio


async def names(kernel: LocalKernel, source: str) -> tuple[str, ...]:
    """Those that are known after ``source``."""
    await run(kernel, source)
    assert kernel.defined is not None
    return kernel.defined.names


@pytest.mark.parametrize("age", [NEWEST, OLDEST])
@pytest.mark.parametrize("lean", [True, False], ids=["lean", "stock"])
async def test_names_come_and_go(settings: Settings, age: str, lean: bool) -> None:
    """In the order of their definition; modules, private names and the shell's own are not the user's variables."""
    async with running(settings, interpreter(age), lean=lean) as kernel:
        await run(kernel, "import os, sys as system\n_private = 1\n1 + 1")
        assert kernel.defined in (None, Defined())
        assert await names(kernel, "a = 1\nb = 2\ndef f(): pass") == ("a", "b", "f")
        assert await names(kernel, "a = 10\nimport json") == ("a", "b", "f")
        assert await names(kernel, "del a") == ("b", "f")
        assert await names(kernel, "del f; c = 3; f = 4") == ("b", "c", "f")
        assert await names(kernel, "del b; d = 1") == ("c", "f", "d")
        assert await names(kernel, "e = 1\n1 / 0") == ("c", "f", "d", "e")
        assert await names(kernel, "%reset -f") == ()
        assert await names(kernel, "x = 1") == ("x",)


async def test_names_of_every_kind(kernel: LocalKernel) -> None:
    """Many, long ones, and what no code could name, which is passed over: the reply comes in any case."""
    odd = "globals().update({1: 2, None: 3, '\\ud800': 4, 'l' * 10_000: 5, 'a line\\n': 6})"
    assert await names(kernel, odd) == ("l" * LONGEST,)
    found = await names(kernel, "globals().update({f'n{i}': i for i in range(10_000)})")
    assert found == tuple(f"n{i}" for i in range(10_000 - MOST, 10_000))
    assert kernel.defined == Defined(found, 10_001)
    assert (await names(kernel, "del n9999, n5")) == tuple(f"n{i}" for i in range(9_998 - MOST + 1, 9_999))
    busy = "import threading\nstop = []\ndef churn():\n    while not stop: globals()['t'] = 1; globals().pop('t')\n"
    await run(kernel, f"{busy}threads = [threading.Thread(target=churn) for _ in range(4)]")
    await run(kernel, "for thread in threads: thread.start()")
    for number in range(20):
        assert (await run(kernel, f"beside_{number} = 1")).reply.status == "ok"
    assert "last" in await names(kernel, "stop.append(1)\nfor thread in threads: thread.join()\nlast = 1")
