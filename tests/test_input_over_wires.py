"""A cell that waits for input, whatever dies meanwhile: real relays, servers and HTTP, in both eras of MCP."""

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import psutil
import pytest
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ElicitResult, InputRequiredResult

from tests.asker import Asker, accepted, asked, nobody
from tests.calls import call, run, structured, text_of, value
from tests.conftest import ERAS
from tests.daemons import User, user
from tests.tasking import Knowing, ask, begin, over, until

pytestmark = pytest.mark.anyio

SOURCE = "n = globals().get('n', 0) + 1; print(n, input('x? '), input('x? '))"


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """A user of whom nothing is left running."""
    with user(tmp_path) as me:
        yield me


@asynccontextmanager
async def relayed(me: User, era: str = "auto", answer: Any = nobody, **options: Any) -> AsyncIterator[Client]:
    """A client over stdio, with a relay of its own."""
    arguments = ["-m", "mcp_notebook", "--workspace", str(me.workspace), "--agent", "asker"]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=me.environment)
    async with Client(server, mode=era, cache=None, elicitation_callback=answer, **options) as client:
        yield client


@asynccontextmanager
async def over_http(me: User) -> AsyncIterator[Client]:
    """A client of the HTTP listener."""
    (said,) = me.status()["listening"]
    headers = {"Authorization": f"Bearer {(me.settings.home / 'http-token').read_text().strip()}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(
            streamable_http_client(said.split()[1].rstrip(","), http_client=http),
            cache=None,
            elicitation_callback=nobody,
        ) as client,
    ):
        yield client


async def test_the_answer_survives_the_server(me: User) -> None:
    """It is killed while the user thinks: the answer finds the cell, which runs once."""
    async with relayed(me) as client:
        asker = Asker(client)
        first = await asker.call("execute_cell", source=SOURCE)
        me.kill_running_server()
        second = await asker.call("execute_cell", first, "a", source=SOURCE)
        me.kill_running_server()
        assert "\n1 a b" in await asker.answered("execute_cell", second, "b", source=SOURCE)


async def test_the_answer_to_a_question_survives_too(me: User) -> None:
    """What ask_user asks is asked again by the kernel, and the answer is for the second of two like questions."""
    source = "from hermes_runtime import ask_user\nprint([ask_user('n?', type=int) for _ in range(2)])"
    async with relayed(me) as client:
        asker = Asker(client)
        first = await asker.call("execute_cell", source=source)
        second = await asker.call("execute_cell", first, 1, source=source)
        me.kill_running_server()
        again = await asker.call("execute_cell", first, 5, source=source)
        assert asked(again) == "n?"
        assert "[1, 2]" in await asker.answered("execute_cell", second, 2, source=source)


async def test_the_answer_in_a_run_survives(me: User) -> None:
    """Of all cells, by a call that would not be repeated without state."""
    async with relayed(me) as client:
        asker = Asker(client)
        await call(client, "edit_cell", source="print(input('x? '))", edit_mode="insert", cell_type="code")
        first = await asker.call("control_kernel", action="run_all")
        me.kill_running_server()
        assert "1 of 1 cells ran" in await asker.answered("control_kernel", first, "a", action="run_all")


async def test_over_http(me: User) -> None:
    """The server is killed and started again; the handle and the state name the cell."""
    me.start_server("--http", "127.0.0.1:0")
    async with over_http(me) as client:
        asker = Asker(client)
        handle = (await structured(client, "open_session"))["session"]
        first = await asker.call("execute_cell", source=SOURCE, session=handle)
    me.kill_server()
    me.start_server()
    async with over_http(me) as client:
        asker = Asker(client)
        second = await asker.call("execute_cell", first, "a", source=SOURCE, session=handle)
        assert "\n1 a b" in await asker.answered("execute_cell", second, "b", source=SOURCE, session=handle)
        other = (await structured(client, "open_session", name="other"))["session"]
        with pytest.raises(Exception, match="requestState"):
            await asker.call("execute_cell", first, "x", source=SOURCE, session=other)


@pytest.mark.parametrize("era", ERAS)
async def test_the_relay_dies_while_the_user_thinks(me: User, era: str) -> None:
    """The client that comes next finds the cell waiting, and its user is asked."""
    answers = iter(["a", "b"])
    asking = anyio.Event()

    async def think(context: ClientRequestContext, params: Any) -> ElicitResult:
        asking.set()
        await anyio.sleep_forever()
        raise AssertionError

    async def answer(context: ClientRequestContext, params: Any) -> ElicitResult:
        return accepted(next(answers))

    async with relayed(me, era, think) as client:
        with anyio.fail_after(60):
            async with anyio.create_task_group() as tasks:

                async def lost() -> None:
                    await client.session.call_tool("execute_cell", {"source": SOURCE}, allow_input_required=True)
                    asking.set()
                    await anyio.sleep_forever()

                tasks.start_soon(lost)
                await asking.wait()
                for each in psutil.Process().children():
                    if "--workspace" in each.cmdline():
                        each.kill()
                tasks.cancel_scope.cancel()
    async with relayed(me, era, answer) as client:
        status = await call(client, "control_kernel", action="status")
        assert "waiting_for_input" in status
        execution = status.partition('"pending": [')[2].split('"')[1]
        assert "\n1 a b" in await call(client, "get_output", execution_id=execution, wait_s=30)


async def test_the_handshake_era_is_asked_again(me: User) -> None:
    """By the next server: the call that waits goes on, and the answer to the first question counts for nothing."""
    told: list[str] = []

    async def answer(context: ClientRequestContext, params: Any) -> ElicitResult:
        told.append(params.message)
        if len(told) == 1:
            await anyio.to_thread.run_sync(me.kill_running_server)
            return accepted("lost")
        return accepted("kept")

    async with relayed(me, "legacy", answer) as client:
        with anyio.fail_after(60):
            assert "\nkept" in await run(client, "print(input('x? '))")
    assert told == ["x?", "x?"]


async def test_an_input_of_a_run_is_asked_in_the_handshake_era(me: User) -> None:
    """By get_output and control_kernel as by execute_cell."""

    async def answer(context: ClientRequestContext, params: Any) -> ElicitResult:
        return accepted("yes")

    async with relayed(me, "legacy", answer) as client:
        began = await call(client, "execute_cell", source="print(input('x? '))", wait_s=0)
        assert "\nyes" in await call(client, "get_output", execution_id=value(began, "execution_id"), wait_s=30)
        assert "1 of 1 cells ran" in await call(client, "control_kernel", action="run_all")


async def test_a_task_survives_the_server(me: User) -> None:
    """It is found by the next one, and asks there what it had asked."""
    async with relayed(me, extensions=[Knowing()]) as client:
        created = await begin(client, source="print('said', input('x? '))", wait_s=0)
        before = await until(client.session, created.task_id, "input_required")
        me.kill_running_server()
        after = await until(client.session, created.task_id, "input_required")
        assert before.input_requests == after.input_requests
        given = {name: {"action": "accept", "content": {"answer": "it"}} for name in before.input_requests or {}}
        await ask(client.session, "tasks/update", created.task_id, input_responses=given)
        told = await over(client.session, created.task_id)
        assert told.result is not None and "said it" in text_of(told.result)


async def test_the_key_is_the_users_alone(me: User) -> None:
    """And stays, so that the next server knows the seal."""
    async with relayed(me) as client:
        first = await Asker(client).call("execute_cell", source="input('x? ')")
        assert isinstance(first, InputRequiredResult)
    key = me.settings.home / "request-state-key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text().strip() not in str(first.request_state)
