"""The kernel of a session through all its lives: started, running cells, interrupted, dead, started again.

There is no silent replacement: a kernel that died stays dead until somebody restarts it. It knows nothing of
the document.
"""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import anyio

from mcp_notebook.certificate import Certificate
from mcp_notebook.errors import BadRequest, KernelDied, KernelError
from mcp_notebook.execution import Execution
from mcp_notebook.kernels.base import Defined, Exit, Kernel, KernelInfo, Tasks
from mcp_notebook.questions import Question
from mcp_notebook.queue import ExecutionQueue, OnExecution, OnSent, Stopped

LAST_CELL_S = 1.0
"""Time for the running cell's end to be noticed after its kernel's death."""
RESTARTED = "The kernel was restarted."
ENDED = "The kernel was shut down."
SHUT_DOWN = "The kernel was shut down: call control_kernel(action='restart')."
NOT_STARTED = "There is no kernel, since its start failed or was cancelled: call control_kernel(action='restart')."


State = Literal["starting", "idle", "busy", "waiting_for_input", "dead", "shutdown"]
Attend = Callable[..., Coroutine[Any, Any, None]]
"""Answers the calls of a kernel: takes it, and ``task_status``."""
Certify = Callable[[Exit | None, Defined | None, str | None], Certificate]
"""Makes the certificate of the kernel's death, and keeps it: from how it ended (None: by a fault of ours), what it told
of its variables, and the id of the cell that was running."""
StartKernel = Callable[[str | None, Path, Tasks], Awaitable[Kernel]]
"""Starts the kernel of that name in that directory; the task group owns its watcher."""


