"""The tool get_output: what an answer had no room for, page by page or by search."""

from functools import partial
from typing import Annotated

import anyio.to_thread
from mcp_types import ContentBlock, ImageContent, TextContent
from pydantic import Field

from mcp_notebook.batch.jobs import JOB
from mcp_notebook.errors import BadRequest, UnknownExecution
from mcp_notebook.execution import Execution
from mcp_notebook.notebook import revision
from mcp_notebook.render import render
from mcp_notebook.runs import RUN
from mcp_notebook.session import Session
from mcp_notebook.tools.answers import execution_blocks, execution_header, next_call, next_steps, run_blocks
from mcp_notebook.tools.asking import made_again, wait_for
from mcp_notebook.tools.following import Answer
from mcp_notebook.tools.notebook_execute import followed
from mcp_notebook.tools.pages import CELL, PAGE_BYTES, Cursor, OutputText, Page, Shown
from mcp_notebook.tools.searching import Found, search_text
from mcp_notebook.tools.tool import Call, SessionHandle
from mcp_notebook.tools.waiting import WaitS, existing_session, with_progress

HEADING_CHARS = 600
"""Left for the first and the last lines of a page."""
PATTERN_CHARS = 1000
"""A pattern is said again in each answer."""


async def get_output(
    call: Call,
    execution_id: Annotated[str | None, Field(description="Which execution, as execute_cell named it.")] = None,
    cell_id: Annotated[str | None, Field(description="Instead: the latest execution of this cell.")] = None,
    cursor: Annotated[str | None, Field(description="Go on where the last page ended; copy it unchanged.")] = None,
    search: Annotated[
        str | None, Field(description="Regular expression (Python re); returns the lines it is found in.")
    ] = None,
    wait_s: WaitS = 0,
    session: SessionHandle = None,
) -> Answer:
    """Fetch the output of an execution: the part that was cut, or what a running cell printed so far.

    Name the execution by `execution_id`, or by `cell_id` for that cell's latest one. With `wait_s` it waits
    for a running execution to end, with progress, and answers sooner when it ends sooner.

    The whole output is kept, also what was left out of earlier answers and of the notebook: it comes in
    pages of up to 20,000 characters, images with the first; each page ends with the exact call for the next
    one. With `search` only the matching lines come back, each with its line number, out of all pages.
    Reading changes nothing and never stops or reruns a cell. The first line gives the status; if that is
    still `running`, call again with `wait_s`, or stop the cell with control_kernel(action="interrupt").
    """
    at = Cursor.parse(cursor) if cursor is not None else None
    if at is None and execution_id is None and cell_id is None:
        raise BadRequest("get_output needs execution_id, cell_id or cursor: whose output is wanted?")
    if at is not None and execution_id not in (None, at.key):
        raise BadRequest(f"The cursor belongs to {at.key}, not to {execution_id}: leave one out.")
    if search is not None and len(search) > PATTERN_CHARS:
        raise BadRequest(f"search has {len(search):,} characters; {PATTERN_CHARS:,} are the most. Search for less.")
    if execution_id is not None and execution_id.startswith(JOB):
        if search is not None or at is not None:
            raise BadRequest(f"{execution_id} is a run of a notebook: search in the outputs of a cell of its session.")
        return await followed(call, call.runs.find(execution_id, call.connection.user), wait_s)
    again = await made_again(call, session)
    live = again.session if again is not None else await existing_session(call, session)
    if execution_id is not None and execution_id.startswith(RUN):
        run = live.run(execution_id)
        return await wait_for(call, live, run, wait_s, again=again) or run_blocks(call, live, run)
    if at is not None:
        execution_id, cell_id = (None, at.key.removeprefix(CELL)) if at.key.startswith(CELL) else (at.key, None)
    execution = _execution(live, execution_id, cell_id)
    if execution is not None and at is not None and at.key.startswith(CELL):
        raise BadRequest(f"Cell {cell_id} has run since, and what the cursor pages is gone: leave the cursor out.")
    if execution is not None and not execution.finished and wait_s:
        wanted = await wait_for(call, live, execution, wait_s, again=again)
        if wanted is not None:
            return wanted
    shown = _saved(live, cell_id or "") if execution is None else _given(execution)
    if search is not None:
        return await _search(call, live, shown, search, at.offset if at else 1)
    start = at.offset if at else 0
    page = await anyio.to_thread.run_sync(_read, shown, start, call.settings.answer_chars - HEADING_CHARS)
    if at is not None or page.end < page.total:
        return await _paged(call, live, shown, page, execution)
    if execution is not None:
        return await execution_blocks(call, live, execution)
    draw = partial(render, shown.header, shown.outputs, chars=call.settings.answer_chars, more="")
    return await anyio.to_thread.run_sync(draw)


