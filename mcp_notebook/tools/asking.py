"""What a running cell asks is put to the client's user, where the client can ask: elicitation from the waiting call.

https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation. A password is never asked for in a form.
"""

from contextlib import suppress
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult
from pydantic import ValidationError

from mcp_notebook.errors import BadRequest
from mcp_notebook.execution import Execution
from mcp_notebook.questions import Question
from mcp_notebook.session import Session
from mcp_notebook.tools.elicitation import Elicit
from mcp_notebook.tools.tool import Call
from mcp_notebook.tools.waiting import report_until_cancelled, wait_with_progress

ANSWER = "answer"
"""The one field of the form."""
MESSAGE_CHARS = 2000


async def wait_for_cell(call: Call, session: Session, execution: Execution, wait_s: float) -> None:
    """Until it ends, time is up, or it asks what nobody answers."""
    while await wait_with_progress(call, execution, wait_s, lambda: execution.latest_line):
        if execution.finished or execution.password or call.elicit is None:
            return
        left = call.began + wait_s - anyio.current_time()
        if left <= 0:
            return
        asked = _asked(call, call.elicit, session, execution, left)
        if not await call.sessions.calls.unless_ending(asked, comes_again=call.comes_again):
            return


async def _asked(call: Call, elicit: Elicit, session: Session, execution: Execution, within_s: float) -> bool:
    """Whether the cell waits for this no longer; an answer may also come by another call, or an interrupt end it."""
    answered = []
    what = _what(execution)
    with anyio.move_on_after(within_s):
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with suppress(MCPError, ValidationError):  # the client cannot after all, or its answer is none
                    answered.append(await elicit(_message(execution), _form(execution)))
                tasks.cancel_scope.cancel()

            tasks.start_soon(ask)
            tasks.start_soon(report_until_cancelled, call, "waiting for the user's answer")
            while _what(execution) == what:
                await execution.changed()
            tasks.cancel_scope.cancel()
    for result in answered:
        if _what(execution) == what:
            await _passed_on(result, session, execution)
    return _what(execution) != what


def _what(execution: Execution) -> tuple[str, Question | None, str | None]:
    """What is asked now."""
    return execution.status, execution.question, execution.prompt


async def _passed_on(result: ElicitResult, session: Session, execution: Execution) -> None:
    answer = (result.content or {}).get(ANSWER)
    if result.action == "accept":
        if answer is not None:
            with suppress(BadRequest):  # it does not fit, and is asked for again by whoever reads the answer
                await session.answer(str(answer), execution.id)
    elif execution.question is not None:
        session.decline(execution)


def _message(execution: Execution) -> str:
    text = execution.question.text if execution.question is not None else (execution.prompt or "").strip()
    return text[-MESSAGE_CHARS:] or "A cell of the notebook waits for a line of input."


def _form(execution: Execution) -> dict[str, Any]:
    wanted = dict(execution.question.schema) if execution.question is not None else {"type": "string"}
    if "enum" in wanted:  # MCP knows choices of texts only
        wanted["type"] = "string"
    return {"type": "object", "properties": {ANSWER: wanted}, "required": [ANSWER]}
