"""The executions of one session, one after the other on its kernel: queue, interrupt, cancel, death."""

from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

import anyio

from mcp_notebook.errors import BadRequest, KernelDied
from mcp_notebook.execution import Execution, Status, hint_on_error, status_of
from mcp_notebook.kernels.base import Kernel, Reply, Tasks
from mcp_notebook.kernels.born import Moment
from mcp_notebook.ladder import Ladder
from mcp_notebook.outputs import Message

BEGINS_WITHIN_S = 1.0
"""Between two cells, time for the next to begin, for who wants to interrupt what runs."""

KEPT = "State is kept."
UNKNOWN = "The kernel is idle again but never replied: whether the cell ended well is not known."

PASSWORD = (
    "The cell asks for a password, which is never passed as an argument: get_output tells how a person gives it, and"
    " control_kernel(action='interrupt') ends the waiting."
)
EXITED = "The cell called exit(), which ends the kernel."
LOST = "{:,} messages of the kernel were lost: the output says where, and is not complete."
PROPOSES = "It proposes as the next cell (nothing was added):"
PROPOSED_CHARS = 10_000
EXIT_WITHIN_S = 3.0
"""For a kernel that was told to exit by its own cell; nothing else is run on it meanwhile."""

OnExecution = Callable[[Execution], None]
OnSent = Callable[[Execution, str], None]
"""Called with the id of the kernel request that is an execution, just before it is sent."""

OnDeath = Callable[[Execution, str], tuple[str, str]]
"""What the outputs of the cell and its execution say that was running when the kernel died; from how that is known."""


def _plainly(_execution: Execution, how: str) -> tuple[str, str]:
    return how, f"{how} Its variables are lost."


@dataclass(frozen=True)
class Stopped:
    """What came of an interrupt."""

    said: str
    """In sentences."""
    execution: Execution | None
    """What was to be stopped; None where nothing ran."""


def _ignore_sent(_execution: Execution, _msg_id: str) -> None:
    return


