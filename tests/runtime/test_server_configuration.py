"""The ``mcpServers`` file: what may stand in it, what is said of mistakes, and what happens when it changes."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_notebook.errors import BadRequest, NotebookError, ServerFailed
from mcp_notebook.policy import Policy
from tests.runtime.server_hosts import FILE, ODD, host_in, servers_of, text_of

pytestmark = pytest.mark.anyio

SECRET = "hunter2-hunter2"


async def test_a_server_gets_the_environment_of_the_session(tmp_path: Path) -> None:
    """What the kernel has and what the entry adds, with the client's variables where it names them; no more."""
    host = host_in(tmp_path)
    host.environment = {**host.environment, "GIVEN": "kernel"}
    host.credentials = {"TOKEN": SECRET, "EMPTY": ""}
    env = {"MINE": "Bearer ${TOKEN}", "LATER": "${NONE:-by default}", "CURSOR": "${env:TOKEN}", "VOID": "${EMPTY}"}
    (host.workspace / "below").mkdir()
    host.configure(odd={**ODD, "env": env, "cwd": "below"}, plain=ODD)
    async with servers_of(host) as servers:

        async def variable(name: str) -> str:
            return text_of(await servers.call("odd", "variable", {"name": name}))

        assert await variable("GIVEN") == "kernel"
        assert await variable("MINE") == f"Bearer {SECRET}"
        assert await variable("LATER") == "by default"
        assert await variable("CURSOR") == SECRET
        assert await variable("VOID") == ""
        assert await variable("TOKEN") == "not set"
        assert await variable("PYTEST_CURRENT_TEST") == "not set"
        assert text_of(await servers.call("odd", "where", {})) == str(host.workspace / "below")
        assert text_of(await servers.call("plain", "where", {})) == str(host.workspace)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("npx", "must be an object"),
        ({}, 'needs a "command"'),
        ({"command": 7}, '"command" must be a text'),
        ({"command": "x", "args": "-y"}, '"args" must be a list of texts'),
        ({"command": "x", "args": [1]}, '"args" must be a list of texts'),
        ({"command": "x", "env": {"A": 1}}, '"env" must be an object whose values are texts'),
        ({"command": "x\0"}, "null character"),
        ({"command": "x", "url": "http://h"}, 'both "command" and "url"'),
        ({"url": "ftp://h"}, "must begin with http"),
        ({"url": "http://h", "type": "sse"}, "earlier versions of MCP"),
        ({"command": "x", "type": "carrier pigeon"}, '"type" must be'),
        ({"url": "http://h", "headers": {"A": "${NOT_THERE}"}}, '"headers.A" needs the variable NOT_THERE'),
    ],
)
async def test_a_bad_entry_is_named_and_costs_no_other(tmp_path: Path, entry: object, said: str) -> None:
    """The error has the file, the entry and what to write; the other server works."""
    host = host_in(tmp_path)
    host.configure(bad=entry, odd=ODD)
    async with servers_of(host) as servers:
        with pytest.raises(ServerFailed) as caught:
            await servers.tools("bad")
        assert f"The entry 'bad' in {host.workspace / FILE} cannot be used: " in str(caught.value)
        assert said in str(caught.value)
        assert [each["error"] is None for each in await servers.listed()] == [True, False]
        assert text_of(await servers.call("odd", "echo", {"text": "here"})) == "here"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "Expecting property name"),
        ("[]", "must be an object such as"),
        ('{"mcpServers": []}', "must be an object such as"),
        ("\udcff", "codec can't decode"),
        ("[" * 200_000, "recursion"),
        (" " * 1_000_001, "longer than 1,000,000 bytes"),
    ],
    ids=["no JSON", "no object", "no table", "no UTF-8", "too deep", "too long"],
)
async def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    """What ran goes on, and a mended file is read."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        await servers.tools("odd")
        (host.workspace / FILE).write_bytes(text.encode(errors="surrogateescape"))
        with pytest.raises(ServerFailed, match=f"The MCP servers in .*{FILE} cannot be read: .*{said}"):
            await servers.listed()
        host.configure(odd=ODD)
        assert (await servers.listed())[0]["started"]


async def test_no_file_means_no_servers(tmp_path: Path) -> None:
    """Where the settings name none there is nothing to list; one that is named must be there."""
    host = host_in(tmp_path)
    async with servers_of(host) as servers:
        with pytest.raises(ServerFailed, match="No such file"):
            await servers.listed()
    host.policy = Policy()
    async with servers_of(host) as servers:
        assert await servers.listed() == []
        assert await servers.search("anything") == []
        with pytest.raises(BadRequest, match="none are configured"):
            await servers.tools("odd")


async def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    """An entry that changed is another server, one that is gone or disabled cannot be called, the rest stay."""
    host = host_in(tmp_path)
    host.configure(kept=ODD, changed=ODD, gone=ODD)
    async with servers_of(host) as servers:

        async def process(name: str) -> str:
            return text_of(await servers.call(name, "children", {})).split()[0]

        kept, changed = await process("kept"), await process("changed")
        await process("gone")
        before = await servers.tools("changed")
        host.configure(kept=ODD, changed={**ODD, "env": {"A": "b"}}, disabled={**ODD, "disabled": True})
        assert await process("kept") == kept
        assert await process("changed") != changed
        assert (await servers.tools("changed"))["revision"] > before["revision"]
        for name, said in {"gone": "It has: changed, kept", "disabled": "is disabled in"}.items():
            with pytest.raises(BadRequest, match=said):
                await servers.tools(name)


async def test_a_call_whose_entry_changes_is_told(tmp_path: Path) -> None:
    """It is not left waiting for a server that was ended."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        errors: list[NotebookError] = []

        async def wait() -> None:
            with pytest.raises(ServerFailed, match="its entry changed") as caught:
                await servers.call("odd", "wait", {})
            errors.append(caught.value)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await servers.call("odd", "until_waiting", {})
            host.configure()
            assert await servers.listed() == []
        assert len(errors) == 1


async def test_names_of_all_kinds_have_a_log(tmp_path: Path) -> None:
    """A name is no path: what servers print lies in the session's directory, one file each, for its owner."""
    host = host_in(tmp_path)
    names: dict[str, Any] = {"../up": {"command": "true"}, "a/b": {"command": "true"}, "a_b": {"command": "true"}}
    host.write(json.dumps({"mcpServers": names}))
    async with servers_of(host) as servers:
        for name in names:
            with pytest.raises(ServerFailed, match="could not be started"):
                await servers.tools(name)
    logs = list((host.directory / "servers").iterdir())
    assert len(logs) == 3
    assert {log.stat().st_mode & 0o777 for log in logs} == {0o600}