class KernelLife:
    """One kernel at a time, and the queue of what it runs. ``tasks`` is the owner's."""

    def __init__(
        self,
        start_kernel: StartKernel,
        tasks: Tasks,
        *,
        on_begin: OnExecution,
        on_end: OnExecution,
        on_late: OnExecution,
        certify: Certify,
        on_death: Callable[[], None],
        on_sent: OnSent,
        attend: Attend,
        allow_stdin: bool = True,
    ) -> None:
        """Without ``allow_stdin`` an ``input()`` fails.

        ``attend`` is started for each kernel before its first cell, and cancelled at its end."""
        self.number = 0
        """Which life this is, from 1; cells of other lives are stale."""
        self.certificate: Certificate | None = None
        """Of the kernel's death, until it is started again."""
        self._start_kernel = start_kernel
        self._tasks = tasks
        self._queue = ExecutionQueue(tasks, on_begin, on_end, on_late, on_sent, self._on_death_in_cell)
        self._queue.allow_stdin = allow_stdin
        self._certify = certify
        self._on_death = on_death
        self._attend = attend
        self._asking = anyio.Lock()
        self._kernel: Kernel | None = None
        self._absence = NOT_STARTED
        """Why there is no kernel, and what to do."""
        self._starting = False
        self._ending = self._leaving = False
        self._ended_by = ENDED
        self._over = anyio.Event()
        self._lock = anyio.Lock()

    @property
    def death(self) -> str | None:
        """How the kernel died, what was lost and what to do, until it is started again."""
        return str(self.certificate) if self.certificate is not None else None

    @property
    def state(self) -> State:
        if self._starting:
            return "starting"
        if self.certificate is not None:
            return "dead"
        if self._kernel is None:
            return "shutdown"
        running = self._queue.running
        if running is None:
            return "busy" if self._queue.pending else "idle"
        return "waiting_for_input" if running.status == "waiting_for_input" else "busy"

    @property
    def info(self) -> KernelInfo | None:
        """Also of a dead kernel, until the next is started."""
        return self._kernel.info if self._kernel else None

    @property
    def defined(self) -> Defined | None:
        """What the kernel told of its variables."""
        return self._kernel.defined if self._kernel else None

    @property
    def running(self) -> Execution | None:
        return self._queue.running

    @property
    def pending(self) -> list[Execution]:
        """What has not finished, in the order it runs."""
        return self._queue.pending

    @property
    def why_not(self) -> str | None:
        """Why nothing can be run now, and what to do; None when it can, if only after the start."""
        if self._starting:
            return None
        return self._absence if self._kernel is None and self.death is None else self.death

    def kernel(self) -> Kernel:
        """The living kernel. Raises KernelDied, or KernelError: starting, or shut down."""
        if self._starting:
            raise KernelError("The kernel is starting: call again in a moment.")
        if self.death is not None:
            raise KernelDied(self.death)
        if self._kernel is None:
            raise KernelError(self._absence)
        return self._kernel

    def put(self, execution: Execution) -> None:
        self._queue.put(execution)

    async def start(self, name: str | None, cwd: Path) -> KernelInfo:
        """Start the first kernel. Raises KernelError."""
        async with self._lock:
            return await self._start(name, cwd)

    def adopt(
        self,
        kernel: Kernel | None,
        number: int,
        certificate: Certificate | None,
        pending: Sequence[tuple[Execution, str | None]],
    ) -> None:
        """Go on with the kernel of an earlier server, if it had one, and with what was to run on it.

        ``pending`` are executions in their order, with the message id of the one that was sent.
        """
        self.number, self.certificate, self._kernel, self._absence = number, certificate, kernel, SHUT_DOWN
        for execution, msg_id in pending:
            if msg_id is None:
                self._queue.put(execution)
            else:
                self._queue.adopt(execution, msg_id)
        if kernel is None:
            self._queue.abandon(self.death or SHUT_DOWN)
            return
        self._over = anyio.Event()
        if kernel.exit is not None:  # it died while there was no server
            self._die(kernel, kernel.exit, self._queue.running)
            self._queue.abandon(self.death or "")
        self._tasks.start_soon(self._live, kernel, self._over)

    def leave(self) -> None:
        """The kernel lives on without this server: forget it when the tasks are cancelled."""
        self._leaving = True

    async def restart(self, name: str | None, cwd: Path) -> KernelInfo:
        """A new, empty kernel in place of the old one; what waited is cancelled. Raises KernelError."""
        async with self._lock:
            self._queue.cancel_waiting(RESTARTED)
            self._ended_by = RESTARTED
            self._starting, self._absence = True, NOT_STARTED
            try:
                await self._end()
                return await self._start(name, cwd)
            finally:
                self._starting = False

    async def shutdown(self) -> None:
        """End the kernel for now."""
        async with self._lock:
            self._queue.cancel_waiting(ENDED)
            self._absence, self._ended_by = SHUT_DOWN, ENDED
            await self._end()

    async def kill(self) -> str:
        """End the kernel's process at once; returns how that is told from now on."""
        kernel, over = self.kernel(), self._over
        await kernel.kill()
        await over.wait()
        return self.death or SHUT_DOWN

    async def interrupt(self, execution: Execution | None) -> Stopped:
        """Stop ``execution``, or what is running."""
        stopped = execution or await self._queue.next_running()
        if stopped is None:
            return Stopped(f"No cell is running; nothing was interrupted. {self.death or ''}".rstrip(), None)
        return Stopped(await self._queue.interrupt(self.kernel(), stopped), stopped)

    async def cancel(self, execution: Execution) -> None:
        """Take ``execution`` out of the queue, or interrupt it."""
        await self._queue.cancel(self._kernel, execution)

    async def answer(
        self, text: str, execution_id: str | None, *, asked: str | None = None, private: bool = False
    ) -> None:
        """Give the waiting ``input()`` its line, see ``ExecutionQueue.answer``. Raises BadRequest: none waits."""
        await self._queue.answer(self.kernel(), text, execution_id, asked=asked, private=private)

    async def ask_user(self, question: str, schema: Mapping[str, Any]) -> Any:
        """Have the user answer what the running cell asks, one question at a time. Raises BadRequest: none runs."""
        async with self._asking:
            running = self._queue.running
            if running is None:
                raise BadRequest("No cell runs that could ask.")
            return await running.ask_user(Question(question, schema))

    async def _start(self, name: str | None, cwd: Path) -> KernelInfo:
        self._starting, self._absence = True, NOT_STARTED
        try:
            self._kernel = await self._start_kernel(name, cwd, self._tasks)
        except BaseException:
            self._queue.cancel_waiting("The kernel did not start.")
            raise
        finally:
            self._starting = False
        self.certificate = None
        self.number += 1
        self._ending = self._queue.held = False
        self._over = anyio.Event()
        self._tasks.start_soon(self._live, self._kernel, self._over)
        return self._kernel.info

    async def _end(self) -> None:
        self._ending = self._queue.held = True
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            await kernel.shutdown()
            with anyio.CancelScope(shield=True):
                await self._over.wait()
        self.certificate = None

    async def _live(self, kernel: Kernel, over: anyio.Event) -> None:
        """Run cells on ``kernel`` until it dies; then everything that waits is told.

        A fault of ours ends the kernel too: a session that could run nothing more would look idle.
        """
        end: Exit | None = None
        try:
            end = await self._run_until_dead(kernel)
        finally:
            if self._leaving and kernel.exit is None:
                kernel.leave()
            else:
                await self._bury(kernel, end, over)

    async def _bury(self, kernel: Kernel, end: Exit | None, over: anyio.Event) -> None:
        if not self._ending:
            self._die(kernel, end or kernel.exit, self._queue.running)
            self._queue.abandon(self.death or "")
        with anyio.CancelScope(shield=True):
            await kernel.kill()  # when it is dead, this frees its sockets and files
        over.set()
        self._on_death()

    def _die(self, kernel: Kernel, end: Exit | None, running: Execution | None) -> None:
        """There is one certificate of a death, whoever notices it first."""
        if self.certificate is None:
            self.certificate = self._certify(end, kernel.defined, running.cell_id if running else None)

    def _on_death_in_cell(self, running: Execution, _how: str) -> tuple[str, str]:
        if self._ending or self._kernel is None or self._kernel.exit is None:
            return self._ended_by, f"{self._ended_by} The cell was running, and its variables are lost."
        self._die(self._kernel, self._kernel.exit, running)
        assert self.certificate is not None
        return f"{self.certificate.cause}{self.certificate.stopped or ''}.", str(self.certificate)

    async def _run_until_dead(self, kernel: Kernel) -> Exit:
        async with anyio.create_task_group() as tasks:
            await tasks.start(self._attend, kernel)
            tasks.start_soon(self._queue.work, kernel)
            end = await kernel.wait_dead()
            running = self._queue.running
            with anyio.move_on_after(LAST_CELL_S):
                while running is not None and not running.finished:
                    await running.changed()
            tasks.cancel_scope.cancel()
        return end
