"""All jobs of one server: begun, found again by id or request, performed, gone on with after a failure."""

import contextlib
import logging
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

from mcp_notebook.batch.executions import new_copy
from mcp_notebook.batch.jobs import Job, OneRun, Order
from mcp_notebook.batch.remembering import begun_since, forget, recalled, remember, remembered
from mcp_notebook.batch.results import Result, result_of
from mcp_notebook.batch.resuming import gone_on_with
from mcp_notebook.batch.running import Outcome, Rules, run_cells
from mcp_notebook.errors import BadRequest, FileRefused, NotebookError, UnknownExecution
from mcp_notebook.kernels.base import Tasks
from mcp_notebook.requests import Requests
from mcp_notebook.sessions import Sessions

REMEMBERED = 50
"""Jobs of a principal that are found by id."""
FAILED_KEPT = 4
"""Runs of a principal that failed and whose kernels live; before one more the oldest is ended."""
STOPPED = "It was asked to stop."

logger = logging.getLogger(__name__)


class NotebookRuns:
    """``tasks`` owns the jobs, which outlive the calls that begin them."""

    def __init__(self, sessions: Sessions, tasks: Tasks) -> None:
        self._sessions = sessions
        self._tasks = tasks
        self._home = sessions.settings.home
        self._jobs: dict[str, Job] = {}
        self._by_user: dict[str, Requests[Job]] = {}

    async def recall(self) -> None:
        """Go on with the jobs of an earlier server that are not over, or whose kernels live."""
        if self._sessions.keeper is None:  # it has no part in what others began
            return
        sessions = {session.handle: session for session in self._sessions.all() if session.is_run}
        for data in await anyio.to_thread.run_sync(lambda: list(remembered(self._home))):
            if all(run["ended"] and run["session"] not in sessions for run in data["runs"]):
                forget(self._home, data["id"])
                continue
            try:
                job = await anyio.to_thread.run_sync(recalled, data, sessions)
            except Exception:
                logger.exception("The run %s of an earlier server cannot be gone on with", data["id"])
                continue
            if job.request is not None:
                self._requests(job).recall(*job.request, job, max(0.0, time.time() - job.created))
            self._jobs[job.id] = job
            self._tasks.start_soon(self._perform, job)

    def requested(self, user: str, request_id: str | None, arguments: Sequence[object]) -> Job | None:
        """The job that an earlier call with this id began. Raises BadRequest: with other arguments."""
        return self._by_user[user].find(request_id, arguments) if user in self._by_user else None

    def begin(self, job: Job, request_id: str | None = None, arguments: Sequence[object] = ()) -> Job:
        """Have it performed. Raises FileRefused: another one writes its copy into the same file."""
        written = {run.output_path for other in self._jobs.values() if not other.finished for run in other.runs}
        for run in job.runs:
            if run.session is None and run.output_path is not None and run.output_path in written:
                raise FileRefused(f"Another run writes {run.output_path}: name another output_path. Nothing was run.")
        user = job.order.connection.user
        self._requests(job).keep(request_id, arguments, job)
        mine = [each for each in self._jobs.values() if each.order.connection.user == user and each.finished]
        for old in mine[: max(0, len(mine) - REMEMBERED + 1)]:
            if all(run.session is None for run in old.runs):
                del self._jobs[old.id]
        self._jobs[job.id] = job
        self._tasks.start_soon(self._perform, job)
        return job

    def find(self, job_id: str, user: str) -> Job:
        """Raises UnknownExecution: none, or somebody else's."""
        job = self._jobs.get(job_id)
        if job is None or job.order.connection.user != user:
            raise UnknownExecution(
                f"No run {job_id}: pass an id that notebook_execute returned. The latest {REMEMBERED} are known, and"
                " after the server's end those that had not ended well; the copies of all are in executions/."
            )
        return job

    async def resume(self, job_id: str, order: Order) -> Job:
        """A new job that goes on with the run that failed, from the cell that did, in its session.

        Raises:
            BadRequest: nothing to go on with, or what ran before was changed since.
        """
        old = self.find(job_id, order.connection.user)
        if old.order.source.path != order.source.path:
            raise BadRequest(f"{job_id} is a run of {old.order.path}: pass that as path. Nothing was run.")
        run = _failed_run(old)
        old.resumed_by = "another call"
        try:
            job = Job(order, [await gone_on_with(run, old.order, order)], is_sweep=False)
        except BaseException:
            old.resumed_by = None
            raise
        old.resumed_by, run.session, run.copy = job.id, None, None
        self._remember(old)
        return job

    def _requests(self, job: Job) -> Requests[Job]:
        return self._by_user.setdefault(job.order.connection.user, Requests(_keep))

    async def _perform(self, job: Job) -> None:
        try:
            for run in job.runs:
                if run.ended:
                    await self._end_unless_failed(job, run)
                elif job.stopping:
                    run.refused = STOPPED
                else:
                    self._remember(job)
                    await self._run(job, run)
            job.finish()
            self._remember(job)
        finally:
            job.finish()
            job.tell()

    async def _run(self, job: Job, run: OneRun) -> None:
        """Never raises but when the server ends: what went wrong is said of the run."""
        try:
            if run.copy is None:
                await self._prepare(job, run)
            outcome = await self._run_cells(job, run)
            run.result = await self._concluded(job, run, outcome)
        except NotebookError as exc:
            run.refused = str(exc)
        except Exception as exc:
            logger.exception("A run of %s failed", job.order.path)
            run.refused = f"The run failed inside mcp-notebook ({type(exc).__name__}), which is a bug there."
        if run.session is None:
            await anyio.to_thread.run_sync(_take_back, run)
            return
        self._remember(job)
        await self._end_unless_failed(job, run)
        if run.session is not None:
            await self._end_old_failures(job.order.connection.user)

    async def _end_unless_failed(self, job: Job, run: OneRun) -> None:
        """The kernel of a run that is over; that of one that failed by itself stays for a look."""
        session = run.session
        if session is not None and (job.is_sweep or run.is_good or run.result is None or run.result.failure is None):
            run.session = run.copy = None
            await self._sessions.end(session)

    def _remember(self, job: Job) -> None:
        if self._sessions.keeper is not None:
            remember(self._home, job)

    async def _prepare(self, job: Job, run: OneRun) -> None:
        from mcp_notebook.batch.copies import ExecutedCopy
        from mcp_notebook.batch.preparing import prepared

        order = job.order
        if run.output_path is None:
            run.output_path = await anyio.to_thread.run_sync(new_copy, order.source.path.stem, order.workspace)
            run.is_placed = True
            self._remember(job)  # so that the next server writes into the same file
        prepare = partial(prepared, order.source, run.output_path, run.parameters)
        notebook, notes = await anyio.to_thread.run_sync(prepare)
        run.notes += notes
        run.copy = ExecutedCopy(notebook, run.output_path)
        job.tell()

    async def _run_cells(self, job: Job, run: OneRun) -> Outcome:
        order, copy = job.order, run.copy
        assert copy is not None
        rules = Rules(timeout_s=order.timeout_s, interrupts=False, goes_on=lambda: not job.stopping)
        if order.verify:
            from mcp_notebook.batch.verification import is_skipped

            rules = replace(rules, allow_errors=True, skips=is_skipped)
        async with copy.kept_saved():
            if run.session is None:
                copy.notebook_start()
                await copy.write_now()  # by it the next server goes on
                directory = order.source.path.parent
                run.session = await self._sessions.open_run(
                    order.connection, deepcopy(copy.nb), order.source.path.stem, None, directory
                )
            if run.is_recalled:
                rules = replace(rules, known=begun_since(run.session, copy.nb))
            self._remember(job)
            outcome = await run_cells(run.session, copy, rules, start=run.start)
            copy.notebook_complete()
            return replace(outcome, notes=(*run.notes, *run.session.take_notes()))

    async def _concluded(self, job: Job, run: OneRun, outcome: Outcome) -> Result:
        copy = run.copy
        assert copy is not None
        checked = None
        if job.order.verify:
            from mcp_notebook.batch.verification import checked as check

            compare = partial(check, job.order.source.notebook, deepcopy(copy.nb), job.order.patterns)
            checked = await anyio.to_thread.run_sync(compare)
        result = result_of(copy.nb, outcome, run.output_path, checked=checked)
        await copy.write_now()
        if copy.failed is not None:
            return replace(result, notes=(*result.notes, str(copy.failed)))
        return result

    async def _end_old_failures(self, user: str) -> None:
        kept = [
            run
            for job in self._jobs.values()
            if job.order.connection.user == user and job.finished
            for run in job.runs
            if run.session is not None
        ]
        for run in kept[: max(0, len(kept) - FAILED_KEPT + 1)]:
            session, run.session, run.copy = run.session, None, None
            if session in self._sessions.all():  # else somebody has ended it
                assert session is not None
                await self._sessions.end(session)
        for job in list(self._jobs.values()):
            if job.finished:
                self._remember(job)


