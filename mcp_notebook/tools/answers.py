"""An execution as the blocks of a tool's result: one line, the outputs, and what to call next."""

import json
from collections.abc import Sequence
from functools import partial

import anyio.to_thread
from mcp_types import ContentBlock, TextContent

from mcp_notebook.execution import Execution
from mcp_notebook.outputs import Output
from mcp_notebook.render import header_line, render
from mcp_notebook.runs import Run
from mcp_notebook.session import Session
from mcp_notebook.tools.tool import Call

PROMPT_CHARS = 300
DIFFERENCES_TOLD = 50
MUCH_TEXT_CHARS = 100_000
"""From here on rendering takes milliseconds, which other sessions should not wait for."""


async def execution_blocks(call: Call, session: Session, execution: Execution, *, said: str = "") -> list[ContentBlock]:
    """Header, outputs within the budget, and the next step where there is one; first of all what is ``said``."""
    outputs = execution.outputs
    draw = partial(
        render,
        execution_header(execution),
        outputs,
        chars=call.settings.answer_chars,
        more=f"The rest: {next_call(call, session, 'get_output', execution_id=execution.id)}",
    )
    blocks = await anyio.to_thread.run_sync(draw) if is_heavy(outputs) else draw()
    if closing := next_steps(call, session, execution, said):
        blocks.append(TextContent(text="\n".join(closing)))
    return [TextContent(text=said), *blocks] if said else blocks


def execution_header(execution: Execution) -> str:
    """``[7] ok 0.31 s cell=a1b2c3d4 rev=9f86d081``, and the execution's id while it is not over."""
    return header_line(
        execution_count=execution.execution_count,
        status=execution.status,
        elapsed_s=execution.elapsed_s,
        cell_id=execution.cell_id,
        revision=execution.revision,
        more="" if execution.finished else f"execution_id={execution.id}",
    )


def next_steps(call: Call, session: Session, execution: Execution, said: str = "") -> list[str]:
    """Sentences behind the outputs: why it ended, what to call, what the session has to say; not what was said."""
    steps = [*execution.losses, *([] if execution.message in said else [execution.message])]
    asking = _asking(session, execution)
    if asking is not None:
        steps.append(asks_for_input(call, session, asking))
    elif not execution.finished:
        wait = next_call(call, session, "get_output", execution_id=execution.id, wait_s=call.settings.wait_s)
        stop = next_call(call, session, "control_kernel", action="interrupt")
        steps.append(f"Still {execution.status}. {wait} waits for it; {stop} stops the running cell.")
    return steps + list(session.take_notes())


def run_blocks(call: Call, session: Session, run: Run) -> list[ContentBlock]:
    """How far a run of several cells came, and what to call next."""
    lines = [run.summary(), *_compared(session, run)]
    if run.stopped_by is not None:
        lines.append(f"{next_call(call, session, 'get_output', execution_id=run.stopped_by.id)} shows why.")
    elif not run.finished:
        asking = next((each for each in session.pending if each.status == "waiting_for_input"), None)
        if asking is not None:
            lines.append(asks_for_input(call, session, asking))
        wait = next_call(call, session, "get_output", execution_id=run.id, wait_s=call.settings.wait_s)
        stop = next_call(call, session, "control_kernel", action="interrupt")
        lines.append(f"It goes on by itself until a cell fails. {wait} waits for it; {stop} stops it.")
    return [TextContent(text="\n".join([*lines, *session.take_notes()]))]


def _compared(session: Session, run: Run) -> list[str]:
    """What a rebuild gave beside what there was before."""
    if run.comparison is None or not (said := str(run.comparison)):
        return []
    there = {cell["id"]: f"#{position} " for position, cell in enumerate(session.notebook.cells)}
    differences = list(run.comparison.differences.items())
    lines = [f"{there.get(cell_id, '')}cell={cell_id}: {how}" for cell_id, how in differences[:DIFFERENCES_TOLD]]
    more = len(differences) - len(lines)
    return [said, *lines, *([f"and {more:,} more"] if more > 0 else [])]


def next_call(call: Call, session: Session | None, tool: str, **arguments: object) -> str:
    """A call to copy, with ``session`` where it could not be left out; None where the tool needs none."""
    connection, settings = call.connection, call.settings
    is_needed = settings.require_session or connection.handles_only or len(call.sessions.of(connection)) != 1
    if session is not None and (is_needed or session.is_run):
        arguments["session"] = session.handle
    # JSON's strings are Python's, and the forms that models write both.
    written = (f"{name}={_written(value)}" for name, value in arguments.items())
    return f"{tool}({', '.join(written)})"


def _written(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def is_heavy(outputs: Sequence[Output]) -> bool:
    """Whether rendering should happen in a worker thread: images, or much text."""
    chars = 0
    for output in outputs:
        data = output.get("data")
        if data is None:
            chars += len(output.get("text", ""))
            continue
        if any(mime.startswith("image/") for mime in data):
            return True
        chars += sum(len(value) for value in data.values() if isinstance(value, str))
    return chars > MUCH_TEXT_CHARS


def _asking(session: Session, execution: Execution) -> Execution | None:
    """The execution that waits for input: this one, or the one that holds up this one."""
    if execution.status == "queued":
        return next((each for each in session.pending if each.status == "waiting_for_input"), None)
    return execution if execution.status == "waiting_for_input" else None


def asks_for_input(call: Call, session: Session, execution: Execution) -> str:
    """What a cell asks, and the call that answers it."""
    prompt = (execution.prompt or "").strip()
    if len(prompt) > PROMPT_CHARS:
        prompt = f"...{prompt[-PROMPT_CHARS:]}"
    asked = f"Cell {execution.cell_id} waits for input{f': {prompt!r}' if prompt else ''}."
    if execution.password:
        stop = next_call(call, session, "control_kernel", action="interrupt")
        way = "Let the cell read it from a file or from the environment instead."
        if session.outlives_server:
            wait = next_call(call, session, "get_output", execution_id=execution.id, wait_s=call.settings.wait_s)
            way = (
                f"Ask the user to run `mcp-notebook answer {session.handle}` in a terminal on this server's machine; "
                f"{wait} then waits for the cell."
            )
        return (
            f"{asked} It is a password, which must not pass through this conversation. {way} {stop} ends the waiting."
        )
    answer = next_call(call, session, "control_kernel", action="answer", text="...", execution_id=execution.id)
    return f"{asked} Call {answer}."
