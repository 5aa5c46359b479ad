"""A real kernel for as long as a test needs it, and what a cell of it gave."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from mcp_notebook.kernels.base import Reply
from mcp_notebook.kernels.keeping import Keeper
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.kernels.start import start_kernel
from mcp_notebook.outputs import Message
from mcp_notebook.settings import Settings

WITHIN_S = 15.0
"""Longer than anything here takes; a test that reaches it has failed."""


@dataclass
class Cell:
    """What one execution has given so far."""

    messages: list[Message] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    prompts: list[tuple[str, bool]] = field(default_factory=list)
    _watchers: list[tuple[Callable[[], bool], anyio.Event]] = field(default_factory=list)

    @property
    def reply(self) -> Reply:
        return self.replies[0]

    def text(self, name: str = "stdout") -> str:
        """What it printed to one stream."""
        contents = (m["content"] for m in self.messages if m["header"]["msg_type"] == "stream")
        return "".join(content["text"] for content in contents if content["name"] == name)

    def errors(self) -> list[str]:
        """Names of the exceptions that it showed."""
        return [str(m["content"]["ename"]) for m in self.messages if m["header"]["msg_type"] == "error"]

    def result(self) -> str | None:
        """The text of its last expression."""
        contents = [m["content"] for m in self.messages if m["header"]["msg_type"] == "execute_result"]
        return str(contents[-1]["data"]["text/plain"]) if contents else None

    def add(self, message: Message) -> None:
        self.messages.append(message)
        self._look()

    def ask(self, prompt: str, password: bool, _number: int) -> None:
        self.prompts.append((prompt, password))
        self._look()

    async def until(self, claim: Callable[[], bool]) -> None:
        """Return when ``claim`` is true of what has arrived."""
        arrived = anyio.Event()
        self._watchers.append((claim, arrived))
        self._look()
        with anyio.fail_after(WITHIN_S):
            await arrived.wait()

    async def until_printed(self, text: str, name: str = "stdout") -> None:
        await self.until(lambda: text in self.text(name))

    def _look(self) -> None:
        for watcher in list(self._watchers):
            claim, arrived = watcher
            if claim():
                self._watchers.remove(watcher)
                arrived.set()


@asynccontextmanager
async def running(
    settings: Settings,
    kernel: str | None = None,
    *,
    lean: bool = True,
    environment: Mapping[str, str] | None = None,
    workspace: Path | None = None,
    timeout_s: float = WITHIN_S,
    keeper: Keeper | None = None,
) -> AsyncIterator[LocalKernel]:
    """A kernel that is ready; it is shut down afterwards."""
    async with anyio.create_task_group() as tasks:
        started = await start_kernel(
            kernel,
            workspace=workspace or settings.workspace,
            environment=settings.environment if environment is None else environment,
            withheld=(),
            cwd=workspace or settings.workspace,
            sockets=settings.sockets,
            logs=settings.home / "kernels",
            lean=lean,
            timeout_s=timeout_s,
            tasks=tasks,
            keeper=keeper,
        )
        try:
            yield started
        finally:
            await started.shutdown()


async def run(kernel: LocalKernel, source: str, cell: Cell | None = None) -> Cell:
    """Run ``source`` to its end."""
    cell = cell or Cell()
    with anyio.fail_after(WITHIN_S):
        reply = await kernel.execute(source, cell_id="cell", on_message=cell.add, on_input=cell.ask)
    cell.replies.append(reply)
    return cell


@asynccontextmanager
async def begun(kernel: LocalKernel, source: str) -> AsyncIterator[Cell]:
    """``source`` while it runs; the block ends when it has ended."""
    cell = Cell()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run, kernel, source, cell)
        yield cell
