"""What a running cell asks is put to the client's user, where the client can ask; the cell is never run twice for it.

Where the call must end to ask, its state says which execution asks and what, and the call that brings it back attaches
to that execution. An answer is for what it was asked, and for nothing that the cell asks later in the same words.
"""

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Self

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import ElicitRequest, ElicitResult, InputRequests, InputRequiredResult
from pydantic import ValidationError

from mcp_notebook.errors import BadRequest
from mcp_notebook.execution import Execution
from mcp_notebook.runs import RUN, Run
from mcp_notebook.session import Session
from mcp_notebook.tools.elicitation import ANSWER, Asked, form, page
from mcp_notebook.tools.tool import Call
from mcp_notebook.tools.waiting import report_until_cancelled, wait_with_progress

Job = Execution | Run

ROUNDS = 8
"""Clients of the 2026-07-28 era give up after 10 that one call takes."""
THINKING = "waiting for the user's answer"
WITHOUT_STATE = (
    "These inputResponses came without the requestState of what they answer. Nothing was run: repeat the call with"
    " both, or without either."
)
FOREIGN = "The requestState belongs to another session or to an execution that is gone. Nothing was run."


@dataclass(frozen=True)
class State:
    """What comes back with an answer; the client has it sealed."""

    session: str
    job: str
    execution: str
    asked: str
    rounds: int
    began: bool
    """Whether the call is the one that began the job: then its cancellation ends that."""

    @classmethod
    def parsed(cls, text: str) -> Self:
        """Raises BadRequest: none of ours."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            raise BadRequest(FOREIGN) from None

    def __str__(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class Again:
    """A call that was made before, and what it attaches to."""

    session: Session
    job: Job
    execution: Execution
    state: State
    response: ElicitResult | None


async def made_again(call: Call, handle: str | None) -> Again | None:
    """What the call attaches to if it carries state; None if it does not.

    Raises:
        BadRequest: it is the state of nothing that the call may touch; also UnknownSession, UnknownExecution.
    """
    if call.state is None:
        if call.responses:
            raise BadRequest(WITHOUT_STATE)
        return None
    state = State.parsed(call.state)
    if handle is None:
        await call.sessions.resume(call.connection)
        if state.session not in (session.handle for session in call.sessions.of(call.connection)):
            raise BadRequest(FOREIGN)
    elif handle != state.session:
        raise BadRequest(FOREIGN)
    session = await call.sessions.resolve(call.connection, state.session)
    job = session.run(state.job) if state.job.startswith(RUN) else session.execution(state.job)
    response = (call.responses or {}).get(state.asked)
    given = response if isinstance(response, ElicitResult) else None
    return Again(session, job, session.execution(state.execution), state, given)


async def wait_for(
    call: Call, session: Session, job: Job, wait_s: float, *, began: bool = False, again: Again | None = None
) -> InputRequiredResult | None:
    """Until ``job`` ends, time is up, or it asks what nobody answers; returns what must be asked for it to go on."""
    if again is not None and not await _goes_on(call, again, wait_s):
        return None
    while await wait_with_progress(call, job, wait_s, lambda: job.latest_line):
        execution = job.asking
        left = call.began + wait_s - anyio.current_time()
        if execution is None or left <= 0 or not call.can.can_ask(execution):
            return None
        asked = execution.asked
        to_put = await to_ask(call, session, execution)
        if to_put is None:
            return None
        if call.can.send is None:
            rounds = again.state.rounds + 1 if again is not None else 1
            state = State(session.handle, job.id, execution.id, asked, rounds, began)
            return _required(to_put, state) if rounds <= ROUNDS else None
        answered = _asked(call, partial(call.can.send, to_put), session, execution, left)
        if not await call.sessions.calls.unless_ending(answered, comes_again=call.comes_again):
            return None
    return None


async def to_ask(call: Call, session: Session, execution: Execution) -> Asked | None:
    """What it asks, as the client is to put it to its user; None where that cannot be."""
    if not execution.password:
        return form(execution)
    asked = execution.asked

    async def give(password: str) -> None:
        await session.answer(password, execution.id, asked=asked, private=True)

    url = await call.passwords.url(execution, give)
    return page(execution, url) if url is not None else None


async def passed_on(session: Session, execution: Execution, asked: str, result: ElicitResult) -> bool:
    """Whether the cell waits for this no longer, now that ``result`` came for what is called ``asked``."""
    await execution.caught_up()
    if execution.asked != asked:
        return True
    if result.action != "accept":
        session.decline(execution)
    elif not execution.password and (answer := (result.content or {}).get(ANSWER)) is not None:
        with suppress(BadRequest):  # it does not fit, and is asked for again by whoever reads the answer
            await session.answer(str(answer), execution.id, asked=asked)
    return execution.asked != asked


def _required(to_put: Asked, state: State) -> InputRequiredResult:
    requests: InputRequests = {state.asked: ElicitRequest(params=to_put)}
    return InputRequiredResult(input_requests=requests, request_state=str(state))


async def _goes_on(call: Call, again: Again, wait_s: float) -> bool:
    """Whether the job does, or is to be asked about anew, now that the answer is here."""
    execution, asked, response = again.execution, again.state.asked, again.response
    if response is None or await passed_on(again.session, execution, asked, response):
        return True
    if not (execution.password and response.action == "accept"):
        return False
    if not call.passwords.serves(execution):  # the server was restarted, and the page is gone
        return True
    typed = _asked_no_longer(call, execution, asked, call.began + wait_s - anyio.current_time())
    return await call.sessions.calls.unless_ending(typed, comes_again=call.comes_again)


async def _asked(
    call: Call, ask: Callable[[], Awaitable[ElicitResult]], session: Session, execution: Execution, within_s: float
) -> bool:
    """Whether the cell waits for this no longer; an answer may also come by another call, or an interrupt end it."""
    asked = execution.asked
    async with anyio.create_task_group() as tasks:

        async def ask_user() -> None:
            with suppress(MCPError, ValidationError):  # the client cannot after all, or its answer is none
                result = await ask()
                if execution.password and result.action == "accept":
                    return  # it is typed on the page
                await passed_on(session, execution, asked, result)
            tasks.cancel_scope.cancel()

        tasks.start_soon(ask_user)
        await _asked_no_longer(call, execution, asked, within_s)
        tasks.cancel_scope.cancel()
    return execution.asked != asked


async def _asked_no_longer(call: Call, execution: Execution, asked: str, within_s: float) -> bool:
    """Whether that is so before the time is up; the client hears that the user is waited for."""
    with anyio.move_on_after(within_s):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(report_until_cancelled, call, THINKING)
            while execution.asked == asked:
                await execution.changed()
            tasks.cancel_scope.cancel()
    return execution.asked != asked
