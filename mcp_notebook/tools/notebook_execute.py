"""The tool notebook_execute: a notebook run from its first cell to its last, as a job; and how jobs are followed."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
from mcp_types import ContentBlock, TextContent
from pydantic import Field

from mcp_notebook.batch.executions import chosen_copy
from mcp_notebook.batch.extras import RUNS, need
from mcp_notebook.batch.jobs import Job, OneRun, Order
from mcp_notebook.batch.performing import runs_of
from mcp_notebook.batch.results import Failure
from mcp_notebook.batch.sweep import table
from mcp_notebook.batch.telling import told
from mcp_notebook.errors import BadRequest, FileRefused
from mcp_notebook.files import Pair
from mcp_notebook.nodes import output_node
from mcp_notebook.render import shortened
from mcp_notebook.render.tracebacks import traceback_text
from mcp_notebook.settings import DEFAULT_WAIT_S
from mcp_notebook.task_extension import TaskCreated, task_created
from mcp_notebook.tools.answers import next_call
from mcp_notebook.tools.following import TASK_AFTER_S
from mcp_notebook.tools.tool import Call, RequestId, SessionHandle
from mcp_notebook.tools.waiting import WaitS, cancelled_with_call, wait_with_progress, with_progress
from mcp_notebook.tools.workplace import workplace

SOURCE_LINES = 40
MOST_RUNS = 200
"""Of a sweep."""
MOST_TIMEOUT_S = 30 * 24 * 3600.0

Parameters = dict[str, Any] | list[dict[str, Any]]


async def notebook_execute(
    call: Call,
    path: Annotated[str, Field(description="The notebook, relative to the workspace (.py, .ipynb, .md, ...).")],
    parameters: Annotated[
        Parameters | None,
        Field(description="Values for its parameters cell; a list of several such sets runs it once with each."),
    ] = None,
    output_path: Annotated[
        str | None, Field(description="Where the executed copy goes; default is executions/<name>-<time>.ipynb.")
    ] = None,
    verify: Annotated[bool, Field(description="Compare the outputs with those stored in the notebook.")] = False,
    resume: Annotated[
        str | None, Field(description="Id of a run that failed: go on from the cell that did, on its kernel.")
    ] = None,
    timeout_s: Annotated[
        float | None,
        Field(gt=0, le=MOST_TIMEOUT_S, allow_inf_nan=False, description="Seconds that each cell may take."),
    ] = None,
    wait_s: WaitS = DEFAULT_WAIT_S,
    request_id: RequestId = None,
    session: SessionHandle = None,
) -> list[ContentBlock] | TaskCreated:
    """Run a notebook file from its first cell to its last on a fresh kernel, with parameters, as papermill does.

    The file stays as it is. The executed copy, with outputs, times and the injected parameters, goes to
    executions/ or `output_path`, and is never more than a second behind. Parameters are those of the cell
    tagged `parameters`; a value of another type than the default is refused. A list of sets is a sweep: one
    run after the other, and a table of results.

    It is a job: after `wait_s` seconds it hands back `running` with an execution_id, for
    get_output(execution_id=..., wait_s=...) to follow and control_kernel(action="interrupt",
    execution_id=...) to stop. Returns how it ended, the times, the scraps (values kept by hermes_runtime's
    glue), where the copy is, and of a failure the cell with its error. Its kernel then lives on in a session
    of its own, which is named: look there, correct the cell, and call again with `resume`.

    `verify` compares each cell's outputs with what is stored, by nbval's markers and rules, and tells what
    differs. Nothing asks the user: input() fails.
    """
    need(RUNS, "papermill", *(["nbval"] if verify else []))
    arguments = ("notebook_execute", path, parameters, output_path, verify, resume, timeout_s)
    requested = partial(call.runs.requested, call.connection.user, request_id, arguments)
    job = requested()
    mine = job is None
    if job is None:
        order = await with_progress(call, "reading", lambda: _order(call, path, verify, timeout_s, session))
        made = await _job(call, order, parameters, output_path, resume)
        # another call may have begun it meanwhile; from here to its entry nothing waits
        job = requested() or call.runs.begin(made, request_id, arguments)
        mine = job is made
    async with cancelled_with_call(call, job.stop if mine else None):
        answer = await followed(call, job, min(wait_s, TASK_AFTER_S) if call.makes_tasks else wait_s)
    if call.makes_tasks and not job.finished:
        return task_created(job.id, job.created, job.updated)
    return answer


async def followed(call: Call, job: Job, wait_s: float) -> list[ContentBlock]:
    """What there is of a job when it has ended, or the time is up."""
    await wait_with_progress(call, job, wait_s, lambda: job.latest_line)
    if not job.finished and job.stopping:
        return _said([f"running execution_id={job.id}: {job.latest_line}", *_not_stopped(call, job)])
    if not job.finished:
        wait = next_call(call, None, "get_output", execution_id=job.id, wait_s=call.settings.wait_s)
        stop = next_call(call, None, "control_kernel", action="interrupt", execution_id=job.id)
        return _said([f"running execution_id={job.id}: {job.latest_line}", f"{wait} waits for it; {stop} stops it."])
    draw = partial(_ended, call, job)
    return _said([shortened("\n".join(await anyio.to_thread.run_sync(draw)), call.settings.answer_chars)])


def _not_stopped(call: Call, job: Job) -> list[str]:
    return [
        "It was asked to stop, and its cell has not ended yet:"
        f" {next_call(call, run.session, 'control_kernel', action='kill')} ends its kernel."
        for run in job.runs
        if run.session is not None and not run.ended
    ]


async def stopped(call: Call, job: Job) -> list[ContentBlock]:
    """End a job, and tell what came of it."""
    await with_progress(call, "interrupting", job.stop)
    return await followed(call, job, 0)


async def _order(call: Call, path: str, verify: bool, timeout_s: float | None, session: str | None) -> Order:
    workspace = (await workplace(call, session)).workspace
    return await anyio.to_thread.run_sync(partial(_read, call, path, workspace, verify, timeout_s))


def _read(call: Call, path: str, workspace: Path, verify: bool, timeout_s: float | None) -> Order:
    from mcp_notebook.batch.preparing import read_source

    patterns: Sequence[tuple[str, str]] = ()
    source = read_source(path, workspace)
    if verify:
        from mcp_notebook.batch.verification import check_stored, read_patterns

        check_stored(source.notebook)
        if call.settings.nbval_sanitize_with is not None:
            patterns = read_patterns(workspace / call.settings.nbval_sanitize_with)
    return Order(path, source, workspace, call.connection, verify, timeout_s, patterns)


async def _job(
    call: Call, order: Order, parameters: Parameters | None, output_path: str | None, resume: str | None
) -> Job:
    if resume is not None:
        if parameters is not None or output_path is not None or order.verify:
            raise BadRequest(
                "With `resume` the run goes on with its own parameters into its own copy: leave parameters,"
                " output_path and verify out. Nothing was run."
            )
        return await call.runs.resume(resume, order)
    runs, is_sweep = runs_of(parameters)
    if not 0 < len(runs) <= MOST_RUNS:
        raise BadRequest(f"parameters is a list of 1 to {MOST_RUNS} sets, or one set. Nothing was run.")
    if output_path is not None:
        if is_sweep:
            raise BadRequest("A list of parameters makes several copies: leave output_path out. Nothing was run.")
        place = partial(chosen_copy, output_path, order.workspace, order.source.pair)
        runs[0].output_path = await anyio.to_thread.run_sync(place)
        taken = [each for each in call.sessions.all() if each.has(Pair(runs[0].output_path, None, None))]
        if taken:
            raise FileRefused(f"{output_path} is open in a session: name another output_path. Nothing was run.")
    await anyio.to_thread.run_sync(_check, order, runs)
    return Job(order, runs, is_sweep=is_sweep)


def _check(order: Order, runs: Sequence[OneRun]) -> None:
    """Refuse wrong parameters before anything runs."""
    from mcp_notebook.batch.preparing import prepared

    for run in runs:
        prepared(order.source, None, run.parameters)


def _ended(call: Call, job: Job) -> list[str]:
    if job.is_sweep:
        return table(job)
    run = job.runs[0]
    if run.result is None:
        return [run.refused or "It was not run."]
    lines = [f"{job.id} {line}" if number == 0 else line for number, line in enumerate(told(run.result))]
    if run.result.failure is not None:
        lines += _failed(run.result.failure)
    if run.session is not None and not run.has_variables:
        lines.append("Its kernel and variables are gone: correct the cell, and run the notebook again.")
    elif run.session is not None and job.resumed_by is None:
        look = next_call(call, run.session, "execute_cell", source="...")
        again = next_call(call, None, "notebook_execute", path=job.order.path, resume=job.id)
        lines.append(
            f"Its kernel lives on: {look} looks at its variables. Correct the cell in the file, or with edit_cell in"
            f" that session; {again} then goes on from there."
        )
    return lines


def _failed(failure: Failure) -> list[str]:
    """The cell, and its traceback as execute_cell shows one."""
    source = "\n".join(failure.source.splitlines()[:SOURCE_LINES])
    if not failure.ename:
        return [f"The cell:\n{source}"]
    error = {"ename": failure.ename, "evalue": failure.evalue, "traceback": list(failure.traceback)}
    return [f"The cell:\n{source}", traceback_text(output_node({"output_type": "error", **error}))]


def _said(lines: Sequence[str]) -> list[ContentBlock]:
    return [TextContent(text="\n".join(lines))]
