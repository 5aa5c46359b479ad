"""The queue of a new server goes on with what the earlier one had begun, and then runs what waits."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import pytest

from mcp_notebook.execution import Execution
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.outputs import Displays, OutputCollector
from mcp_notebook.queue import ExecutionQueue
from mcp_notebook.settings import Settings
from tests.kernels.takeovers import adopted, served
from tests.live import finished, soon

pytestmark = pytest.mark.anyio


@dataclass
class Queue:
    """A queue whose first execution is an adopted one."""

    kernel: LocalKernel
    queue: ExecutionQueue
    first: Execution
    begun: list[Execution] = field(default_factory=list)
    sent: list[tuple[Execution, str]] = field(default_factory=list)


def execution(source: str, name: str | None = None) -> Execution:
    return Execution("cell", source, "rev", OutputCollector(Displays()), name)


@asynccontextmanager
async def taken_over(settings: Settings, source: str) -> AsyncIterator[Queue]:
    """``source`` has begun under a server that is dead; it asks for input or prints at once."""
    async with served(sockets=str(settings.sockets), cell=source) as server:
        await server.until(lambda facts: "prompt" in facts or facts["streams"] > 0)
        await server.kill()
        async with adopted(server.facts) as kernel, anyio.create_task_group() as tasks:
            begun: list[Execution] = []
            sent: list[tuple[Execution, str]] = []
            queue = ExecutionQueue(tasks, begun.append, lambda _: None, lambda _: None, lambda *each: sent.append(each))
            first = execution(source, "e-earlier")
            first.resumed(7, 100.0)
            queue.adopt(first, server.facts["msg_id"])
            tasks.start_soon(queue.work, kernel)
            yield Queue(kernel, queue, first, begun, sent)
            tasks.cancel_scope.cancel()


async def test_an_adopted_execution_is_answered_and_ends(settings: Settings) -> None:
    """It is the running one from the start, keeps its id, and is not told to have begun again."""
    async with taken_over(settings, "print('before'); input('name? ')") as it:
        assert (it.queue.running, it.queue.pending) == (it.first, [it.first])
        waiting = execution("'next'")
        it.queue.put(waiting)
        assert await it.first.wait(10)
        assert (it.first.id, it.first.status, it.first.prompt) == ("e-earlier", "waiting_for_input", "name? ")
        await it.queue.answer(it.kernel, "Ada")
        await finished(waiting)
        assert (it.first.status, it.first.order, waiting.order) == ("ok", 7, 8)
        assert (it.first.elapsed_s or 0) > 100
        assert [output["output_type"] for output in it.first.outputs] == ["stream", "execute_result"]
        assert it.begun == [waiting]
        assert [each for each, _ in it.sent] == [waiting]


@pytest.mark.parametrize("how", ["interrupt", "cancel"])
async def test_an_adopted_execution_can_be_stopped(settings: Settings, how: str) -> None:
    """As any other, also before the kernel has told what it is doing."""
    async with taken_over(settings, "print('in', flush=True)\nwhile True: pass") as it:
        await soon(getattr(it.queue, how)(it.kernel, it.first))
        assert (it.first.status, it.first.asked_to_stop) == ("interrupted", True)
        assert it.first.outputs[0]["text"] == "in\n"


async def test_an_adopted_execution_dies_with_its_kernel(settings: Settings) -> None:
    """It is told as dead."""
    async with taken_over(settings, "input()") as it:
        await it.kernel.kill()
        await finished(it.first)
        assert it.first.status == "dead"