def _execution(session: Session, execution_id: str | None, cell_id: str | None) -> Execution | None:
    """The execution that is meant; None for a cell that has outputs and did not run in this session."""
    try:
        return session.execution(execution_id, cell_id)
    except UnknownExecution:
        if cell_id is None or not session.notebook.cell(cell_id).get("outputs"):
            raise
        return None


def _given(execution: Execution) -> Shown:
    return Shown(execution.id, execution_header(execution), execution.outputs, dict(execution.spilled))


def _saved(session: Session, cell_id: str) -> Shown:
    cell = session.notebook.cell(cell_id)
    count = cell.get("execution_count")
    header = f"[{' ' if count is None else count}] cell={cell_id} rev={revision(cell)}, as saved in the notebook"
    return Shown(f"{CELL}{cell_id}", header, list(cell["outputs"]))


async def _paged(
    call: Call, session: Session, shown: Shown, page: Page, execution: Execution | None
) -> list[ContentBlock]:
    place = f"characters {page.start:,} to {page.end:,} of {page.total:,}"
    following = str(Cursor(shown.key, page.end))
    finished = execution is None or execution.finished
    if page.end < page.total:
        last = f"Next: {next_call(call, session, 'get_output', cursor=following)}"
    elif not finished:
        wait_s = call.settings.wait_s
        last = f"Next: {next_call(call, session, 'get_output', cursor=following, wait_s=wait_s)}"
    else:
        last = "This is the end of the output."
    steps = next_steps(call, session, execution) if execution and finished else session.take_notes()
    lines = [f"{shown.header} {place}", page.text.rstrip("\n"), *steps, last]
    blocks: list[ContentBlock] = [TextContent(text="\n".join(line for line in lines if line))]
    if page.start == 0:
        blocks += await anyio.to_thread.run_sync(_images, shown)
    return blocks


async def _search(call: Call, session: Session, shown: Shown, pattern: str, first_line: int) -> list[ContentBlock]:
    text = await anyio.to_thread.run_sync(OutputText, shown)
    chars = call.settings.answer_chars - HEADING_CHARS - len(pattern)

    async def find() -> Found:
        return await search_text(text.chunks(), pattern, first_line=first_line, chars=chars, size=PAGE_BYTES)

    found = await with_progress(call, "searching", find)
    lost = " ".join(text.failed for text in shown.spilled.values() if text.failed)
    total = f"{found.matching:,} of {found.searched:,} lines match {pattern!r} {lost}".rstrip()
    lines = [f"{shown.header} {total}", *(f"{number}: {line}" for number, line in found.lines)]
    if found.following is not None:
        cursor = str(Cursor(shown.key, found.following))
        lines.append(f"Next: {next_call(call, session, 'get_output', cursor=cursor, search=pattern)}")
    return [TextContent(text="\n".join(lines))]


def _read(shown: Shown, start: int, chars: int) -> Page:
    return OutputText(shown).page(start, chars)


def _images(shown: Shown) -> list[ContentBlock]:
    pictured = [output for output in shown.outputs if output.get("data")]
    return [block for block in render("", pictured, chars=1000, more="") if isinstance(block, ImageContent)]
