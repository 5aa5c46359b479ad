"""What a session does with several of its cells: run_all, run_stale, rebuild; ``Session`` is this and the rest."""

from abc import abstractmethod

from nbformat import NotebookNode

from mcp_notebook import rules
from mcp_notebook.errors import UnknownCell
from mcp_notebook.execution import Execution
from mcp_notebook.runs import RUN, Run, Runs, taken
from mcp_notebook.session_view import SessionView


class SessionRuns(SessionView):
    """The attributes are set by ``Session``."""

    _runs: Runs

    @abstractmethod
    async def cancel(self, execution: Execution) -> None:
        """Take an execution out of the queue, or interrupt it; others are not touched."""

    @abstractmethod
    def _enqueue(self, cell: NotebookNode) -> Execution: ...

    @abstractmethod
    def _not_run(self, cell_id: str | None) -> Execution: ...

    @abstractmethod
    async def _restart(self) -> None: ...

    async def run_all(self, request_id: str | None = None) -> Run:
        """All code cells in document order, but those tagged ``skip-execution``.

        Raises:
            BadRequest: another run has not ended. KernelError: dead, or shut down.
        """
        return await self._begin_run("run_all", request_id)

    async def run_stale(self, request_id: str | None = None) -> Run:
        """Those of them that are stale; raises as ``run_all``."""
        return await self._begin_run("run_stale", request_id)

    async def rebuild(self, request_id: str | None = None) -> Run:
        """A new kernel, and the cells that had succeeded run again in the order they ran; raises as ``run_all``."""
        return await self._begin_run("rebuild", request_id)

    def plan(self, action: str) -> list[str]:
        """The ids of the cells that ``action`` would run, in its order."""
        return self._record.plan(action, self._life.number)

    def left_out(self) -> dict[str, str]:
        """The ids of the code cells that a rebuild would not run, and why."""
        return self._record.left_out(self._life.number)

    def run(self, run_id: str) -> Run:
        """Raises UnknownExecution."""
        return self._runs.find(run_id)

    async def stop(self, run: Run) -> None:
        """Begin no more cells of ``run``, and interrupt the one that is running."""
        run.stop()
        for execution in run.executions:
            if not execution.finished:
                await self.cancel(execution)

    def _begun(self, job_id: str) -> Execution | Run:
        return self._runs.find(job_id) if job_id.startswith(RUN) else self._record.find(job_id, None, None)

    async def _begin_run(self, action: str, request_id: str | None) -> Run:
        async def prepare() -> None:
            if action == "rebuild":
                self._record.continue_with(self.plan(action))
                self._ledger.lineage(self._record.lineage)
                await self._restart()
            else:
                self._life.kernel()

        failing = rules.expected_to_fail(self.notebook)
        return await self._runs.begin(action, request_id, lambda: self.plan(action), failing, prepare)

    async def _start_planned(self, cell_id: str) -> Execution | None:
        run = self._runs.active
        comparison = run.comparison if run is not None else None
        try:
            if comparison is not None:
                comparison.begin(cell_id, await taken(self.notebook.cell(cell_id).get("outputs", [])))
            cell = self.notebook.cell(cell_id)
        except UnknownCell:
            return None  # deleted since the plan was made
        if cell["cell_type"] != "code" or (run is not None and run.stopped):
            return None
        if self._life.why_not:
            return self._not_run(cell_id)
        execution = self._enqueue(cell)
        execution.replay = comparison is not None
        return execution
