"""Runs of notebooks as MCP tasks: a task has the id of its job."""

from collections.abc import Mapping

from mcp_types import CallToolResult, ElicitResult

from mcp_notebook.batch.jobs import JOB, Job
from mcp_notebook.batch.performing import NotebookRuns
from mcp_notebook.errors import UnknownExecution
from mcp_notebook.kernels.base import Tasks
from mcp_notebook.passwords import PasswordPages
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.task_extension import Context, Look
from mcp_notebook.tools.notebook_execute import followed
from mcp_notebook.tools.tool import Call, report_nothing


class RunTasks:
    """Of all users; ``tasks`` owns what ends a job after its cancellation was acknowledged."""

    def __init__(
        self, settings: Settings, sessions: Sessions, passwords: PasswordPages, runs: NotebookRuns, tasks: Tasks
    ) -> None:
        self._settings, self._sessions, self._passwords, self._runs = settings, sessions, passwords, runs
        self.tasks = tasks
        self.cancelled: set[str] = set()
        """Ids of jobs."""

    async def find(self, context: Context, identity: str) -> "RunTask | None":
        """See ``task_extension.Find``: a job is visible to its principal alone."""
        if not identity.startswith(JOB):
            return None
        connection = context.lifespan_context
        try:
            job = self._runs.find(identity, connection.user)
        except UnknownExecution:
            return None
        call = Call(self._sessions, self._settings, connection, self._passwords, self._runs, report_nothing)
        return RunTask(self, call, job)


class RunTask:
    """One of them, for one request."""

    def __init__(self, all_tasks: RunTasks, call: Call, job: Job) -> None:
        self._all, self._call, self._job = all_tasks, call, job

    @property
    def id(self) -> str:
        return self._job.id

    @property
    def created(self) -> float:
        return self._job.created

    @property
    def updated(self) -> float:
        return self._job.updated

    async def look(self) -> Look:
        """A run that failed has completed, as its result tells."""
        if not self._job.finished:
            return Look("working", self._job.latest_line)
        if self.id in self._all.cancelled and not all(run.is_good for run in self._job.runs):
            return Look("cancelled")
        return Look("completed", result=CallToolResult(content=[*await followed(self._call, self._job, 0)]))

    async def update(self, responses: Mapping[str, ElicitResult]) -> None:
        """Nothing: a run asks nobody."""

    async def cancel(self) -> None:
        if not self._job.finished:
            self._all.cancelled.add(self.id)
            self._all.tasks.start_soon(self._job.stop)
