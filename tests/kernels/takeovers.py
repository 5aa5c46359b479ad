"""A server in a process of its own, killed in the middle of its work, and the one that comes after it."""

import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from mcp_notebook.kernels.adopt import adopt
from mcp_notebook.kernels.local import LocalKernel
from tests.environments import REPOSITORY
from tests.kernels.cells import WITHIN_S, Cell
from tests.kernels.orphans import Orphan

COUNTS = """
import os, sys
from IPython.display import display
n = 0
while not os.path.exists({go!r}):
    sys.stdout.write(f"{{n}}\\n")
    n += 1
    if n % 3 == 0: sys.stdout.flush()
    if n % 50 == 0: os.system(f"echo child {{n}}")
    if n % 70 == 0: display({{"text/plain": f"shown {{n}}"}}, raw=True)
    if n % 10 == 0: __import__("time").sleep(0.001)
print("end", n)
open({done!r}, "w").close()
n
"""
"""Prints a counter until ``go`` exists, with and without flush; child processes print, things are displayed."""


class Server:
    """What the process of ``earlier_server`` has said so far."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.facts: dict[str, Any] = {"streams": 0}
        self._said = anyio.Event()

    async def listen(self) -> None:
        assert self.process.stdout is not None
        lines = BufferedByteReceiveStream(self.process.stdout)
        with suppress(anyio.IncompleteRead, anyio.EndOfStream):
            while True:
                said = json.loads(await lines.receive_until(b"\n", 100_000))
                self.facts["streams"] += said.pop("streams", 0)
                self.facts |= said
                self._said.set()
                self._said = anyio.Event()

    async def until(self, claim: Callable[[dict[str, Any]], bool]) -> None:
        with anyio.fail_after(2 * WITHIN_S):
            while not claim(self.facts):
                await self._said.wait()

    async def kill(self) -> None:
        """-9; returns when it is gone."""
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()


@asynccontextmanager
async def served(**asked: Any) -> AsyncIterator[Server]:
    """A server that does what ``earlier_server.Asked`` says; killed at the end, its kernel too unless adopted."""
    command = [sys.executable, "-m", "tests.kernels.earlier_server", json.dumps(asked)]
    async with await anyio.open_process(command, stderr=None, cwd=REPOSITORY) as process:
        server = Server(process)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(server.listen)
            try:
                yield server
            finally:
                with anyio.CancelScope(shield=True):
                    if process.returncode is None:
                        await server.kill()
                tasks.cancel_scope.cancel()


@asynccontextmanager
async def adopted(facts: dict[str, Any]) -> AsyncIterator[LocalKernel]:
    """The kernel in our hands; it is shut down afterwards."""
    async with anyio.create_task_group() as tasks:
        kernel = adopt(Orphan.kept(facts), tasks)
        try:
            yield kernel
        finally:
            await kernel.shutdown()


@asynccontextmanager
async def resumed(kernel: LocalKernel, msg_id: str) -> AsyncIterator[Cell]:
    """The cell that the earlier server had begun; the block ends when it has ended."""
    cell = Cell()

    async def resume() -> None:
        with anyio.fail_after(2 * WITHIN_S):
            cell.replies.append(await kernel.resume(msg_id, on_message=cell.add, on_input=cell.ask))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(resume)
        yield cell


def counted_once(cell: Cell) -> int:
    """Check that all of a cell ``COUNTS`` is here exactly once and in order; returns how far it counted."""
    lines = cell.text().splitlines()
    numbers = [int(line) for line in lines if line.isdigit()]
    reached = len(numbers)
    assert numbers == list(range(reached))
    assert [line for line in lines if line.startswith("end")] == [f"end {reached}"]
    children = [line for line in lines if line.startswith("child")]
    assert children == [f"child {n}" for n in range(50, reached + 1, 50)], (children, reached, cell.text("stderr"))
    shown = [m["content"]["data"]["text/plain"] for m in cell.messages if m["header"]["msg_type"] == "display_data"]
    assert shown == [f"shown {n}" for n in range(70, reached + 1, 70)]
    assert cell.result() == str(reached)
    states = [m["content"]["execution_state"] for m in cell.messages if m["header"]["msg_type"] == "status"]
    assert states in (["busy"], ["busy", "idle"]), states  # an execution is complete before it is idle
    reply = cell.reply
    assert (reply.status, reply.missing, reply.caveat, reply.interrupted) == ("ok", 0, "", False)
    return reached


def ends(directory: Path) -> tuple[str, Path, Path]:
    """The source of a counting cell, the file that ends it, and the one that it makes at its end."""
    go, done = directory / "go", directory / "done"
    return COUNTS.format(go=str(go), done=str(done)), go, done
