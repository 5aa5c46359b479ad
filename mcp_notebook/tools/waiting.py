"""Wait for something that runs, with news on the way."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Annotated, Protocol, TypeVar

import anyio
from pydantic import Field

from mcp_notebook.errors import BadRequest, KernelError
from mcp_notebook.session import Session
from mcp_notebook.settings import LONGEST_WAIT_S
from mcp_notebook.tools.tool import Call

PROGRESS_EVERY_S = 4.0
"""Clients that count silence give up after as little as 60 s; 5 s is promised."""
CANCEL_WITHIN_S = 5.0

WaitS = Annotated[
    float,
    Field(
        ge=0,
        le=LONGEST_WAIT_S,
        allow_inf_nan=False,
        description="Seconds to wait for the end before handing back what there is; 0 returns at once.",
    ),
]


Work = TypeVar("Work")


class Waitable(Protocol):
    """An execution, or a run of several."""

    async def wait(self, timeout_s: float) -> bool: ...


async def wait_with_progress(call: Call, what: Waitable, wait_s: float, latest_line: Callable[[], str]) -> bool:
    """Whether it came to an end, or to an input(), within ``wait_s`` of the call's begin."""
    deadline = call.began + wait_s
    return await call.sessions.calls.unless_ending(
        _wait_until(call, what, deadline, latest_line), comes_again=call.comes_again
    )


async def _wait_until(call: Call, what: Waitable, deadline: float, latest_line: Callable[[], str]) -> bool:
    while True:
        left = deadline - anyio.current_time()
        if await what.wait(max(0.0, min(left, PROGRESS_EVERY_S))):
            return True
        now = anyio.current_time()
        if now >= deadline:
            return False
        await call.report_progress(round(now - call.began, 3), None, latest_line() or None)


async def live_session(call: Call, handle: str | None) -> Session:
    """The session that the call means; a first one is opened, which may take a kernel some seconds."""
    if handle is not None or call.sessions.of(call.connection):
        return await call.sessions.resolve(call.connection, handle)
    return await with_progress(call, "starting a kernel", lambda: call.sessions.resolve(call.connection, None))


async def existing_session(call: Call, handle: str | None) -> Session:
    """The session that the call means; none is opened only to be asked.

    Raises:
        BadRequest: there is none yet; also UnknownSession.
    """
    if handle is None and not call.connection.handles_only and not await call.sessions.resume(call.connection):
        free = f" {call.connection.candidates} Pass `session` to go on with one of them."
        raise BadRequest(
            "There is no session yet: execute_cell(source=...) or open_session() begins one."
            f"{free if call.connection.candidates else ''}"
        )
    return await call.sessions.resolve(call.connection, handle)


async def with_progress(call: Call, message: str, work: Callable[[], Awaitable[Work]]) -> Work:
    """What ``work`` returns or raises; the client hears ``message`` while it takes."""
    failed: Exception
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(report_until_cancelled, call, message)
        try:
            return await work()
        except Exception as exc:  # out of the group, which would wrap it
            failed = exc
        finally:
            tasks.cancel_scope.cancel()
    raise failed


@asynccontextmanager
async def cancelled_with_call(call: Call, stop: Callable[[], Awaitable[None]] | None) -> AsyncIterator[None]:
    """If the client cancels the call, ``stop`` what it started; None if it only follows what another one did.

    The SDK shows the end of a connection as the same cancellation; then the cells go on.
    """
    try:
        yield
    except anyio.get_cancelled_exc_class():
        if stop is not None and not call.connection.closed:
            with anyio.move_on_after(CANCEL_WITHIN_S, shield=True), suppress(KernelError):
                await stop()
        raise


async def report_until_cancelled(call: Call, message: str) -> None:
    """Let the client hear ``message`` as often as was promised."""
    while True:
        await anyio.sleep(PROGRESS_EVERY_S)
        await call.report_progress(round(anyio.current_time() - call.began, 3), None, message)
