"""What a cell asks where a server can send no requests: the call ends with it, and comes again with the answer."""

from typing import Any

import pytest
from mcp import Client, MCPError
from mcp.client import ClientRequestContext
from mcp.server import MCPServer
from mcp_types import (
    CallToolResult,
    ElicitResult,
    InputRequiredResult,
)

from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.tools.asking import ROUNDS
from tests.asker import Asker, accepted, asked, nobody
from tests.calls import call, run, structured, text_of, value

pytestmark = pytest.mark.anyio


@pytest.fixture
async def asker(server: MCPServer[Connection], sessions: Sessions, anyio_backend: str) -> Any:
    """A client of the 2026-07-28 era whose user can be asked."""
    async with Client(server, cache=None, elicitation_callback=nobody) as client:
        yield Asker(client)
        for each in (await structured(client, "list_sessions"))["sessions"]:
            await sessions.end(sessions.find(each["session"]))


async def cells(client: Client) -> int:
    """How many there are."""
    (session,) = (await structured(client, "list_sessions"))["sessions"]
    return int(session["cells"])


async def test_a_cell_asks_and_goes_on_with_the_answer(asker: Asker) -> None:
    """Again for each input(); the cell runs once, and there is one cell."""
    source = "n = globals().get('n', 0) + 1; print(n, input('First? '), input('First? '))"
    first = await asker.call("execute_cell", source=source)
    assert asked(first) == "First?"
    second = await asker.call("execute_cell", first, "a", source=source)
    assert asked(second) == "First?"
    assert "\n1 a b" in await asker.answered("execute_cell", second, "b", source=source)
    assert await cells(asker.client) == 1


async def test_the_sdks_client_does_so_by_itself(server: MCPServer[Connection], sessions: Sessions) -> None:
    """And gets the types that ask_user wants."""
    answers, forms = iter(["Ada", 3, True]), []

    async def answer(context: ClientRequestContext, params: Any) -> ElicitResult:
        forms.append(params.requested_schema["properties"]["answer"])
        return accepted(next(answers))

    async with Client(server, cache=None, elicitation_callback=answer) as client:
        source = "from hermes_runtime import ask_user\n"
        source += "print([input('Name? '), ask_user('How many?', type=int), ask_user('Sure?', type=bool)])"
        assert "['Ada', 3, True]" in await run(client, source)
        (session,) = (await structured(client, "list_sessions"))["sessions"]
        await sessions.end(sessions.find(session["session"]))
    assert [form["type"] for form in forms] == ["string", "integer", "boolean"]


async def test_an_answer_is_for_what_it_was_asked(asker: Asker) -> None:
    """Brought twice it is given once, also where the cell asks the same again; so is one that comes late."""
    source = "print([input('x? ') for _ in range(2)])"
    first = await asker.call("execute_cell", source=source)
    second = await asker.call("execute_cell", first, "a", source=source)
    third = await asker.call("execute_cell", first, "a", source=source)
    assert asked(second) == asked(third) == "x?"
    assert "['a', 'b']" in await asker.answered("execute_cell", third, "b", source=source)
    late = await asker.answered("execute_cell", second, "c", source=source)
    assert "['a', 'b']" in late
    assert await cells(asker.client) == 1


@pytest.mark.parametrize("tool", ["get_output", "control_kernel"])
async def test_other_calls_that_wait_ask_too(asker: Asker, tool: str) -> None:
    """get_output of a cell that was handed back, and a run of all cells."""
    began = text_of(await asker.client.call_tool("execute_cell", {"source": "print(input('x? '))", "wait_s": 0}))
    arguments: dict[str, Any] = {"execution_id": value(began, "execution_id"), "wait_s": 20}
    if tool == "control_kernel":
        await call(asker.client, "control_kernel", action="interrupt")
        await run(asker.client, "print('behind')")
        arguments = {"action": "run_all"}
    first = await asker.call(tool, **arguments)
    assert asked(first) == "x?"
    text = await asker.answered(tool, first, "yes", **arguments)
    assert ("2 of 2 cells ran" if tool == "control_kernel" else "\nyes") in text


