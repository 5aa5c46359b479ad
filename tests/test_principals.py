"""Two principals over HTTP: of what is another one's, every way in answers as of what does not exist."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest
from mcp.server import MCPServer

from mcp_notebook.admission import Admission
from mcp_notebook.session import Session
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.conftest import ERAS
from tests.listening import MODERN, Listening, Speaker, listening
from tests.live import ran, soon

pytestmark = pytest.mark.anyio

ACTIONS = ("interrupt", "kill", "restart", "rebuild", "run_all", "run_stale", "shutdown", "status")


async def by_name(token: str) -> Admission | None:
    """A token is its principal's name."""
    return Admission(token) if token in ("alice", "bob") else None


@dataclass(frozen=True)
class Bobs:
    """What bob has, and alice has not."""

    session: Session
    execution: str
    cell: str
    run: str
    mcp_session: str


@asynccontextmanager
async def principals(
    server: MCPServer[Connection], settings: Settings
) -> AsyncIterator[tuple[Listening, Speaker, Speaker]]:
    """A listener, alice and bob."""
    async with (
        listening(server, settings, verify=by_name) as http,
        http.speaker("alice") as alice,
        http.speaker("bob") as bob,
    ):
        yield http, alice, bob


async def bobs(bob: Speaker, sessions: Sessions) -> Bobs:
    """Sessions, executions, runs and an MCP session."""
    session = sessions.find(await bob.open_session(notebook="bobs.ipynb"))
    execution = await ran(session, "secret = 'of bob'\nsecret")
    run = await session.run_all()
    assert await soon(run.wait(20))
    await bob.shake_hands()
    return Bobs(session, execution.id, execution.cell_id, run.id, bob.session_headers["Mcp-Session-Id"])


async def asked(speaker: Speaker, method: str, params: dict[str, Any], given: str) -> tuple[int, bytes]:
    """The answer as it is on the wire, but for ``given``."""
    headers = speaker.session_headers
    if "Mcp-Session-Id" not in headers:
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = params | {"_meta": meta}
        name = params.get("name") or params.get("uri") or ""
        headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": method, "Mcp-Name": name}
    body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}
    answer = await speaker.http.post(speaker.url, headers=headers, json=body)
    written = [json.dumps(given)[1:-1], json.dumps(given, ensure_ascii=False)[1:-1], repr(given)[1:-1]]
    content = answer.content
    for form in written:
        content = content.replace(form.encode(), b"ID")
    return answer.status_code, content


