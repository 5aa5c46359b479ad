"""A kernel whose server was killed while it ended the kernel."""

import anyio
import pytest

from mcp_notebook.errors import KernelDied
from mcp_notebook.kernels.base import Exit
from mcp_notebook.settings import Settings
from tests.kernels.cells import WITHIN_S, Cell, running
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("lean", [True, False], ids=["lean", "stock"])
@pytest.mark.parametrize("age", [NEWEST, OLDEST])
async def test_a_kernel_that_was_told_to_end_does_so_in_the_middle_of_a_cell(
    settings: Settings, age: str, lean: bool
) -> None:
    """Nobody kills it, and its cell would go on for ever."""
    async with running(settings, interpreter(age), lean=lean) as kernel, anyio.create_task_group() as tasks:
        cell = Cell()

        async def run() -> None:
            with pytest.raises(KernelDied):
                await kernel.execute("input('Which? ')", cell_id="cell", on_message=cell.add, on_input=cell.ask)

        tasks.start_soon(run)
        await cell.until(lambda: bool(cell.prompts))
        kernel._conversation.send("control", "shutdown_request", {"restart": False})
        with anyio.fail_after(2 * WITHIN_S):
            assert await kernel.wait_dead() == Exit(code=0)
