"""What a connection is over HTTP: an MCP session in the handshake era, a request in the 2026-07-28 era."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from mcp.server import MCPServer

from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.calls import call, refused, run, structured
from tests.listening import WITHIN_S, Listening, Speaker, listening
from tests.live import begun, finished

pytestmark = pytest.mark.anyio


async def until_ended(speaker: Speaker) -> None:
    """Return when its MCP session is known no more."""
    with anyio.fail_after(WITHIN_S):
        while (await speaker.send("ping", {})).status_code != 404:
            await anyio.lowlevel.checkpoint()


async def test_two_mcp_sessions_of_a_client_have_a_notebook_each(http: Listening) -> None:
    """In the handshake era `session` may be left out, and means the MCP session's own."""
    async with http.client("legacy") as one, http.client("legacy") as two:
        await run(one, "mine = 1")
        assert "NameError" in await run(two, "mine")
        mine, yours = [(await structured(client, "list_sessions"))["sessions"] for client in (one, two)]
        assert len(mine) == len(yours) == 1
        assert mine[0]["session"] != yours[0]["session"]


async def test_without_mcp_sessions_every_call_names_its_notebook(http: Listening) -> None:
    """The refusal says how; a later request finds the handle again, and answers to copy carry it."""
    async with http.client("auto") as client:
        for tool, arguments in (
            ("execute_cell", {"source": "1"}),
            ("read_notebook", {}),
            ("control_kernel", {"action": "status"}),
        ):
            assert "open_session" in await refused(client, tool, **arguments)
        assert (await structured(client, "list_sessions"))["sessions"] == []
        first, second = [(await structured(client, "open_session", name="same"))["session"] for _ in range(2)]
        assert first != second
        assert (await structured(client, "open_session", name=first))["session"] == first
        assert f'session="{first}"' in await run(client, "import time; time.sleep(600)", session=first, wait_s=0)
    async with http.client("auto") as later:
        listed = [each["session"] for each in (await structured(later, "list_sessions"))["sessions"]]
        assert listed == [first, second]
        assert "Interrupted" in await call(later, "control_kernel", action="interrupt", session=first)


async def test_a_file_is_leased_as_long_as_the_mcp_session_lasts(http: Listening, sessions: Sessions) -> None:
    """DELETE ends the lease and not the cell; then another connection gets the very session."""
    async with http.speaker() as one, http.client("legacy") as two:
        await one.shake_hands()
        session = sessions.find(await one.open_session(notebook="leased.ipynb"))
        async with anyio.create_task_group() as tasks:
            source = "print('begun', flush=True)\nwhile True: pass"
            tasks.start_soon(partial(one.call_and_leave, anyio.Event(), source=source, wait_s=600))
            execution = await begun(session)
            assert "open in another session" in await refused(two, "open_session", notebook="leased.ipynb")
            ended = await one.http.delete(one.url, headers=one.session_headers)
            assert ended.status_code == 200
            tasks.cancel_scope.cancel()
        await until_ended(one)
        resumed = await structured(two, "open_session", notebook="leased.ipynb")
        assert (resumed["session"], resumed["created"]) == (session.handle, False)
        assert execution.status == "running"
        await session.cancel(execution)
        await finished(execution)


async def test_an_idle_mcp_session_ends_and_its_cells_run_on(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions
) -> None:
    """Also when one of its calls still waits, whose client is gone; an open stream is not idle."""
    left = anyio.Event()
    async with (
        listening(server, replace(settings, http_idle_s=1.0)) as http,
        http.speaker() as gone,
        http.client("legacy") as present,
    ):
        await run(present, "kept = 1")
        await gone.shake_hands()
        session = sessions.find(await gone.open_session(notebook="idle.ipynb"))
        async with anyio.create_task_group() as tasks:
            source = "print('begun', flush=True)\nwhile True: pass"
            tasks.start_soon(partial(gone.call_and_leave, left, source=source, wait_s=600))
            execution = await begun(session)
            left.set()
        with anyio.fail_after(WITHIN_S):
            while (await present.call_tool("open_session", {"notebook": "idle.ipynb"})).is_error:
                await anyio.lowlevel.checkpoint()
        await until_ended(gone)
        assert execution.status == "running"
        await sessions.end(session)
        assert (await run(present, "kept")).endswith("1")


async def test_news_arrive_on_the_stream_of_the_handshake_era(http: Listening) -> None:
    """Who subscribed hears that the notebook changed, also while it makes no request."""
    async with http.speaker() as speaker:
        await speaker.shake_hands()
        handle = await speaker.open_session()
        uri = f"notebook://{handle}"
        (await speaker.send("resources/subscribe", {"uri": uri})).raise_for_status()
        async with speaker.http.stream("GET", speaker.url, headers=speaker.session_headers) as stream:
            assert stream.status_code == 200
            await speaker.call("execute_cell", source="1")
            with anyio.fail_after(WITHIN_S):
                async for line in stream.aiter_lines():
                    if line.startswith("data:") and json.loads(line[5:])["params"].get("uri") == uri:
                        break
                else:
                    raise AssertionError("the stream ended")


async def test_a_workspace_lies_below_the_roots(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    """Those of the settings, which are the workspace alone if there are none."""
    allowed, other = tmp_path / "allowed", tmp_path / "other"
    for directory in (allowed / "project", other, settings.workspace / "below"):
        directory.mkdir(parents=True, exist_ok=True)
    async with listening(server, settings) as http, http.client("auto") as client:
        opened = await structured(client, "open_session", workspace="below")
        assert opened["workspace"] == str(settings.workspace / "below")
        assert "inside the workspace" in await refused(client, "open_session", workspace=str(allowed))
        await sessions.end(sessions.find(opened["session"]))
    rooted = replace(settings, http_roots=(str(allowed),))
    async with listening(server, rooted) as http, http.client("legacy") as client:
        opened = await structured(client, "open_session", workspace=str(allowed / "project"))
        assert opened["workspace"] == str(allowed / "project")
        for place in (other, settings.workspace, allowed / ".." / "other"):
            assert str(allowed) in await refused(client, "open_session", workspace=str(place))
        await sessions.end(sessions.find(opened["session"]))
