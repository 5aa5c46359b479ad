"""What a cell asks the user: from the waiting call where the client can ask, by control_kernel where it cannot."""

from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.session import ElicitationFnT
from mcp.server import MCPServer
from mcp_types import ElicitRequestParams, ElicitResult

from mcp_notebook.sessions import Connection, Sessions
from tests.calls import call, refused

pytestmark = pytest.mark.anyio

ASK = "from hermes_runtime import ask_user\n"


def answering(*contents: Any, action: str = "accept") -> tuple[ElicitationFnT, list[ElicitRequestParams]]:
    """A user who gives these answers, one after the other, and what was asked."""
    asked: list[ElicitRequestParams] = []
    left = list(contents)

    async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params)
        return ElicitResult(action=action, content={"answer": left.pop(0)} if left else None)  # type: ignore[arg-type]

    return answer, asked


async def run(
    server: MCPServer[Connection], sessions: Sessions, source: str, answer: ElicitationFnT | None, **how: Any
) -> str:
    """The answer to a cell of a client whose user answers so."""
    async with Client(server, mode="legacy", cache=None, elicitation_callback=answer) as client:
        with anyio.fail_after(30):
            text = await call(client, "execute_cell", source=source, **how)
        listed = await client.call_tool("list_sessions", {})
        assert listed.structured_content is not None
        for each in listed.structured_content["sessions"]:
            await sessions.end(sessions.find(each["session"]))
        return text


async def test_the_clients_user_is_asked(server: MCPServer[Connection], sessions: Sessions) -> None:
    """In the middle of the cell, as often as it asks; answers have their types."""
    answer, asked = answering("blue", 3, True, 2.5)
    source = f"{ASK}print([ask_user('Colour?', choices=['red', 'blue']), ask_user('How many?', type=int),"
    source += " ask_user('Sure?', type=bool), ask_user('Which part?', type=float)])"
    text = await run(server, sessions, source, answer)
    assert "['blue', 3, True, 2.5]" in text
    assert [params.message for params in asked] == ["Colour?", "How many?", "Sure?", "Which part?"]
    forms = [params.requested_schema["properties"]["answer"] for params in asked]  # type: ignore[union-attr]
    assert forms[0] == {"type": "string", "enum": ["red", "blue"]}
    assert [form["type"] for form in forms] == ["string", "integer", "boolean", "number"]


async def test_an_input_is_asked_in_the_same_way(server: MCPServer[Connection], sessions: Sessions) -> None:
    """A line of text; a password is asked of nobody."""
    answer, asked = answering("Ada")
    assert "hello Ada" in await run(server, sessions, "print('hello', input('Name? '))", answer)
    assert [params.message for params in asked] == ["Name?"]
    answer, asked = answering("secret")
    text = await run(server, sessions, "import getpass; getpass.getpass('Password: ')", answer, wait_s=5)
    assert "waiting_for_input" in text
    assert asked == []


@pytest.mark.parametrize("action", ["decline", "cancel"])
async def test_who_declines_is_an_error_in_the_cell(
    server: MCPServer[Connection], sessions: Sessions, action: str
) -> None:
    """Which code can catch."""
    answer, _ = answering(action=action)
    source = (
        f"{ASK}from hermes_runtime import HostError\ntry: ask_user('Sure?')\nexcept HostError as exc: print('no:', exc)"
    )
    assert "no: The user declined to answer." in await run(server, sessions, source, answer)


async def test_where_the_client_cannot_ask(client: Client) -> None:
    """The call comes back, says what is asked and how to answer; a wrong answer is refused and the question stays."""
    source = f"{ASK}print(ask_user('How many?', choices=['1', '2'], type=int) + 1)"
    text = await call(client, "execute_cell", source=source)
    assert "waiting_for_input" in text
    assert "How many? (1 / 2)" in text
    wrong = await refused(client, "control_kernel", action="answer", text="many")
    assert "type integer" in wrong
    assert "one of 1, 2" in await refused(client, "control_kernel", action="answer", text="3")
    assert "\n3" in (await call(client, "control_kernel", action="answer", text="2"))


async def test_an_interrupt_ends_the_question(client: Client) -> None:
    """And the next cell runs."""
    assert "waiting_for_input" in (await call(client, "execute_cell", source=f"{ASK}ask_user('Well?')"))
    assert "Interrupted" in (await call(client, "control_kernel", action="interrupt"))
    assert "\n7" in (await call(client, "execute_cell", source="7"))


async def test_two_threads_ask_one_after_the_other(server: MCPServer[Connection], sessions: Sessions) -> None:
    """Each gets an answer of its own."""
    answer, asked = answering("a", "b")
    source = f"""{ASK}
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(2) as pool:
    print(sorted(pool.map(ask_user, ["one?", "two?"])))
"""
    assert "['a', 'b']" in await run(server, sessions, source, answer)
    assert sorted(params.message for params in asked) == ["one?", "two?"]