def _failed_run(job: Job) -> OneRun:
    if job.is_sweep:
        raise BadRequest(f"{job.id} ran several sets of parameters: run the one that failed by itself, then resume it.")
    if job.resumed_by is not None:
        raise BadRequest(f"{job.id} was gone on with already, as {job.resumed_by}.")
    if not job.finished:
        raise BadRequest(f"{job.id} has not ended: get_output(execution_id={job.id!r}, wait_s=...) waits for it.")
    run = job.runs[0]
    if run.session is None or run.result is None or run.result.failure is None:
        raise BadRequest(f"{job.id} has nothing to go on with: run the notebook again, without `resume`.")
    if not run.has_variables:
        raise BadRequest(
            f"The kernel of {job.id} is {run.session.state} and its variables are lost: run the notebook again, without"
            " `resume`."
        )
    return run


def _take_back(run: OneRun) -> None:
    """The copy that nothing was written into."""
    if run.refused and run.output_path is not None and run.is_placed:
        with contextlib.suppress(OSError):
            run.output_path.unlink()


def _keep(request_id: str, digest: str, job: Job) -> None:
    job.request = (request_id, digest)


def runs_of(parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None) -> tuple[list[OneRun], bool]:
    """A run for each set of parameters, and whether it is a sweep."""
    if parameters is None or isinstance(parameters, Mapping):
        return [OneRun(dict(parameters or {}))], False
    return [OneRun(dict(each)) for each in parameters], True
