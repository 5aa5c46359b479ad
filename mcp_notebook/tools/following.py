"""A call that follows a job: it waits, asks the user on the way, and answers with what there is."""

from functools import partial

from mcp_types import ContentBlock, InputRequiredResult

from mcp_notebook.runs import Run
from mcp_notebook.session import Session
from mcp_notebook.task_extension import TaskCreated, task_created
from mcp_notebook.tools.answers import execution_blocks, run_blocks
from mcp_notebook.tools.asking import Again, Job, wait_for
from mcp_notebook.tools.tool import Call
from mcp_notebook.tools.waiting import cancelled_with_call

Answer = list[ContentBlock] | InputRequiredResult | TaskCreated

TASK_AFTER_S = 1.0
"""A job that takes longer goes on as a task, for a client that knows tasks."""


async def follow(
    call: Call, session: Session, job: Job, wait_s: float, *, began: bool, again: Again | None = None
) -> Answer:
    """What the call answers; ``began`` says that it began the job, which then ends if the client cancels the call."""
    if call.makes_tasks:
        wait_s = min(wait_s, TASK_AFTER_S)
    async with cancelled_with_call(call, partial(stop, session, job) if began else None):
        wanted = await wait_for(call, session, job, wait_s, began=began, again=again)
    if wanted is None and call.makes_tasks and not job.finished and job.asking is None:
        return task_created(task_id(session, job), job.created, job.updated)
    return wanted or await job_blocks(call, session, job)


async def follow_again(call: Call, again: Again, wait_s: float) -> Answer:
    """The same, of a call that comes again with an answer."""
    return await follow(call, again.session, again.job, wait_s, began=again.state.began, again=again)


async def job_blocks(call: Call, session: Session, job: Job) -> list[ContentBlock]:
    """How far it is, or how it ended."""
    return run_blocks(call, session, job) if isinstance(job, Run) else await execution_blocks(call, session, job)


def task_id(session: Session, job: Job) -> str:
    """Of the job as a task."""
    return f"{session.handle}:{job.id}"


async def stop(session: Session, job: Job) -> None:
    """End the job; no other cell is touched."""
    await (session.stop(job) if isinstance(job, Run) else session.cancel(job))
