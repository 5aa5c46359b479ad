"""Interrupting is a ladder: after each rung it is seen whether the cell has ended, before the next one is tried.

1. SIGINT to the kernel's process alone.
2. The kernel's own half ends the ``await`` in which the cell is stuck, or leaves an interrupt for its code.
3. SIGINT, then SIGTERM, to the processes that were born in the cell.

The kernel is never killed here, and no rung can reach the next cell: the second names its execution, and the third
takes only what was born while it ran. What an interrupted cell leaves behind gets SIGINT too, as it would from a
terminal, and SIGTERM where it has lost the kernel as its ancestor: nobody else would end it.
"""

import signal
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

import anyio

from mcp_notebook.errors import KernelDied, KernelError
from mcp_notebook.execution import Execution
from mcp_notebook.kernels.base import Kernel, Tasks
from mcp_notebook.kernels.born import Born, Moment, signal_all

SIGINT_S = 1.0
"""Time for the code to end after SIGINT, before the next rung."""
CLEAN_UP_S = 2.0
"""More time for code that an interrupt has reached: what it does in ``except`` and ``finally`` may be worth it."""
AWAIT_S = 0.5
CHILDREN_S = 0.5
"""For processes to end after a signal, and the cell after them."""
ASK_S = 1.0
"""For the kernel's half to answer; code that holds Python's lock keeps it from that."""
PATIENCE_S = 8.0
"""No more rungs after that: the answer says what was tried."""
DEATH_S = 1.0
"""For a death to be told as the execution's end."""
LOOK_AGAIN_S = 0.03
CANCELS = "the cancelling of its await"
ENDS = "the ending of its await, which had swallowed the cancel"
LEAVES = "an interrupt that waits for its code"
NAMED = 5


class Ladder:
    """Of one execution, for everybody who wants it to end."""

    def __init__(self, kernel: Kernel, execution: Execution) -> None:
        self.execution = execution
        self.has_signalled = False
        """Whether processes of the cell were told to end: then it did not end by itself, whatever it says."""
        self.until: Moment | None = None
        """The end of the execution."""
        self._over: anyio.Event | None = None
        """Set at the end of a climb; None where none is under way."""
        self._kernel = kernel
        self._how = ""
        self._tried: list[str] = []
        self._left_behind: set[Born] = set()

    async def climb(self, tasks: Tasks) -> str:
        """Return when the execution has ended, or nothing has helped, with sentences on what came of it.

        It goes on in ``tasks`` when the caller is cancelled; who calls meanwhile waits for the same climb.
        """
        if self._over is None:
            self._over = anyio.Event()
            tasks.start_soon(self._climb_to_the_end, self._over)
        await self._over.wait()
        return self.outcome()

    async def _climb_to_the_end(self, over: anyio.Event) -> None:
        self._tried = []
        try:
            await self._climb()
            await self._end_left_behind()
        except KernelDied:
            await self._ends_within(DEATH_S)
        finally:
            if not self.execution.finished:  # what it comes to later is its own doing
                self.has_signalled = False
            self._over = None
            over.set()

    @property
    def ended_by(self) -> str:
        """What had been done when the execution ended, and that the state is kept."""
        return f"Interrupted{self._how and f' by {self._how}'}; state is kept."

    def outcome(self) -> str:
        """What there is to say of it now."""
        execution = self.execution
        if not execution.finished:
            return (
                f"Still running: the code has not ended after {_joined(self._tried)}. It may be in C code that gives"
                " Python no turn, or it swallows every interrupt. The kernel and its state are kept. It may end yet:"
                f' get_output(execution_id="{execution.id}", wait_s=45) waits for it. Interrupt it again later, or'
                " control_kernel(action='kill') ends the kernel, and its variables are lost."
            )
        if execution.status == "dead":
            return execution.message
        if execution.status != "interrupted":
            return f"The cell ended ({execution.status}) when it was interrupted, or just before; state is kept."
        return f"{self.ended_by}{self._about_what_is_left()}"

    async def _climb(self) -> None:
        rungs: tuple[Callable[[], Awaitable[float]], ...] = (
            self._interrupt,
            self._stop,
            lambda: self._signal_children(signal.SIGINT),
            lambda: self._signal_children(signal.SIGTERM),
        )
        deadline = anyio.current_time() + PATIENCE_S
        while anyio.current_time() < deadline:
            for rung in rungs:
                if self.execution.finished or await self._ends_within(await rung()):
                    return

    async def _ends_within(self, seconds: float) -> bool:
        with anyio.move_on_after(seconds):
            while not self.execution.finished:
                await self.execution.changed()
        return self.execution.finished

    def _try(self, how: str) -> None:
        self._how = how
        if how not in self._tried:
            self._tried.append(how)

    async def _interrupt(self) -> float:
        """The first rung; returns how long its effect may take, as every rung does."""
        self._try("SIGINT")
        await self._kernel.interrupt()
        return SIGINT_S

    async def _stop(self) -> float:
        """The second: not all kernels have it, and not every cell is in an await."""
        done = await self._stop_by(CANCELS, force=False)
        time_s = {"cancelled": AWAIT_S, "reached": CLEAN_UP_S}.get(done)
        if time_s is not None and not await self._ends_within(time_s):
            done = await self._stop_by(ENDS, force=True)
        if done == "left" and LEAVES not in self._tried:
            self._tried.append(LEAVES)
        return AWAIT_S if done == "ended" else 0.0

    async def _stop_by(self, how: str, *, force: bool) -> str:
        before, self._how = self._how, how  # the cell may have ended before the answer is here
        done = ""
        with anyio.move_on_after(ASK_S), suppress(KernelError):
            done = await self._kernel.stop_cell(force=force)
        if done in ("cancelled", "ended"):
            self._try(how)
        else:
            self._how = before
        return done

    async def _signal_children(self, number: signal.Signals) -> float:
        """The third. Between the look and the signals nothing else runs: the execution is still the running one."""
        if self.execution.since is None:
            return 0.0
        found = await self._kernel.born(self.execution.since)
        if self.execution.finished or not found:
            return 0.0
        if reached := signal_all(found, number):
            self.has_signalled = True
            self._try(f"{number.name} to what it had started, {_named(reached)}")
        return CHILDREN_S

    async def _end_left_behind(self) -> None:
        """What was born in the interrupted cell: SIGINT to all of it, SIGTERM to what nobody else would end."""
        execution = self.execution
        if execution.status != "interrupted" or execution.since is None or self.until is None:
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            orphans = number == signal.SIGTERM
            found = await self._kernel.born(execution.since, self.until, orphans=orphans)
            if not found:
                return
            reached = signal_all(found, number)
            self._left_behind.update(reached)
            with anyio.move_on_after(CHILDREN_S):
                while any(each.identity.is_alive() for each in reached):  # noqa: ASYNC110 - nothing tells of it
                    await anyio.sleep(LOOK_AGAIN_S)

    def _about_what_is_left(self) -> str:
        alive = {each for each in self._left_behind if each.identity.is_alive()}
        ended = self._left_behind - alive
        return (f" What it had started was ended too: {_named(ended)}." if ended else "") + (
            f" What it had started and lives on: {_named(alive)}." if alive else ""
        )


def _named(found: Iterable[Born]) -> str:
    names = sorted({str(each) for each in found})
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return f"{', '.join(names[:NAMED])}{more}"


def _joined(tried: list[str]) -> str:
    return "; ".join(tried)
