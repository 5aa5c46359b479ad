"""The tool control_kernel: what is done to the kernel rather than in it."""

import json
from typing import Annotated, Any, Literal

from mcp_types import ContentBlock, TextContent
from pydantic import Field

from mcp_notebook.batch.jobs import JOB
from mcp_notebook.errors import BadRequest
from mcp_notebook.execution import Execution
from mcp_notebook.render import shortened
from mcp_notebook.session import Session
from mcp_notebook.settings import DEFAULT_WAIT_S
from mcp_notebook.tools.answers import execution_blocks
from mcp_notebook.tools.asking import made_again
from mcp_notebook.tools.following import Answer, follow, follow_again
from mcp_notebook.tools.notebook_execute import stopped
from mcp_notebook.tools.tool import Call, RequestId, SessionHandle
from mcp_notebook.tools.waiting import WaitS, existing_session, with_progress

Action = Literal["interrupt", "kill", "restart", "rebuild", "run_all", "run_stale", "shutdown", "status", "answer"]
RUNS = ("rebuild", "run_all", "run_stale")
EXECUTION_ACTIONS = ("interrupt", "answer")
STALE_NAMED = 20
LINE_CHARS = 60


async def control_kernel(
    call: Call,
    action: Annotated[Action, Field(description="What to do; see the tool's description.")],
    text: Annotated[str | None, Field(description="For answer: the line that input() gets.")] = None,
    execution_id: Annotated[
        str | None,
        Field(description="For interrupt and answer: only this execution; default is the running one."),
    ] = None,
    dry_run: Annotated[
        bool, Field(description="For rebuild, run_all and run_stale: only show which cells would run.")
    ] = False,
    wait_s: WaitS = DEFAULT_WAIT_S,
    request_id: RequestId = None,
    session: SessionHandle = None,
) -> Answer:
    """Act on the session's kernel.

    - `interrupt` stops the running cell; variables stay, queued cells go on. Says how it was stopped, and shows
      what the cell had printed. What the cell had started ends with it; what earlier cells started lives.
    - `answer` gives the line `text` to a cell that waits in input(); never a password, which people type elsewhere.
    - `status`: is it alive, busy, which executions are queued, which cells are stale.
    - `run_all` runs every code cell in document order, `run_stale` only those whose outputs no longer match
      the code; both stop at the first error.
    - `restart` gives a fresh kernel, all variables are lost, the notebook stays.
    - `rebuild` restarts and replays the cells that had succeeded, in the order in which they ran; says which
      results differ from before.
    - `kill` ends the kernel's process at once, for when an interrupt does not help.
    - `shutdown` ends the kernel in good order; the notebook stays and can be read and saved.

    restart, rebuild, kill and shutdown cancel what is queued. With `dry_run` nothing is done and the plan
    comes back. Runs wait up to `wait_s`, then hand back an id for get_output(execution_id=...) and go on; one run
    at a time. Returns what was done and whether variables were kept.
    """
    _check(action, text=text, execution_id=execution_id, dry_run=dry_run, request_id=request_id)
    if (again := await made_again(call, session)) is not None:
        return await follow_again(call, again, wait_s)
    if action == "interrupt" and execution_id is not None and execution_id.startswith(JOB):
        return await stopped(call, call.runs.find(execution_id, call.connection.user))
    live = await existing_session(call, session)
    if action == "answer":
        return await _answer(call, live, text or "", execution_id, wait_s)
    if dry_run:
        return _said(live, shortened(_plan(live, action), call.settings.answer_chars))
    if action in RUNS:
        return await _run(call, live, action, request_id, wait_s)
    if action == "interrupt":
        return await _interrupt(call, live, execution_id)
    return _said(live, await with_progress(call, action, lambda: _done(live, action)))


def _check(
    action: Action, *, text: str | None, execution_id: str | None, dry_run: bool, request_id: str | None
) -> None:
    if text is None and action == "answer":
        raise BadRequest('action="answer" needs text, the line that input() gets ("" for an empty one).')
    if text is not None and action != "answer":
        raise BadRequest(f'text goes with action="answer", not with {action!r}. Nothing was done.')
    if execution_id is not None and action not in EXECUTION_ACTIONS:
        raise BadRequest(f"action={action!r} concerns the whole kernel: leave execution_id out. Nothing was done.")
    if request_id is not None and action not in RUNS:
        raise BadRequest(f"request_id goes with {', '.join(RUNS)}, not with {action!r}. Nothing was done.")
    if dry_run and action not in RUNS:
        raise BadRequest(f"dry_run goes with {', '.join(RUNS)}, not with {action!r}. Nothing was done.")


async def _interrupt(call: Call, session: Session, execution_id: str | None) -> list[ContentBlock]:
    """What came of it, and what the cell gave so far."""
    stopped = await with_progress(call, "interrupting", lambda: session.stop_running(execution_id))
    if stopped.execution is None:
        return _said(session, stopped.said)
    return await execution_blocks(call, session, stopped.execution, said=stopped.said)


async def _done(session: Session, action: Action) -> str:
    match action:
        case "kill":
            return await session.kill()
        case "restart":
            return await session.restart()
        case "shutdown":
            return await session.shutdown()
        case _:
            return json.dumps(_status(session), indent=1, ensure_ascii=False, default=str)


def _status(session: Session) -> dict[str, Any]:
    stale = session.stale()
    few = dict(list(stale.items())[:STALE_NAMED])
    return session.status() | {"stale_cells": len(stale), "stale": few}


async def _answer(call: Call, session: Session, text: str, execution_id: str | None, wait_s: float) -> Answer:
    execution = session.execution(execution_id) if execution_id is not None else await _waiting(session)
    await session.answer(text, execution.id)
    return await follow(call, session, execution, wait_s, began=False)


async def _run(call: Call, session: Session, action: Action, request_id: str | None, wait_s: float) -> Answer:
    begin = {"rebuild": session.rebuild, "run_all": session.run_all, "run_stale": session.run_stale}[action]
    mine = not session.knows(request_id)
    run = await with_progress(call, "preparing", lambda: begin(request_id=request_id))
    return await follow(call, session, run, wait_s, began=mine)


def _plan(session: Session, action: Action) -> str:
    cells, left_out = session.plan(action), session.left_out() if action == "rebuild" else {}
    count = "1 cell" if len(cells) == 1 else f"{len(cells):,} cells in this order"
    head = f"{action} would run {count if cells else 'no cell'}. Nothing was done."
    lines = [_cell_line(session, cell_id, _first_line(session, cell_id)) for cell_id in cells]
    if left_out:
        lines += ["Left out:", *(_cell_line(session, cell_id, why) for cell_id, why in left_out.items())]
    return "\n".join([head, *lines])


def _cell_line(session: Session, cell_id: str, text: str) -> str:
    return f"#{session.notebook.position(cell_id)} cell={cell_id} {text}"


def _first_line(session: Session, cell_id: str) -> str:
    first, *more = session.notebook.cell(cell_id)["source"].strip().splitlines()
    return first if len(first) <= LINE_CHARS and not more else f"{first[:LINE_CHARS]} ..."


async def _waiting(session: Session) -> Execution:
    for execution in session.pending:
        await execution.caught_up()
        if execution.status == "waiting_for_input":
            return execution
    raise BadRequest('No cell waits for input. control_kernel(action="status") tells what is running.')


def _said(session: Session, text: str) -> list[ContentBlock]:
    return [TextContent(text="\n".join([text, *session.take_notes()]))]
