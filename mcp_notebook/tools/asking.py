"""What a running cell asks is put to the client's user, where the client can ask: elicitation from the waiting call.

https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation. A password is never asked for in a form.
"""

from contextlib import suppress
from typing import Any

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitResult

from mcp_notebook.errors import BadRequest
from mcp_notebook.execution import Execution
from mcp_notebook.session import Session
from mcp_notebook.tools.elicitation import Elicit
from mcp_notebook.tools.tool import Call
from mcp_notebook.tools.waiting import wait_with_progress

ANSWER = "answer"
"""The one field of the form."""
MESSAGE_CHARS = 2000


async def wait_for_cell(call: Call, session: Session, execution: Execution, wait_s: float) -> None:
    """Until it ends, time is up, or it asks what nobody answers."""
    while await wait_with_progress(call, execution, wait_s, lambda: execution.latest_line):
        if execution.finished or execution.password or call.elicit is None:
            return
        left = call.began + wait_s - anyio.current_time()
        if left <= 0 or not await _asked(call.elicit, session, execution, left):
            return


async def _asked(elicit: Elicit, session: Session, execution: Execution, within_s: float) -> bool:
    """Whether the cell waits no longer; an answer may also come by another call, or an interrupt end it."""
    answered = []
    with anyio.move_on_after(within_s):
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                with suppress(MCPError):  # the client cannot after all
                    answered.append(await elicit(_message(execution), _form(execution)))
                tasks.cancel_scope.cancel()

            tasks.start_soon(ask)
            while execution.status == "waiting_for_input":
                await execution.changed()
            tasks.cancel_scope.cancel()
    for result in answered:
        await _passed_on(result, session, execution)
    return execution.status != "waiting_for_input"


async def _passed_on(result: ElicitResult, session: Session, execution: Execution) -> None:
    if result.action == "accept":
        with suppress(BadRequest):  # it does not fit, and is asked for again by whoever reads the answer
            await session.answer(str((result.content or {}).get(ANSWER, "")), execution.id)
    elif execution.question is not None:
        session.decline(execution)


def _message(execution: Execution) -> str:
    text = execution.question.text if execution.question is not None else (execution.prompt or "").strip()
    return text[-MESSAGE_CHARS:] or "A cell of the notebook waits for a line of input."


def _form(execution: Execution) -> dict[str, Any]:
    wanted = dict(execution.question.schema) if execution.question is not None else {"type": "string"}
    return {"type": "object", "properties": {ANSWER: wanted}, "required": [ANSWER]}