async def test_an_answer_by_control_kernel_is_given_once(asker: Asker) -> None:
    """It asks what comes next; the call that brings that does not give its own line again."""
    source = "print([input('x? ') for _ in range(3)])"
    execution = value(
        text_of(await asker.client.call_tool("execute_cell", {"source": source, "wait_s": 0})), "execution_id"
    )
    first = await asker.call("get_output", execution_id=execution, wait_s=20)
    assert asked(first) == "x?"
    arguments: dict[str, Any] = {"action": "answer", "text": "a"}
    second = await asker.call("control_kernel", **arguments)
    third = await asker.call("control_kernel", second, "b", **arguments)
    assert "['a', 'b', 'c']" in await asker.answered("control_kernel", third, "c", **arguments)


async def test_who_declines_an_input_is_not_asked_again(asker: Asker) -> None:
    """The call hands back, and the cell can be answered or interrupted."""
    source = "print(input('x? '))"
    first = await asker.call("execute_cell", source=source)
    text = await asker.answered("execute_cell", first, ElicitResult(action="decline"), source=source)
    assert "waiting_for_input" in text
    assert "\nyes" in await call(asker.client, "control_kernel", action="answer", text="yes")


async def test_who_declines_a_question_is_an_error_in_the_cell(asker: Asker) -> None:
    """As in the other era."""
    source = "from hermes_runtime import ask_user\nask_user('Sure?')"
    first = await asker.call("execute_cell", source=source)
    assert "declined to answer" in await asker.answered(
        "execute_cell", first, ElicitResult(action="cancel"), source=source
    )


async def test_a_cell_that_asks_without_end(asker: Asker) -> None:
    """Is handed back before the client gives up."""
    source = "while True: input('more? ')"
    result = await asker.call("execute_cell", source=source)
    for _ in range(ROUNDS):
        assert asked(result) == "more?"
        result = await asker.call("execute_cell", result, "x", source=source)
    assert isinstance(result, CallToolResult)
    assert "waiting_for_input" in text_of(result)
    assert "Interrupted" in await call(asker.client, "control_kernel", action="interrupt")


async def test_an_interrupt_while_the_user_thinks(asker: Asker) -> None:
    """Ends the cell; the answer then comes to a cell that has ended, and nothing is run."""
    source = "print(input('x? '))"
    first = await asker.call("execute_cell", source=source)
    assert "Interrupted" in await call(asker.client, "control_kernel", action="interrupt")
    assert "interrupted" in await asker.answered("execute_cell", first, "late", source=source)
    assert await cells(asker.client) == 1


async def test_state_that_is_not_ours(asker: Asker) -> None:
    """Forged, or of another call, it is refused, and nothing is run; so is an answer without state."""
    source = "print(input('x? '))"
    first = await asker.call("execute_cell", source=source)
    assert isinstance(first, InputRequiredResult) and first.request_state
    with pytest.raises(MCPError, match="requestState"):
        await asker.call("execute_cell", first, "x", source="print('another')")
    torn = first.model_copy(update={"request_state": first.request_state[:-2] + "AA"})
    with pytest.raises(MCPError, match="requestState"):
        await asker.call("execute_cell", torn, "x", source=source)
    without = await asker.client.session.call_tool(
        "execute_cell", {"source": source}, input_responses={"x": accepted("x")}, allow_input_required=True
    )
    assert isinstance(without, CallToolResult) and without.is_error
    assert "requestState" in text_of(without)
    assert await cells(asker.client) == 1


async def test_state_of_another_session(asker: Asker, server: MCPServer[Connection], sessions: Sessions) -> None:
    """Another client's call does not attach to the cell."""
    source = "print(input('x? '))"
    first = await asker.call("execute_cell", source=source)
    async with Client(server, cache=None, elicitation_callback=nobody) as other:
        stranger = Asker(other)
        own = await structured(other, "open_session", name="of-a-stranger")
        result = await stranger.call("execute_cell", first, "x", source=source)
        assert isinstance(result, CallToolResult) and result.is_error
        assert "another session" in text_of(result)
        assert await cells(other) == 0
        await sessions.end(sessions.find(own["session"]))
    assert "\nmine" in await asker.answered("execute_cell", first, "mine", source=source)


async def test_a_client_that_cannot_ask(server: MCPServer[Connection], sessions: Sessions) -> None:
    """Is handed back what is asked, and how to answer."""
    async with Client(server, cache=None) as client:
        text = await run(client, "print(input('x? '))")
        assert "waiting_for_input" in text and 'action="answer"' in text
        (session,) = (await structured(client, "list_sessions"))["sessions"]
        await sessions.end(sessions.find(session["session"]))
