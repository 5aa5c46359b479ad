"""Executions and runs as MCP tasks. A task is named by session and job: it is found by the next server too."""

import hashlib
from collections.abc import Mapping

from mcp_types import CallToolResult, ElicitRequest, ElicitRequestURLParams, ElicitResult

from mcp_notebook.batch.performing import NotebookRuns
from mcp_notebook.errors import BadRequest
from mcp_notebook.execution import Execution
from mcp_notebook.kernels.base import Tasks
from mcp_notebook.passwords import PasswordPages
from mcp_notebook.runs import RUN, Run
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.task_extension import Context, Look
from mcp_notebook.tools.asking import Job, passed_on, to_ask
from mcp_notebook.tools.elicitation import elicitation
from mcp_notebook.tools.following import job_blocks, stop, task_id
from mcp_notebook.tools.tool import Call, report_nothing


class CellTasks:
    """Of all sessions; ``tasks`` owns what ends a job after its cancellation was acknowledged."""

    def __init__(
        self, settings: Settings, sessions: Sessions, passwords: PasswordPages, runs: NotebookRuns, tasks: Tasks
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._passwords = passwords
        self._runs = runs
        self.tasks = tasks
        self.cancelled: set[str] = set()
        """Ids of tasks."""
        self.declined: set[str] = set()
        """What a user would not answer: the task hands it back, as a call does."""

    async def find(self, context: Context, identity: str) -> "CellTask | None":
        """See ``task_extension.Find``: a session is visible to its principal alone."""
        handle, _, job_id = identity.rpartition(":")
        connection = context.lifespan_context
        try:
            session = self._sessions.find(handle, connection)
            job: Job = session.run(job_id) if job_id.startswith(RUN) else session.execution(job_id)
        except BadRequest:
            return None
        can = elicitation(context)
        call = Call(self._sessions, self._settings, connection, self._passwords, self._runs, report_nothing, can=can)
        return CellTask(self, call, session, job)


class CellTask:
    """One of them, for one request."""

    def __init__(self, all_tasks: CellTasks, call: Call, session: Session, job: Job) -> None:
        self.id = task_id(session, job)
        self._all = all_tasks
        self._call = call
        self._session = session
        self._job = job

    @property
    def created(self) -> float:
        return self._job.created

    @property
    def updated(self) -> float:
        return self._job.updated

    async def look(self) -> Look:
        """A cell that failed has completed, as its result tells; so has one that asks what nobody can be asked."""
        if self._job.finished:
            if self.id in self._all.cancelled and _was_stopped(self._job):
                return Look("cancelled")
            return await self._completed()
        execution = self._job.asking
        if execution is None:
            return Look("working", self._job.latest_line)
        name = _name(execution)
        if name in self._all.declined or not self._call.can.can_ask(execution):
            return await self._completed()
        to_put = await to_ask(self._call, self._session, execution)
        if to_put is None:
            return await self._completed()
        if isinstance(to_put, ElicitRequestURLParams):  # another page is another request
            name += f":{hashlib.sha256(to_put.url.encode()).hexdigest()[:8]}"
        return Look("input_required", requests={name: ElicitRequest(params=to_put)})

    async def update(self, responses: Mapping[str, ElicitResult]) -> None:
        for pending in self._session.pending[:1]:
            await pending.caught_up()
        execution = self._job.asking
        if execution is None:
            return
        name = _name(execution)
        response = next((each for key, each in responses.items() if key == name or key.startswith(f"{name}:")), None)
        if response is None:
            return
        goes_on = await passed_on(self._session, execution, execution.asked, response)
        if not goes_on and not (execution.password and response.action == "accept"):
            self._all.declined.add(name)

    async def cancel(self) -> None:
        if not self._job.finished:
            self._all.cancelled.add(self.id)
            self._all.tasks.start_soon(stop, self._session, self._job)

    async def _completed(self) -> Look:
        return Look("completed", result=CallToolResult(content=await job_blocks(self._call, self._session, self._job)))


def _name(execution: Execution) -> str:
    """Of what it asks now; no other question of the task ever has it."""
    return f"{execution.id}:{execution.asked}"


def _was_stopped(job: Job) -> bool:
    if isinstance(job, Run):
        return job.stopped
    return job.status in ("interrupted", "cancelled")
