"""A session as the host of its cells' runtime calls, and the task that answers one kernel's.

What a call may know of its session is said here, and nothing else.
"""

import logging
import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
import psutil

from hermes_runtime import wire
from mcp_notebook.errors import KernelError
from mcp_notebook.kernels.base import Kernel
from mcp_notebook.ledger import Ledger
from mcp_notebook.life import KernelLife
from mcp_notebook.options import SessionOptions
from mcp_notebook.policy import Policy
from mcp_notebook.runtime import Made, Runtime, door

BEGUN = "runtime.begun"
"""Beside the connection file: the number of the call that came last over the stdin channel. The kernel asks the next
server for it too, where it was not answered."""
OWN_VARIABLES = ("JPY_PARENT_PID",)
"""What the kernel was given for itself."""

logger = logging.getLogger(__name__)


class SessionHost:
    """What ``runtime.Host`` and ``runtime.Cells`` ask for.

    ``notebook`` gives this_notebook() its answer; ``on_late`` is called with the id of an execution that has ended
    before a call of its code did.
    """

    def __init__(
        self,
        options: SessionOptions,
        life: KernelLife,
        ledger: Ledger,
        notebook: Callable[[], dict[str, Any]],
        on_late: Callable[[str], None],
    ) -> None:
        self._options = options
        self._life = life
        self._ledger = ledger
        self.notebook = notebook
        self._on_late = on_late
        self._environment: tuple[int, Mapping[str, str]] | None = None

    @property
    def workspace(self) -> Path:
        return self._options.workspace.resolve()

    @property
    def directory(self) -> Path:
        return self._options.directory

    @property
    def policy(self) -> Policy:
        return self._options.policy

    @property
    def credentials(self) -> Mapping[str, str]:
        return self._options.client_environment()

    @property
    def environment(self) -> Mapping[str, str]:
        """As the kernel's process began with it: true also when an earlier server started that."""
        pid = self._life.info.pid if self._life.info is not None else None
        if pid is None:
            return {}
        if self._environment is None or self._environment[0] != pid:
            with suppress(psutil.Error):
                self._environment = pid, environment_of(pid)
        return self._environment[1] if self._environment is not None else {}

    async def ask(self, question: str, schema: Mapping[str, Any]) -> Any:
        return await self._life.ask_user(question, schema)

    def running(self) -> Made | None:
        running = self._life.running
        return running.made if running is not None else None

    def called(self, made: Made) -> None:
        made.ended[-1] = self._options.masking.data(made.ended[-1])
        running = self._life.running
        if running is not None and running.made is made:
            self._ledger.called(running)
        else:  # a thread made it
            self._on_late(made.execution)


def environment_of(pid: int) -> dict[str, str]:
    """What a kernel's process was given. Raises psutil.Error: it is gone."""
    found = psutil.Process(pid).environ()
    return {name: found[name] for name in found if name not in OWN_VARIABLES}


async def answer_calls(
    runtime: Runtime,
    policy: Policy,
    kernel: Kernel,
    *,
    task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Answer one kernel's calls until cancelled; nothing is done for one that has no hermes_runtime."""
    if kernel.info.interpreter is None:
        task_status.started()
        return
    try:
        token = await anyio.to_thread.run_sync(door.token_of, kernel.directory, policy.carrier)
        answer = partial(runtime.answer, token=token)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_answer_over_stdin, kernel, answer, runtime.leaving)
            await door.serve(kernel.directory, answer, policy.answer_bytes, runtime.leaving, task_status=task_status)
    except* OSError:
        logger.exception("The calls of the kernel in %s cannot be answered", kernel.directory)
        with suppress(RuntimeError):  # it was said already
            task_status.started()


async def _answer_over_stdin(kernel: Kernel, answer: door.Answer, leaving: anyio.Event) -> None:
    """One call at a time: the next one, or None, says that nobody waits for the one before, which then ends."""
    sending, asked = anyio.create_memory_object_stream[str | None](math.inf)
    kernel.on_call(sending.send_nowait)
    number, scope = "", anyio.CancelScope()
    begun = kernel.directory / BEGUN
    begun_before = _mark_in(begun)

    async def carry_out(own: anyio.CancelScope, mark: str, line: str) -> None:
        with own:
            lost = _lost(line)
            if lost is not None and mark == begun_before:
                answered = lost
            else:
                if lost is not None:
                    with suppress(OSError):
                        begun.write_text(mark)
                answered = await answer(line.encode("utf-8", "surrogatepass"))
            with suppress(KernelError):
                await kernel.input_reply(f"{mark} {answered.decode()}")

    async def take_turns() -> None:
        nonlocal number, scope
        async with anyio.create_task_group() as tasks:
            async for each in asked:
                mark, _, line = (each or "").partition(" ")
                if each is not None and mark == number:  # it asks again, after an answer that was not its own
                    continue
                scope.cancel()
                number, scope = mark, anyio.CancelScope()
                if each is not None and not leaving.is_set():
                    tasks.start_soon(carry_out, scope, mark, line)

    with sending, asked:
        try:
            await take_turns()
        finally:
            kernel.on_call(lambda _line: None)


def _mark_in(begun: Path) -> str | None:
    """The call that an earlier server had begun last."""
    with suppress(OSError, ValueError):
        return begun.read_text()
    return None


def _lost(line: str) -> bytes | None:
    """What is answered where an earlier server had begun this call; None where it can be carried out again."""
    with suppress(ValueError):
        tool = wire.parsed_request(line)[0]
        if tool not in wire.REPEATABLE:
            return wire.refusal(wire.LOST.format(tool))
    return None
