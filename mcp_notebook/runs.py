"""Run: cells of a notebook run one after the other, as a job. Runs: those of one session, by id.

They know nothing of the document: what a run contains is decided before, by ``rules``.
"""

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import anyio
import anyio.to_thread

from mcp_notebook.comparing import Comparison, Taken
from mcp_notebook.errors import BadRequest, UnknownExecution
from mcp_notebook.execution import Execution
from mcp_notebook.kernels.base import Tasks
from mcp_notebook.outputs import Output
from mcp_notebook.requests import Requests

REMEMBERED = 20
"""Runs that are found by id."""
RUN = "r-"
"""Begins the id of a run."""
StartCell = Callable[[str], Awaitable[Execution | None]]
"""Enqueues the cell of that id and returns its execution, or None to pass over it."""


class Run:
    """Cells run one after the other until one fails, such as ``run_all``; a job like an Execution."""

    def __init__(
        self,
        action: str,
        cell_ids: Sequence[str],
        expected_to_fail: frozenset[str],
        on_step: "Callable[[Run], None]" = lambda _run: None,
    ) -> None:
        self.id = f"{RUN}{secrets.token_hex(4)}"
        self._on_step = on_step
        self.created = time.time()
        """In seconds since the epoch."""
        self.action = action
        self.cell_ids = tuple(cell_ids)
        self.executions: list[Execution] = []
        self.comparison = Comparison() if action == "rebuild" else None
        """Of what the cells give with what they gave before."""
        self.finished = False
        self.stopped_by: Execution | None = None
        """The execution after which no more were started, if not all were."""
        self._expected_to_fail = expected_to_fail
        self._stopping = False
        self._taken = 0
        """How many of the cells were begun, or passed over."""
        self._forgotten = 0
        """How many have ended so long ago that no more is known of them."""
        self._step = anyio.Event()

    async def perform(self, start: StartCell) -> None:
        """Return when it is over."""
        try:
            if self.executions and await self._ends_with(self.executions[-1]):  # begun by an earlier server
                self._stopping = True
            for cell_id in self.cell_ids[self._taken :]:
                if self._stopping:
                    break
                self._taken += 1
                execution = await start(cell_id)
                if execution is None:
                    continue
                self.executions.append(execution)
                self._tell()
                if await self._ends_with(execution):
                    break
        except anyio.get_cancelled_exc_class():
            raise  # the server ends, and the next one goes on with it
        except BaseException:
            self._finish()
            raise
        self._finish()

    def _finish(self) -> None:
        self.finished = True
        self._tell()

    async def _ends_with(self, execution: Execution) -> bool:
        """When it has ended: whether no more cells are begun because of how it did."""
        while not execution.finished:
            await execution.changed()
        if self._stops(execution):
            self.stopped_by = execution
            return True
        if self.comparison is not None:
            self.comparison.end(execution.cell_id, await taken(execution.outputs))
        return False

    def as_data(self) -> dict[str, Any]:
        """What another server needs to tell of it, as JSON."""
        return {
            "action": self.action,
            "cell_ids": list(self.cell_ids),
            "executions": [execution.id for execution in self.executions],
            "expected_to_fail": sorted(self._expected_to_fail),
            "taken": self._taken,
            "stopping": self._stopping,
            "finished": self.finished,
            "created": self.created,
            "compared": self.comparison.as_data() if self.comparison is not None else None,
        }

    @classmethod
    def recalled(
        cls,
        run_id: str,
        data: Mapping[str, Any],
        executions: Sequence[Execution],
        on_step: "Callable[[Run], None]",
    ) -> "Run":
        """What ``as_data`` of an earlier server said; ``executions`` are those that are still known."""
        run = cls(data["action"], data["cell_ids"], frozenset(data["expected_to_fail"]), on_step)
        run.id, run.executions, run._taken = run_id, list(executions), data["taken"]
        run.created = data.get("created", run.created)
        run._forgotten = len(data["executions"]) - len(executions)
        run.finished, run._stopping = data["finished"], data["stopping"]
        if run.comparison is not None:
            run.comparison = Comparison(data.get("compared"))
        if run.finished and executions and run._stops(executions[-1]):
            run.stopped_by = executions[-1]
        return run

    def stop(self) -> None:
        """Begin no more cells."""
        self._stopping = True

    @property
    def updated(self) -> float:
        """When its last cell finished; now, if it has not finished itself."""
        return self.executions[-1].updated if self.finished and self.executions else time.time()

    @property
    def stopped(self) -> bool:
        """Whether somebody ended it before all its cells had run."""
        return self._stopping

    @property
    def asking(self) -> Execution | None:
        """The cell of it that waits for input."""
        return self.executions[-1].asking if self.executions else None

    async def wait(self, timeout_s: float) -> bool:
        """True when it is over, or one of its cells waits for input; False when the time is up."""
        with anyio.move_on_after(timeout_s):
            while not self.finished and self.asking is None:
                await self._next_change()
        return self.finished or self.asking is not None

    @property
    def latest_line(self) -> str:
        """How far it is, and what the running cell printed last."""
        ended = self._forgotten + sum(execution.finished for execution in self.executions)
        now = next((execution for execution in self.executions if not execution.finished), None)
        line = now.latest_line if now is not None else ""
        return f"{ended} of {len(self.cell_ids)} cells done. {line}".rstrip()

    def summary(self) -> str:
        """One line: how many cells ran, and what stopped it."""
        done = self._forgotten + sum(execution.finished for execution in self.executions)
        text = f"{self.action}: {done} of {len(self.cell_ids)} cells ran"
        if self.stopped_by is not None:
            how = "asked to stop" if self.stopped_by.status == "ok" else self.stopped_by.status
            return f"{text}; stopped at cell {self.stopped_by.cell_id} ({how})"
        if not self.finished:
            return f"{text}, still running"
        return f"{text}; stopped" if self._stopping else text

    def _stops(self, execution: Execution) -> bool:
        if execution.asked_to_stop:
            return True
        if execution.status == "error":
            return execution.cell_id not in self._expected_to_fail
        return execution.status != "ok"

    async def _next_change(self) -> None:
        if self.executions and not self.executions[-1].finished:
            await self.executions[-1].changed()
        else:
            await self._step.wait()

    def _tell(self) -> None:
        self._on_step(self)
        step, self._step = self._step, anyio.Event()
        step.set()


