"""MCP servers from cells: real ones, one at a time and many calls at once."""

from pathlib import Path

import anyio
import pytest

from mcp_notebook.errors import BadRequest, ServerFailed
from tests.runtime.server_hosts import (
    HANDSHAKE,
    ODD,
    SILENT,
    SessionHost,
    host_in,
    node_server,
    program,
    servers_of,
    text_of,
)

pytestmark = pytest.mark.anyio


async def test_a_server_from_pypi_is_started_and_called(tmp_path: Path) -> None:
    """mcp-server-git makes a branch in a repository of the workspace, which git itself then has."""
    host = host_in(tmp_path)
    await git(host, "init", "-q", "-b", "main")
    await git(host, "-c", "user.name=a", "-c", "user.email=a@b.org", "commit", "-q", "--allow-empty", "-m", "first")
    host.configure(git={"command": program("mcp-server-git"), "args": ["--repository", "${workspaceFolder}"]})
    async with servers_of(host) as servers:
        assert [each["started"] for each in await servers.listed()] == [False]
        tools = {tool["name"]: tool for tool in (await servers.tools("git"))["tools"]}
        assert "repo_path" in tools["git_create_branch"]["input_schema"]["properties"]
        arguments = {"repo_path": str(host.workspace), "branch_name": "proof"}
        assert "proof" in text_of(await servers.call("git", "git_create_branch", arguments))
        assert await servers.listed() == [{"name": "git", "transport": "stdio", "started": True, "error": None}]
    assert "proof" in await git(host, "branch")


async def test_a_server_from_npm_is_started_and_called(tmp_path: Path) -> None:
    """The reference server for files, in TypeScript and of the handshake era, reads what is in the workspace."""
    host = host_in(tmp_path)
    (host.workspace / "note.txt").write_text("grüße")
    host.configure(files=node_server("mcp-server-filesystem", "${workspaceFolder}"))
    async with servers_of(host) as servers:
        answer = await servers.call("files", "read_text_file", {"path": str(host.workspace / "note.txt")})
        assert text_of(answer) == "grüße"
        refused = await servers.call("files", "read_text_file", {"path": "/etc/passwd"})
        assert refused["is_error"]


async def test_our_own_server_is_a_server_too(tmp_path: Path) -> None:
    """A cell can have a notebook of its own through ``mcp-notebook --embedded``."""
    host = host_in(tmp_path)
    command = program_of_ours()
    environment = {"MCP_NOTEBOOK_HOME": str(tmp_path / "state")}
    host.configure(nested={"command": command[0], "args": command[1:], "env": environment})
    async with servers_of(host) as servers:
        assert "[1] ok" in text_of(await servers.call("nested", "execute_cell", {"source": "print(6 * 7)"}))


async def test_twenty_calls_at_once_start_a_server_once(tmp_path: Path) -> None:
    """All twenty are in the one process at the same time: none is answered before the last is there."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        answers: list[str] = []

        async def meet() -> None:
            answers.append(text_of(await servers.call("odd", "meet", {"party": 20})))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(meet)
        assert len(answers) == 20
        assert len(set(answers)) == 1


async def test_a_slow_server_holds_up_nobody(tmp_path: Path) -> None:
    """While one server is silent at its start and another does not answer, a third is called."""
    host = host_in(tmp_path)
    host.configure(silent=SILENT, slow=ODD, fast=ODD)
    async with servers_of(host) as servers, anyio.create_task_group() as tasks:
        tasks.start_soon(servers.call, "silent", "any", {})
        tasks.start_soon(servers.call, "slow", "wait", {})
        assert text_of(await servers.call("slow", "until_waiting", {})) == "waits"
        assert text_of(await servers.call("fast", "echo", {"text": "here"})) == "here"
        tasks.cancel_scope.cancel()


async def test_a_cancelled_call_is_cancelled_in_the_server(tmp_path: Path) -> None:
    """The server hears of it, and goes on with the calls of others."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(servers.call, "odd", "wait", {})
            await servers.call("odd", "until_waiting", {})
            tasks.cancel_scope.cancel()
        assert text_of(await servers.call("odd", "until_cancelled", {})) == "cancelled"


