"""What the cells of all sessions wait for, for a person at a terminal: the server's half of ``mcp-notebook answer``."""

from typing import Any

import anyio

from mcp_notebook.errors import BadRequest
from mcp_notebook.execution import Execution
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions


class Prompts:
    """Two commands of the control socket; passwords pass through ``answer`` and are kept nowhere."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def waiting(self, asked: dict[str, Any]) -> dict[str, Any]:
        """What waits for input in the session ``name``, or in all."""
        name = str(asked.get("name") or "")
        chosen = [each for each in self._sessions.all() if name in ("", each.name, each.handle)]
        if name and not chosen:
            raise BadRequest(f"No session is called {name!r}: `mcp-notebook sessions` lists them.")
        found: list[dict[str, Any]] = []

        async def look(session: Session) -> None:
            for each in session.pending[:1]:
                await each.caught_up()
                found.extend([_prompt(session, each)] if each.asking else [])

        async with anyio.create_task_group() as tasks:
            for session in chosen:
                tasks.start_soon(look, session)
        return {"waiting": found}

    async def answer(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Give a cell the line ``text``, if it still waits for what ``asked`` names."""
        session = self._sessions.find(str(asked.get("session")))
        execution, what = str(asked.get("execution")), str(asked.get("asked"))
        await session.answer(str(asked.get("text")), execution, asked=what, private=True)
        return {}


def _prompt(session: Session, execution: Execution) -> dict[str, Any]:
    return {
        "session": session.handle,
        "cell": execution.cell_id,
        "execution": execution.id,
        "asked": execution.asked,
        "prompt": execution.prompt or "",
        "password": execution.password,
    }