async def taken(outputs: Sequence[Output]) -> Taken:
    """What a cell gave, to be compared."""
    return await anyio.to_thread.run_sync(Taken.of, list(outputs)) if outputs else Taken.of(())


class Runs:
    """The runs of one session, one at a time; ``tasks`` owns what performs them."""

    def __init__(
        self,
        tasks: Tasks,
        start_cell: StartCell,
        requests: Requests[Execution | Run],
        on_step: Callable[[Run], None] = lambda _run: None,
    ) -> None:
        self._tasks = tasks
        self._on_step = on_step
        self._start_cell = start_cell
        self._requests = requests
        self._runs: dict[str, Run] = {}

    def stop_active(self) -> None:
        """Begin no more cells of the one that has not ended."""
        if self.active is not None:
            self.active.stop()

    @property
    def active(self) -> Run | None:
        """The one that has not ended."""
        latest = next(reversed(self._runs.values()), None)
        return None if latest is None or latest.finished else latest

    async def begin(
        self,
        action: str,
        request_id: str | None,
        plan: Callable[[], Sequence[str]],
        expected_to_fail: frozenset[str],
        prepare: Callable[[], Awaitable[None]],
    ) -> Run:
        """Run the cells of ``plan`` after ``prepare``; a known ``request_id`` gives the run that it began.

        Errors of ``expected_to_fail`` do not stop it.

        Raises:
            BadRequest: another run has not ended: their cells would mix. What ``prepare`` raises.
        """
        known = self._requests.find(request_id, (action,))
        if isinstance(known, Run):
            return known
        self._refuse_a_second()
        run = Run(action, plan(), expected_to_fail, self._on_step)
        self._remember(run)
        self._requests.keep(request_id, (action,), run)
        try:
            await prepare()
        except BaseException:
            run.stop()
            self._requests.forget(request_id)
            raise
        finally:
            self._tasks.start_soon(run.perform, self._start_cell)
        return run

    def recall(self, run_id: str, data: Mapping[str, Any], executions: Sequence[Execution]) -> Run:
        """One that an earlier server performed; if it had not ended, it goes on."""
        run = Run.recalled(run_id, data, executions, self._on_step)
        self._remember(run)
        if not run.finished:
            self._tasks.start_soon(run.perform, self._start_cell)
        return run

    def find(self, run_id: str) -> Run:
        """Raises UnknownExecution."""
        if run_id not in self._runs:
            raise UnknownExecution(f"No run {run_id} in this session: pass an id that control_kernel returned.")
        return self._runs[run_id]

    def _refuse_a_second(self) -> None:
        active = self.active
        if active is not None:
            raise BadRequest(
                f"{active.action} has not ended: get_output(execution_id={active.id!r}, wait_s=...) waits for it,"
                ' control_kernel(action="interrupt") stops it.'
            )

    def _remember(self, run: Run) -> None:
        for old in list(self._runs)[: -REMEMBERED + 1]:
            del self._runs[old]
        self._runs[run.id] = run