async def test_a_call_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    """The caller is told, the server too."""
    host = host_in(tmp_path, call_timeout_s=5)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        await servers.tools("odd")
        with pytest.raises(ServerFailed, match="gave no answer within 5 s"):
            await servers.call("odd", "wait", {})
        assert text_of(await servers.call("odd", "until_cancelled", {})) == "cancelled"


@pytest.mark.parametrize("entry", [ODD, HANDSHAKE], ids=["2026-07-28", "handshake"])
async def test_a_server_that_grows_is_listed_anew(tmp_path: Path, entry: dict[str, object]) -> None:
    """The answer to the call that made it grow has another revision already, and the list has the new tool."""
    host = host_in(tmp_path)
    host.configure(growing=entry)
    async with servers_of(host) as servers:
        before = await servers.tools("growing")
        assert await servers.tools("growing") == before
        answer = await servers.call("growing", "grow", {"name": "more"})
        after = await servers.tools("growing")
        assert answer["revision"] != before["revision"]
        assert {tool["name"] for tool in after["tools"]} - {tool["name"] for tool in before["tools"]} == {"more"}
        assert after["revision"] == (await servers.call("growing", "grow", {"name": "last"}))["revision"] - 1


async def test_a_server_of_the_handshake_era_is_understood(tmp_path: Path) -> None:
    """One that hangs up on the first question, lists by pages, prints a banner and sends half a surrogate pair."""
    host = host_in(tmp_path)
    host.configure(old=HANDSHAKE)
    async with servers_of(host) as servers:
        listed = await servers.tools("old")
        assert [tool["name"] for tool in listed["tools"]] == ["grow", "half", "third"]
        assert text_of(await servers.call("old", "half", {})) == "half ? a pair"


async def test_a_search_goes_through_all_servers(tmp_path: Path) -> None:
    """The best answers come first, from servers that were not started; those that fail are named."""
    host = host_in(tmp_path)
    host.configure(odd=ODD, old=HANDSHAKE, broken={"command": "no-such-program"}, wrong={"args": []})
    async with servers_of(host) as servers:
        found = await servers.search("sum of numbers", limit=1)
        assert [(each["server"], each.get("tool")) for each in found if "tool" in each] == [("odd", "add")]
        errors = {each["server"]: each["error"] for each in found if "error" in each}
        assert "not found" in errors["broken"]
        assert '"command"' in errors["wrong"]
        assert {each["server"] for each in await servers.search("grow") if "tool" in each} == {"odd", "old"}


@pytest.mark.parametrize(
    ("server", "tool", "arguments", "said"),
    [
        ("none", "echo", {}, "There is no MCP server 'none'"),
        (7, "echo", {}, "is a text, not int"),
        ("odd", None, {}, "is a text, not NoneType"),
        ("odd", "echo", ["text"], "not list"),
        ("odd", "echo", {"text": "\ud800"}, "surrogates not allowed"),
        ("odd", "echo", {"text": float("nan")}, "not JSON compliant"),
    ],
)
async def test_what_cannot_be_asked_is_said(
    tmp_path: Path, server: str, tool: str, arguments: dict[str, object], said: str
) -> None:
    """Wrong names and values end the call, before any server is started."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        with pytest.raises(BadRequest, match=said):
            await servers.call(server, tool, arguments)
        assert not (await servers.listed())[0]["started"]


async def git(host: SessionHost, *args: str) -> str:
    """What git says in the workspace."""
    return (await anyio.run_process(["git", *args], cwd=host.workspace)).stdout.decode()


def program_of_ours() -> list[str]:
    """``mcp-notebook``, as a user gives it to a client."""
    return [str(ODD["command"]), "-m", "mcp_notebook", "--embedded", "--workspace", "${workspaceFolder}"]