class ExecutionQueue:
    """Runs what is put in. ``work`` is a task that its owner starts, one for each life of a kernel."""

    def __init__(
        self,
        tasks: Tasks,
        on_begin: OnExecution,
        on_end: OnExecution,
        on_late: OnExecution,
        on_sent: OnSent = _ignore_sent,
        on_death: OnDeath = _plainly,
    ) -> None:
        """``tasks`` owns the interrupting of what runs, which outlives the call that asks for it."""
        self._tasks = tasks
        self._on_begin, self._on_end, self._on_late, self._on_sent = on_begin, on_end, on_late, on_sent
        self._on_death = on_death
        self._waiting: deque[Execution] = deque()
        self._adopted: str | None = None
        """The kernel request of an execution that is running already, before ``work`` has seen it."""
        self._arrived = anyio.Event()
        self._ladder: Ladder | None = None
        """Of the running execution, when it was asked to stop."""
        self._begun = 0
        self.running: Execution | None = None
        self.allow_stdin = True
        """Whether cells may ask for input."""
        self.held = False
        """Whether what waits stays, for the next kernel."""

    @property
    def pending(self) -> list[Execution]:
        """What has not finished, in the order it runs."""
        return ([self.running] if self.running else []) + list(self._waiting)

    def put(self, execution: Execution) -> None:
        self._waiting.append(execution)
        self._arrived.set()

    def adopt(self, execution: Execution, msg_id: str) -> None:
        """Go on with ``execution``, which an earlier server began as the kernel request ``msg_id``.

        It runs from now on, before everything else; call this before ``work``. That it began is told to nobody.
        """
        if not execution.order:
            execution.begin(self._begun + 1)
        self._begun = max(self._begun, execution.order)
        execution.taken_over()
        self.running, self._adopted = execution, msg_id
        self._arrived.set()

    async def work(self, kernel: Kernel) -> None:
        """Run executions on ``kernel`` until it dies; then the running one is ``dead``, the others cancelled."""
        while kernel.exit is None:
            if self.running is not None and self._adopted is not None:
                msg_id, self._adopted = self._adopted, None
                await self._see_to_end(kernel, self.running, partial(kernel.resume, msg_id))
                continue
            if self.held or not self._waiting:
                self._arrived = anyio.Event()
                await self._arrived.wait()
                continue
            await kernel.settle()
            if self._waiting and not self.held:
                await self._run(kernel, self._waiting.popleft())

    async def next_running(self) -> Execution | None:
        """What runs; between two cells, what is about to begin."""
        if self.running is None and self._waiting and not self.held:
            with anyio.move_on_after(BEGINS_WITHIN_S):
                await self._waiting[0].changed()
        return self.running

    def cancel_waiting(self, reason: str) -> None:
        """End everything that has not begun."""
        while self._waiting:
            self._end(self._waiting.popleft(), "cancelled", reason)

    def abandon(self, reason: str) -> None:
        """The kernel is gone: end what waits, and what ran if nothing has ended it."""
        if self.running is not None:
            self._end(self.running, "dead", reason)
        self.cancel_waiting(reason)

    async def interrupt(self, kernel: Kernel, execution: Execution) -> str:
        """Stop ``execution``; returns a sentence on what came of it. Who asks meanwhile gets the same."""
        if execution is not self.running:
            return f"Execution {execution.id} is not running: {execution.status}."
        execution.asked_to_stop = True
        if self._ladder is None:
            self._ladder = Ladder(kernel, execution)
        return await self._ladder.climb(self._tasks)

    async def cancel(self, kernel: Kernel | None, execution: Execution) -> None:
        """Take ``execution`` out of the queue, or interrupt it."""
        if execution in self._waiting:
            self._waiting.remove(execution)
            self._end(execution, "cancelled", "Cancelled before it began.")
        elif execution is self.running and kernel is not None:
            await self.interrupt(kernel, execution)

    async def answer(
        self,
        kernel: Kernel,
        text: str,
        execution_id: str | None = None,
        *,
        asked: str | None = None,
        private: bool = False,
    ) -> Execution:
        """Give the waiting ``input()`` its line.

        ``execution_id`` and ``asked`` name what is answered, where that is not just what waits now; ``private`` says
        that ``text`` came by no conversation with a model.

        Raises:
            BadRequest: nothing waits for input, something else does, or what is asked for is a password.
        """
        if self.running is not None:
            await self.running.caught_up()
        execution = self.running
        if execution is None or execution.status != "waiting_for_input":
            raise BadRequest("No cell waits for input.")
        if execution_id not in (None, execution.id):
            raise BadRequest(f"Execution {execution_id} does not wait for input.")
        if asked not in (None, execution.asked):
            raise BadRequest("What was asked has been answered meanwhile, or ended; the cell asks something else now.")
        if execution.password and not private:
            raise BadRequest(PASSWORD)
        if execution.question is not None:
            execution.give(text)
            return execution
        await kernel.input_reply(text)
        execution.answered()
        return execution

    async def _run(self, kernel: Kernel, execution: Execution) -> None:
        self.running, self._ladder = execution, None
        execution.since = Moment.now()
        self._begun += 1
        execution.begin(self._begun)
        self._on_begin(execution)
        call = partial(
            kernel.execute,
            execution.source,
            cell_id=execution.cell_id,
            allow_stdin=self.allow_stdin,
            on_sent=partial(self._on_sent, execution),
        )
        await self._see_to_end(kernel, execution, call)

    async def _see_to_end(self, kernel: Kernel, execution: Execution, call: Callable[..., Awaitable[Reply]]) -> None:
        """``call`` is told of messages and input as ``Kernel.execute`` is."""

        def on_message(message: Message) -> None:
            changed = execution.receive(message)
            if execution.finished and (changed or message["header"]["msg_type"] == "status"):
                self._on_late(execution)

        try:
            reply = await call(on_message=on_message, on_input=execution.ask)
        except KernelDied as exc:
            note, message = self._on_death(execution, str(exc))
            execution.note(f"{note} It was running this cell; its variables are lost.")
            self._end(execution, "dead", message)
            return
        if _asks_to_exit(reply):
            with anyio.move_on_after(EXIT_WITHIN_S):
                await kernel.wait_dead()
        self._end_with(execution, reply, kernel)

    def _end_with(self, execution: Execution, reply: Reply, kernel: Kernel) -> None:
        if reply.caveat:
            execution.note(reply.caveat)
        for data in reply.payload("page"):
            execution.show(data.get("data") or {})
        hint = hint_on_error(reply, kernel)
        if hint:
            execution.note(hint)
        ladder = self._ladder
        was_stopped = ladder is not None and ladder.has_signalled
        status = status_of(reply, asked_to_stop=ladder is not None, was_stopped=was_stopped)
        message = ""
        if _asks_to_exit(reply) and kernel.exit is not None:  # it must not be replayed
            status, message = "dead", f"{EXITED} {self._on_death(execution, EXITED)[1]}"
        elif status == "unknown":
            message = reply.caveat or UNKNOWN
        elif status == "interrupted":
            message = ladder.ended_by if ladder is not None else KEPT
        if reply.missing:
            message = f"{message} {LOST.format(reply.missing)}".strip()
        for proposal in reply.payload("set_next_input"):
            message = f"{message}\n{PROPOSES}\n{str(proposal.get('text', ''))[:PROPOSED_CHARS]}".strip()
        self._end(execution, status, message, reply.date)

    def _end(self, execution: Execution, status: Status, message: str, replied: str = "") -> None:
        if self.running is execution:
            self.running = None
        if self._ladder is not None and self._ladder.execution is execution:
            self._ladder.until = Moment.now()
        execution.finish(status, message, replied)
        self._on_end(execution)


def _asks_to_exit(reply: Reply) -> bool:
    return any(not each.get("keepkernel") for each in reply.payload("ask_exit"))
