"""Passwords: asked on a page or in a terminal, never in a form or an argument, and kept nowhere."""

import hashlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer
from mcp_types import CallToolResult, ElicitRequestURLParams, ElicitResult

from mcp_notebook.sessions import Connection, Sessions
from tests.asker import Asker, nobody, page
from tests.calls import call, refused, run, structured, text_of
from tests.conftest import ERAS
from tests.daemons import HANDSHAKE, User, user
from tests.daemons import text_of as text_of_answer
from tests.listening import TOKEN, Listening
from tests.tasking import Knowing, ask, begin, over, until

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse: é+&%"
CODE = "import getpass, hashlib; print('sha', hashlib.sha256(getpass.getpass('Password: ').encode()).hexdigest())"
GIVEN = f"sha {hashlib.sha256(PASSWORD.encode()).hexdigest()}"


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """A user of whom nothing is left running."""
    with user(tmp_path) as me:
        yield me


async def end_sessions(client: Client, sessions: Sessions) -> None:
    """Nobody else is to go on with them."""
    for each in (await structured(client, "list_sessions"))["sessions"]:
        await sessions.end(sessions.find(each["session"]))


async def typed(url: str, password: str = PASSWORD, **headers: str) -> httpx2.Response:
    """A person fills the page in."""
    async with httpx2.AsyncClient(timeout=30) as browser:
        shown = await browser.get(url)
        assert 'type="password"' in shown.text and "Password:" in shown.text
        return await browser.post(url, data={"password": password}, headers=headers)


@pytest.mark.parametrize("era", ERAS)
async def test_a_page_of_this_machine(server: MCPServer[Connection], sessions: Sessions, era: str) -> None:
    """The client opens it for its user, and the call goes on when the password was typed."""
    urls: list[str] = []

    async def answer(context: ClientRequestContext, params: Any) -> ElicitResult:
        assert isinstance(params, ElicitRequestURLParams)
        assert "Password:" in params.message
        urls.append(params.url)
        assert "The cell has it" in (await typed(params.url)).text
        return ElicitResult(action="accept")

    async with Client(server, mode=era, cache=None, elicitation_callback=answer) as client:
        with anyio.fail_after(60):
            text = await run(client, CODE)
        await end_sessions(client, sessions)
    assert GIVEN in text
    assert PASSWORD not in text
    assert urlsplit(urls[0]).hostname == "127.0.0.1"


async def test_the_page_is_for_one_prompt_and_one_browser(server: MCPServer[Connection], sessions: Sessions) -> None:
    """Other addresses, other names of this machine and too long bodies get nothing; it ends with its prompt."""
    async with Client(server, cache=None, elicitation_callback=nobody) as client:
        asker = Asker(client)
        first = await asker.call("execute_cell", source=f"{CODE}; {CODE}")
        url = page(first)
        async with httpx2.AsyncClient(timeout=30) as browser:
            assert (await browser.get(url[:-1])).status_code == 404
            assert (await browser.get(url, headers={"Host": "evil.example"})).status_code == 400
            assert (await browser.post(url, content=b"password=" + b"x" * 100_000)).status_code == 400
            assert (await browser.post(url, content=b"password=%ff")).status_code == 400
            shown = await browser.get(url)
            assert shown.headers["cache-control"] == "no-store"
            assert "frame-ancestors 'none'" in shown.headers["content-security-policy"]
        await typed(url)
        second = await asker.call("execute_cell", first, ElicitResult(action="accept"), source=f"{CODE}; {CODE}")
        assert page(second) != url
        with suppress(httpx2.ConnectError):  # it may take a moment to go
            async with httpx2.AsyncClient(timeout=30) as browser:
                assert (await browser.post(url, data={"password": "for the second"})).status_code == 409
        assert "Interrupted" in await call(client, "control_kernel", action="interrupt")
        await end_sessions(client, sessions)


@pytest.mark.parametrize("action", ["accept", "decline"])
@pytest.mark.parametrize("era", ERAS)
async def test_who_types_nothing_is_handed_back(
    server: MCPServer[Connection], sessions: Sessions, era: str, action: Any
) -> None:
    """An answer in an argument is refused. In one process there is no server that a terminal's command could reach."""

    async def answer(context: ClientRequestContext, params: Any) -> ElicitResult:
        return ElicitResult(action=action)

    async with Client(server, mode=era, cache=None, elicitation_callback=answer) as client:
        with anyio.fail_after(60):
            text = await run(client, CODE, wait_s=2)
        assert "waiting_for_input" in text and "must not pass through this conversation" in text
        said = await refused(client, "control_kernel", action="answer", text=PASSWORD)
        assert "never passed as an argument" in said and PASSWORD not in said
        assert "mcp-notebook answer" not in text + said
        await end_sessions(client, sessions)


def test_a_terminal_does_not_show_it(me: User) -> None:
    """``mcp-notebook answer`` asks there; the cell has it, and no file of ours, output or log does."""
    me.start_server()
    client = me.connect()
    client.initialize()
    text = client.call("execute_cell", source=CODE)
    assert "waiting_for_input" in text and "mcp-notebook answer" in text
    (session,) = me.status()["sessions"]
    assert "Password:" in _on_a_terminal(me, session["name"], PASSWORD)
    assert GIVEN in client.call("get_output", wait_s=20, cell_id=text.partition("cell=")[2].split()[0])
    client.call("save_notebook")
    assert PASSWORD not in me.log()
    kept = [path for path in (*me.settings.home.rglob("*"), *me.workspace.rglob("*")) if path.is_file()]
    assert [path for path in kept if PASSWORD.encode() in path.read_bytes()] == []
    assert any(GIVEN.encode() in path.read_bytes() for path in kept)


