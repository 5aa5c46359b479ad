"""The families of calls as code in a real cell meets them: MCP servers, the web, files, their walls."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import psutil
import pytest

from mcp_notebook.policy import Policy
from mcp_notebook.session import Session
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.live import ran, text_of
from tests.runtime.searxng import searxng
from tests.runtime.server_hosts import ODD, SILENT, node_server, program

pytestmark = pytest.mark.anyio

ROWS = [
    ("Kernel of truth", "https://one.example/truth", "What a kernel is"),
    ("Corn", "https://two.example/corn", "A kernel of corn"),
    ("Nothing", "https://three.example/", "of the kind"),
]


@pytest.fixture
async def session(settings: Settings, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Session]:
    """A session in a workspace with a configuration of MCP servers."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    servers = {
        "odd": ODD,
        "files": node_server("mcp-server-filesystem", str(workspace)),
        "git": {"command": program("mcp-server-git")},
        "silent": SILENT,
    }
    (workspace / ".mcp.json").write_text(json.dumps({"mcpServers": servers}))
    policy = Policy(mcp_servers=".mcp.json", call_timeout_s=20)
    async with Sessions(replace(settings, runtime=policy, workspace=workspace)) as sessions:
        client = Connection(workspace=workspace, environment=dict(os.environ))
        session = (await sessions.open(client)).session
        await ran(session, "from hermes_runtime import *; import hermes_runtime")
        yield session


async def printed(session: Session, source: str) -> str:
    """What a cell that ends well gives."""
    execution = await ran(session, source)
    assert execution.status == "ok", text_of(execution)
    return text_of(execution).strip()


async def test_three_real_servers(session: Session) -> None:
    """One from npm, one from PyPI, one of our own SDK: values come back as values, and count as calls."""
    source = """
servers.files.write_file(path="note.txt", content="from a cell")
terminal("git init -q -b trunk . && git add note.txt")
print(servers.odd.add(40), open("note.txt").read(), servers.git.git_status(repo_path=this_notebook()["workspace"]))
"""
    said = await printed(session, source)
    assert said.startswith("42 from a cell")
    assert "note.txt" in said
    calls = session.notebook.cells[-1]["metadata"]["mcp_notebook"]["calls"]
    assert [call["name"] for call in calls] == ["servers.call", "terminal", "servers.call", "servers.call"]
    assert all(call["ok"] for call in calls)


async def test_tools_are_found_and_explained(session: Session) -> None:
    """By search over what is there, by dir and by help."""
    said = await printed(session, "print(dir(servers)[:0], [n for n in dir(servers) if n in ('odd', 'git', 'files')])")
    assert said == "[] ['files', 'git', 'odd']"
    assert "two numbers" in await printed(session, "help(servers.odd.add)")
    assert "git_status" in await printed(session, "print(servers.git.__dir__())")


async def test_one_dies_and_one_is_slow(session: Session) -> None:
    """The call to the dead one says so, the next starts it again; the slow one holds up nobody."""
    source = """
import threading
slow = threading.Thread(target=lambda: servers.odd.wait()); slow.daemon = True; slow.start()
print(servers.files.list_directory(path="."))
"""
    assert ".mcp.json" in await printed(session, source)
    died = await ran(session, "servers.odd.die(status=3)")
    assert died.status == "error"
    assert "3" in text_of(died)
    assert "bye" in text_of(died)
    assert await printed(session, "servers.odd.add(1, 2)") == "3"


async def test_what_a_tool_refuses_is_an_exception(session: Session) -> None:
    """Which code can catch; a picture is shown."""
    assert "the moon is not full" in await printed(
        session, "try: servers.odd.fail()\nexcept ServerError as e: print(e)"
    )
    shown = await ran(session, "servers.odd.picture()")
    assert any("image/png" in output.get("data", {}) for output in shown.outputs)


async def test_tools_that_come_later_are_found(session: Session) -> None:
    """When the server tells of them, and before a name is said not to be there."""
    assert await printed(session, "servers.odd.grow(name='later'); servers.odd.later()") == "'later'"
    assert "AttributeError" in text_of(await ran(session, "servers.odd.never()"))


async def test_an_answer_of_100_mb(session: Session) -> None:
    """Does not reach the kernel, and breaks nothing."""
    said = text_of(await ran(session, "servers.odd.shout(characters=100_000_000)"))
    assert "a message of more than 20,000,000 bytes" in said
    assert await printed(session, "len(servers.odd.shout(characters=1_000_000))") == "1000000"


async def test_no_server_is_left_behind(settings: Settings, tmp_path: Path) -> None:
    """When the session ends, whatever its servers started."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "s.json").write_text(json.dumps({"mcpServers": {"odd": ODD}}))
    chosen = replace(settings, runtime=Policy(mcp_servers="s.json"), workspace=workspace)
    async with Sessions(chosen) as sessions:
        session = (await sessions.open(Connection(workspace=workspace, environment=dict(os.environ)))).session
        pids = [
            int(pid)
            for pid in (await printed(session, "import hermes_tools as h; print(h.servers.odd.children())")).split()
        ]
        await sessions.end(session)
        with anyio.fail_after(30):
            while psutil.pid_exists(pids[0]):
                await anyio.lowlevel.checkpoint()


async def test_the_web_is_searched(settings: Settings, tmp_path: Path) -> None:
    """By a real SearXNG over rows of our own."""
    with searxng(tmp_path, ROWS) as url:
        async with Sessions(replace(settings, runtime=Policy(searxng_url=url, search=("searxng",)))) as sessions:
            session = (await sessions.open(Connection())).session
            source = "from hermes_tools import web_search; found = web_search('kernel')\n"
            source += "print(found['success'], [(r['position'], r['title'], r['url']) for r in found['data']['web']])"
            said = await printed(session, source)
    assert said == (
        "True [(1, 'Kernel of truth', 'https://one.example/truth'), (2, 'Corn', 'https://two.example/corn')]"
    )


async def test_paths_do_not_lead_out(session: Session, tmp_path: Path) -> None:
    """Not by .., not by a link, not by the terminal's directory; nor to be written."""
    (tmp_path / "secret.txt").write_text("top secret")
    (session.workspace / "link").symlink_to(tmp_path)
    source = """
tries = ["../secret.txt", "link/secret.txt", "/etc/passwd", "~/.profile"]
answers = [read_file(path) for path in tries] + [write_file(path, "x") for path in tries]
answers += [search_files("secret", path=path) for path in ("..", "link", "/")]
terminal("cd ..")
answers.append(read_file("secret.txt"))
print([bool(answer.get("error")) for answer in answers], "top secret" in str(answers))
"""
    assert await printed(session, source) == f"{[True] * 12} False"
    assert (tmp_path / "secret.txt").read_text() == "top secret"


async def test_the_web_does_not_lead_in(session: Session) -> None:
    """Whatever way loopback and its like are written."""
    urls = [
        "http://127.0.0.1/",
        "http://localhost:8888/",
        "http://[::1]/",
        "http://169.254.169.254/",
        "http://2130706433/",
    ]
    said = await printed(session, f"print([r['error'] for r in web_extract({urls!r})['results']])")
    assert said.count("Blocked: URL targets a private or internal network address") == len(urls)
