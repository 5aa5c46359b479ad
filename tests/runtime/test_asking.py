"""What a cell asks the user: from the waiting call where the client can ask, by control_kernel where it cannot."""

import os
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client.session import ElicitationFnT
from mcp.server import MCPServer
from mcp_types import ElicitRequestParams, ElicitResult

from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.tools import waiting
from tests.calls import call, refused, structured
from tests.daemons import User
from tests.live import asking, finished, opened, text_of
from tests.relays import Relays

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
        await end_sessions(client, sessions)
        return text


async def end_sessions(client: Client, sessions: Sessions) -> None:
    """Those of this client: nobody else is to go on with them."""
    for each in (await structured(client, "list_sessions"))["sessions"]:
        await sessions.end(sessions.find(each["session"]))


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
    """A line of text."""
    answer, asked = answering("Ada")
    assert "hello Ada" in await run(server, sessions, "print('hello', input('Name? '))", answer)
    assert [params.message for params in asked] == ["Name?"]


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


async def test_who_asks_after_the_cell_has_ended(sessions: Sessions) -> None:
    """Is told so, and holds up no later cell's question."""
    async with opened(sessions) as session:
        os.mkfifo(session.workspace / "go")
        source = """
import threading
from hermes_runtime import ask_user, HostError
told = []
def behind():
    try: ask_user("behind?")
    except HostError as exc: told.append(str(exc))
thread = threading.Thread(target=behind); thread.start()
open("go").read()
"""
        execution = await session.execute_cell(source)
        await asking(execution)
        await anyio.to_thread.run_sync((session.workspace / "go").write_text, "go")
        await finished(execution)
        execution = await session.execute_cell("thread.join(); print(told, ask_user('now?'))")
        await asking(execution)
        assert execution.prompt == "now?"
        await session.answer("yes", execution.id)
        assert text_of(await finished(execution)).strip() == "['The cell ended before the user answered.'] yes"
        (session.workspace / "go").unlink()


async def test_a_question_and_an_input_at_once(sessions: Sessions) -> None:
    """One is asked after the other, whichever came first."""
    async with opened(sessions) as session:
        source = """
import threading
from hermes_runtime import ask_user
got = []
thread = threading.Thread(target=lambda: got.append(ask_user("asked?"))); thread.start()
got.append(input("typed? ")); thread.join()
print(sorted(got))
"""
        execution = await session.execute_cell(source)
        answered: list[str] = []
        with anyio.fail_after(20):
            while len(answered) < 2:
                while execution.prompt is None or execution.prompt in answered:
                    await execution.changed()
                answered.append(execution.prompt)
                await session.answer(execution.prompt.strip(), execution.id)
        assert text_of(await finished(execution)).strip() == "['asked?', 'typed?']"


@pytest.mark.parametrize("content", [None, {}, {"answer": None}, {"answer": {"no": "scalar"}}, {"answer": "many"}])
async def test_an_answer_that_is_none(server: MCPServer[Connection], sessions: Sessions, content: Any) -> None:
    """Leaves the question as it is: whoever reads the call's answer is told of it."""

    async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        return ElicitResult.model_construct(action="accept", content=content)

    text = await run(server, sessions, f"{ASK}ask_user('How many?', type=int)", answer)
    assert "waiting_for_input" in text
    assert "How many?" in text


async def test_progress_goes_on_while_the_user_thinks(
    server: MCPServer[Connection], sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the client gives the call up."""
    monkeypatch.setattr(waiting, "PROGRESS_EVERY_S", 0.01)
    thinking, heard = anyio.Event(), anyio.Event()

    async def answer(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        thinking.set()
        await heard.wait()
        return ElicitResult(action="accept", content={"answer": "well"})

    async def heard_of(progress: float, total: float | None, message: str | None) -> None:
        if thinking.is_set():
            heard.set()

    source = {"source": f"{ASK}ask_user('Well?')"}
    async with Client(server, mode="legacy", cache=None, elicitation_callback=answer) as client:
        with anyio.fail_after(30):
            result = await client.call_tool("execute_cell", source, progress_callback=heard_of)
        await end_sessions(client, sessions)
    assert "'well'" in str(result.content)


def test_a_question_outlives_the_server(me: User, started: Relays) -> None:
    """The next one asks it again."""
    client = started.start()
    before = client.call("execute_cell", source=f"{ASK}print('it is', ask_user('Well?'))")
    assert "waiting_for_input" in before
    me.kill_running_server()
    cell_id = before.partition("cell=")[2].split()[0]
    now = client.call("get_output", cell_id=cell_id, wait_s=20)
    assert "waiting_for_input" in now and "Well?" in now, now
    assert "it is fine" in client.call("control_kernel", action="answer", text="fine")