def ways_to_a_session(handle: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that takes a session's handle."""
    tools: list[tuple[str, dict[str, Any]]] = [
        ("execute_cell", {"source": "1"}),
        ("execute_cell", {"source": "1", "request_id": "bobs"}),
        ("edit_cell", {"edit_mode": "insert", "source": "1"}),
        ("read_notebook", {}),
        ("get_output", {"execution_id": "x"}),
        ("save_notebook", {}),
        ("save_notebook", {"path": "mine.ipynb"}),
        ("inspect_variables", {}),
        ("inspect_variables", {"name": "secret"}),
        ("control_kernel", {"action": "answer", "text": "x"}),
        ("control_kernel", {"action": "rebuild", "dry_run": True}),
    ]
    tools += [("control_kernel", {"action": action}) for action in ACTIONS]
    for tool, arguments in tools:
        yield "tools/call", {"name": tool, "arguments": arguments | {"session": handle}}


def ways_to_an_execution(own: str, given: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that takes the id of an execution, a run or a cell, in a session of one's own."""
    tools: list[tuple[str, dict[str, Any]]] = [
        ("get_output", {"execution_id": given}),
        ("get_output", {"execution_id": given, "wait_s": 1}),
        ("get_output", {"cell_id": given}),
        ("get_output", {"cursor": f"{given}@0"}),
        ("get_output", {"cursor": f"cell:{given}@0"}),
        ("get_output", {"execution_id": given, "search": "bob"}),
        ("control_kernel", {"action": "interrupt", "execution_id": given}),
        ("control_kernel", {"action": "answer", "execution_id": given, "text": "x"}),
        ("execute_cell", {"cell_id": given}),
        ("edit_cell", {"cell_id": given, "source": "1"}),
        ("execute_cell", {"source": "1", "after": given}),
    ]
    for tool, arguments in tools:
        yield "tools/call", {"name": tool, "arguments": arguments | {"session": own}}


def ways_to_a_resource(uri: str, era: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """All that takes the URI of a resource and answers at once."""
    yield "resources/read", {"uri": uri}
    if era == "legacy":
        yield "resources/subscribe", {"uri": uri}
        yield "resources/unsubscribe", {"uri": uri}


def like(stolen: str) -> list[str]:
    """The stolen id, and what somebody might make of it."""
    return [
        stolen,
        stolen.upper(),
        stolen.rpartition("-")[0] or stolen[:-1],
        stolen[:-1],
        f"{stolen}0",
        f"{stolen}\n",
        f" {stolen}",
        f"{stolen}\0",
        f"../{stolen}",
        f"{stolen}/../{stolen}",
        f"{stolen[:-2]}%{ord(stolen[-2]):02x}{stolen[-1]}",
        f"{stolen[:-1]}\u0430",
        *(f"{stolen[:-16]}{secrets.token_hex(8)}" for _ in range(8)),
    ]


@pytest.mark.parametrize("era", ERAS)
async def test_forged_and_stolen_ids_find_nothing(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions, era: str
) -> None:
    """Hundreds in either era: not one answer differs from that for an id of nobody's, and bob notices nothing."""
    async with principals(server, settings) as (_, alice, bob):
        his = await bobs(bob, sessions)
        if era == "legacy":
            await alice.shake_hands()
        own = await alice.open_session()
        before = (len(his.session.notebook.cells), his.session.last_used, his.session.state)
        nobody, tried = f"nobody-{secrets.token_hex(8)}", 0
        for given in like(his.session.handle):
            for (method, params), (_, reference) in zip(
                ways_to_a_session(given), ways_to_a_session(nobody), strict=True
            ):
                answer = await asked(alice, method, params, given)
                assert answer == await asked(alice, method, reference, nobody), (params, answer)
                tried += 1
        for given in (his.execution, his.run, his.cell, secrets.token_hex(4)):
            unknown = ("r-" if given is his.run else "") + secrets.token_hex(4)
            pairs = zip(ways_to_an_execution(own, given), ways_to_an_execution(own, unknown), strict=True)
            for (method, params), (_, reference) in pairs:
                answer = await asked(alice, method, params, given)
                assert answer == await asked(alice, method, reference, unknown), (params, answer)
                tried += 1
        for handle in (his.session.handle, *(f"bobs-{secrets.token_hex(8)}" for _ in range(20))):
            for path in ("", f"/cells/{his.cell}/outputs/0", "/cells/x/outputs/9"):
                uris = f"notebook://{handle}{path}", f"notebook://{nobody}{path}"
                for (method, params), (_, reference) in zip(
                    *(ways_to_a_resource(uri, era) for uri in uris), strict=True
                ):
                    answer = await asked(alice, method, params, uris[0])
                    assert answer == await asked(alice, method, reference, uris[1]), (params, answer)
                    tried += 1
        assert tried > 450
        assert (len(his.session.notebook.cells), his.session.last_used, his.session.state) == before
        assert (await ran(his.session, "secret")).status == "ok"
        await sessions.end(his.session)
        await sessions.end(sessions.find(own))


async def test_another_ones_mcp_session_is_unknown(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions
) -> None:
    """Whatever the method; it lives on."""
    async with principals(server, settings) as (http, alice, bob):
        his = await bobs(bob, sessions)
        nobody = secrets.token_hex(16)
        for method in ("POST", "GET", "DELETE"):
            answers = []
            for session_id in (his.mcp_session, nobody):
                headers = bob.session_headers | {"Mcp-Session-Id": session_id}
                body = bob.body("tools/list", {}) | {"id": 7}
                answer = await alice.http.request(method, http.url, headers=headers, json=body)
                answers.append((answer.status_code, answer.content, sorted(answer.headers.items())))
            assert answers[0] == answers[1]
            assert answers[0][0] == 404
        assert (await bob.send("ping", {})).status_code == 200
        assert "of bob" in await bob.call("execute_cell", source="secret", session=his.session.handle)
        await sessions.end(his.session)


async def test_names_files_and_places_tell_nothing_of_others(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions
) -> None:
    """The same names are free for each; each works in a directory of his own; outside of it is outside."""
    async with principals(server, settings) as (_, alice, bob):
        his = sessions.find(await bob.open_session(name="same", notebook="same.ipynb"))
        mine = sessions.find(await alice.open_session(name="same", notebook="same.ipynb"))
        assert (his.name, mine.name) == ("same", "same")
        for session in (his, mine):
            await ran(session, f"{session.principal!r}")
            await session.save()
            await session.save("notebooks/other.ipynb")
        assert his.path is not None and mine.path is not None
        assert his.path != mine.path
        assert "principals/bob/notebooks" in str(his.path)
        for place in (f"{his.path.parent}/", "../../bob/notebooks/"):
            for tool in ("read_notebook", "save_notebook"):
                answers = [
                    (await alice.call(tool, path=f"{place}{name}", session=mine.handle)).replace(name, "NAME")
                    for name in (his.path.name, "nowhere.ipynb")
                ]
                assert answers[0] == answers[1]
                assert "outside" in answers[0]
        for workspace in (str(his.workspace), str(his.workspace) + "no", "../bob", ".."):
            assert "is not a directory inside the workspace" in await alice.call("open_session", workspace=workspace)
        stolen = await alice.call("open_session", name=his.handle)
        assert json.loads(stolen)["created"]
        assert json.loads(stolen)["cells"] == 0
        listed = json.loads(await alice.call("list_sessions"))["sessions"]
        assert his.handle not in [each["session"] for each in listed]
        for session in [*sessions.of(Connection(principal="alice", handles_only=True)), his]:
            await sessions.end(session)


@pytest.mark.parametrize("root", ["", "{principal}"])
async def test_a_file_that_another_one_has_in_a_shared_directory(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions, root: str
) -> None:
    """Where the settings share one, nothing is told but that it cannot be opened; where they do not, nothing at all."""
    shared = settings.workspace / "shared"
    (shared / root.format(principal="alice")).mkdir(parents=True, exist_ok=True)
    (shared / root.format(principal="bob")).mkdir(parents=True, exist_ok=True)
    async with principals(server, replace(settings, http_roots=(str(shared / root),))) as (_, alice, bob):
        place = str(shared) if not root else "."
        his = sessions.find(await bob.open_session(notebook="held.ipynb", name="bobs", workspace=place))
        answer = await alice.call("open_session", notebook="held.ipynb", workspace=place)
        again = await bob.call("open_session", notebook="held.ipynb", workspace=place)
        assert json.loads(again)["session"] == his.handle
        assert ('"created"' in answer) == bool(root)
        assert "bob" not in answer
        for name in ("alice", "bob"):
            for session in sessions.of(Connection(principal=name, handles_only=True)):
                await sessions.end(session)


async def test_news_are_of_ones_own_sessions(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions
) -> None:
    """Whoever listens to a stolen URI hears nothing of it, nor that another one's session has begun."""
    async with principals(server, settings) as (_, alice, bob):
        his = await bobs(bob, sessions)
        own = sessions.find(await alice.open_session())
        heard: list[str] = []
        acknowledged, over = anyio.Event(), anyio.Event()

        async def listen() -> None:
            uris = [f"notebook://{each.handle}" for each in (his.session, own)]
            wanted = {"resourceSubscriptions": uris, "resourcesListChanged": True}
            async with alice.listening(wanted) as messages:
                async for message in messages:
                    heard.append(json.dumps(message))
                    acknowledged.set()
                    if f"notebook://{own.handle}" in heard[-1] and "updated" in heard[-1]:
                        over.set()
                        break

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await soon(acknowledged.wait())
            await ran(his.session, "'changed'")
            await bob.call("open_session", name="another")
            await ran(own, "'changed too'")
            await soon(over.wait())
        later = heard[1:]
        assert later
        assert not any(his.session.handle in each or "list_changed" in each for each in later)
        for session in (own, *sessions.of(Connection(principal="bob", handles_only=True))):
            await sessions.end(session)