def _on_a_terminal(me: User, name: str, line: str) -> str:
    """What the terminal shows when a person types ``line``."""
    person, terminal = pty.openpty()
    command = [sys.executable, "-m", "mcp_notebook", "answer", name]
    with subprocess.Popen(
        command, env=me.environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    ) as answering:
        os.close(terminal)
        shown = b""
        while b"Password:" not in shown:
            shown += os.read(person, 1000)
        os.write(person, line.encode() + b"\n")
        try:
            while chunk := os.read(person, 1000):
                shown += chunk
        except OSError:  # the other side has ended
            pass
        assert answering.wait(30) == 0, shown
    os.close(person)
    assert line.encode() not in shown
    return shown.decode()


def test_a_form_only_client_is_told_of_the_terminal(me: User) -> None:
    """No form asks for a password; the command finds the cell also after the server was killed."""
    me.start_server()
    client = me.connect()
    client.request("initialize", HANDSHAKE | {"capabilities": {"elicitation": {"form": {}}}})
    client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
    answer = client.request("tools/call", {"name": "execute_cell", "arguments": {"source": CODE}})
    assert "mcp-notebook answer" in text_of_answer(answer)
    me.kill_server()
    done = subprocess.run(
        [sys.executable, "-m", "mcp_notebook", "answer"],
        env=me.environment,
        input=f"{PASSWORD}\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    again = me.connect()
    again.initialize()
    handle = me.status()["sessions"][0]["session"]
    cell = text_of_answer(answer).partition("cell=")[2].split()[0]
    assert GIVEN in again.call("get_output", cell_id=cell, wait_s=20, session=handle)


def test_the_command_without_anything_to_answer(me: User) -> None:
    """Says so, starts no server for it, and names what it knows."""
    done = me.command("answer")
    assert done.returncode == 1 and "No cell waits for input." in done.stdout
    assert not me.accepts()
    me.start_server()
    client = me.connect()
    client.initialize()
    client.call("execute_cell", source="1")
    assert "No session is called 'nobody'" in me.command("answer", "nobody").stderr
    client.call("execute_cell", source="print(input('x? '))")
    done = me.command("answer")  # its input is at its end
    assert done.returncode == 1 and "still waits" in done.stdout
    assert "\nyes" in client.call("control_kernel", action="answer", text="yes")


@pytest.mark.parametrize("forwarded", [False, True])
async def test_a_page_for_a_client_over_http(http: Listening, forwarded: bool) -> None:
    """For one of this machine; behind a proxy it may be of another, and no page is offered."""
    headers = {"Authorization": f"Bearer {TOKEN}", **({"X-Forwarded-For": "192.0.2.1"} if forwarded else {})}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as transport,
        Client(
            streamable_http_client(http.url, http_client=transport), cache=None, elicitation_callback=nobody
        ) as client,
    ):
        handle = (await structured(client, "open_session"))["session"]
        result = await Asker(client).call("execute_cell", source=CODE, session=handle)
        if forwarded:
            assert isinstance(result, CallToolResult) and "waiting_for_input" in text_of(result)
        else:
            await typed(page(result))
            accepted = ElicitResult(action="accept")
            assert GIVEN in await Asker(client).answered("execute_cell", result, accepted, source=CODE, session=handle)


async def test_another_server_offers_another_page(me: User) -> None:
    """The first one's page has ended with it: whoever said that he would type there is sent to the new one."""
    arguments = ["-m", "mcp_notebook", "--workspace", str(me.workspace)]
    server = StdioServerParameters(command=sys.executable, args=arguments, env=me.environment)
    accepted = ElicitResult(action="accept")
    async with Client(server, cache=None, elicitation_callback=nobody) as client:
        asker = Asker(client)
        first = await asker.call("execute_cell", source=CODE)
        await anyio.to_thread.run_sync(me.kill_running_server)
        second = await asker.call("execute_cell", first, accepted, source=CODE)
        assert page(second) != page(first)
        await typed(page(second))
        assert GIVEN in await asker.answered("execute_cell", second, accepted, source=CODE)


async def test_a_task_asks_for_a_password_by_its_page(server: MCPServer[Connection], sessions: Sessions) -> None:
    """And goes on when it was typed."""
    async with Client(server, cache=None, elicitation_callback=nobody, extensions=[Knowing()]) as client:
        created = await begin(client, source=CODE, wait_s=0)
        told = await until(client.session, created.task_id, "input_required")
        ((name, request),) = (told.input_requests or {}).items()
        assert request["params"]["mode"] == "url"
        accepted = {name: {"action": "accept"}}
        await ask(client.session, "tasks/update", created.task_id, input_responses=accepted)
        await typed(request["params"]["url"])
        told = await over(client.session, created.task_id)
        assert told.result is not None and GIVEN in text_of(told.result)
        await end_sessions(client, sessions)
