"""A session for a test, and cells run in it to their end."""

import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.lowlevel
import psutil
from nbformat import NotebookNode

from mcp_notebook.execution import Execution
from mcp_notebook.runs import Run
from mcp_notebook.session import Session
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings

T = TypeVar("T")

WITHIN_S = 20.0
"""Longer than anything here takes."""


@asynccontextmanager
async def opened(sessions: Sessions, connection: Connection | None = None, **arguments: Any) -> AsyncIterator[Session]:
    """A session of its own, which is resumed from no other test; ended afterwards."""
    stranger = Connection(agent=secrets.token_hex(4))
    session = (await sessions.open(connection or stranger, **arguments)).session
    try:
        yield session
    finally:
        await sessions.end(session)


@asynccontextmanager
async def alone(settings: Settings, **arguments: Any) -> AsyncIterator[Session]:
    """A session of a process of its own, whose settings may be unusual."""
    async with Sessions(settings) as sessions:
        yield (await sessions.open(Connection(), **arguments)).session


async def soon(awaitable: Awaitable[T]) -> T:
    """What is awaited, which must not take long."""
    with anyio.fail_after(WITHIN_S):
        return await awaitable


async def finished(execution: Execution) -> Execution:
    """Return when it has ended."""
    with anyio.fail_after(WITHIN_S):
        while not execution.finished:
            await execution.changed()
    return execution


async def over(run: Run) -> Run:
    """Return when all of its cells have ended."""
    assert await run.wait(WITHIN_S)
    return run


async def ran(session: Session, source: str | None = None, **arguments: Any) -> Execution:
    """A cell, run to its end."""
    return await finished(await session.execute_cell(source, **arguments))


async def until_printed(execution: Execution, text: str) -> None:
    """Return when its outputs contain ``text``."""
    with anyio.fail_after(WITHIN_S):
        while text not in text_of(execution):
            await execution.changed()


async def begun(session: Session) -> Execution:
    """The execution that somebody else starts in the session, once it has printed ``begun``."""
    with anyio.fail_after(WITHIN_S):
        while not session.pending:
            await anyio.lowlevel.checkpoint()
    execution = session.pending[0]
    await until_printed(execution, "begun")
    return execution


async def asking(execution: Execution) -> None:
    """Return when it waits for input."""
    with anyio.fail_after(WITHIN_S):
        while execution.status != "waiting_for_input":
            await execution.changed()


async def busy(session: Session) -> Execution:
    """A cell that runs until it is stopped."""
    execution = await session.execute_cell("print('in', flush=True)\nwhile True: pass")
    await until_printed(execution, "in")
    return execution


async def starting(session: Session) -> None:
    """Return when its kernel is being started."""
    with anyio.fail_after(WITHIN_S):
        while session.state != "starting":
            await anyio.lowlevel.checkpoint()


def text_of(execution: Execution) -> str:
    """All text of its outputs."""
    return "".join(map(_text, execution.outputs))


def _text(output: NotebookNode) -> str:
    if output["output_type"] == "stream":
        return str(output["text"])
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}\n"
    return str(output["data"].get("text/plain", ""))


def lives(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def runs(pid: int) -> bool:
    """Whether the process runs; a dead one that nobody waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def status(execution: Execution) -> str:
    """Its status now."""
    return execution.status


def code(source: str, *, tags: Sequence[str] = (), count: int | None = None) -> dict[str, Any]:
    """A code cell as it is on disk."""
    return {
        "cell_type": "code",
        "id": secrets.token_hex(4),
        "metadata": {"tags": list(tags)} if tags else {},
        "source": source,
        "outputs": [],
        "execution_count": count,
    }


def write_notebook(path: Path, *cells: dict[str, Any]) -> None:
    """A notebook file of these cells."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
