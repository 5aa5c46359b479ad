"""MCP servers that die, stay silent, talk too much, leave children behind; and the end of a session."""

import json
import os
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from mcp_notebook.errors import ServerFailed
from tests.live import runs
from tests.runtime.server_hosts import HANDSHAKE, ODD, SILENT, host_in, servers_of, text_of

pytestmark = pytest.mark.anyio


def shell(script: str, *args: str) -> dict[str, Any]:
    """A server that is a shell script."""
    return {"command": "sh", "args": ["-c", script, "sh", *args]}


@pytest.mark.parametrize(("status", "said"), [(3, "exit status 3"), (0, "exit status 0"), (-9, "killed by SIGKILL")])
async def test_a_server_that_dies_says_how(tmp_path: Path, status: int, said: str) -> None:
    """The call in flight is told the exit and the last line of stderr; the next call starts the server again."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        before = await servers.tools("odd")
        with pytest.raises(ServerFailed, match=f"died during the call: .*{said}; its last line on stderr is 'bye'"):
            await servers.call("odd", "die", {"status": status})
        assert said in (await servers.listed())[0]["error"]
        answer = await servers.call("odd", "echo", {"text": "again"})
        assert text_of(answer) == "again"
        assert answer["revision"] > before["revision"]
        assert (await servers.listed())[0]["error"] is None


async def test_every_call_in_flight_hears_of_the_death(tmp_path: Path) -> None:
    """Twenty calls wait in a server that dies: none is left waiting."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    said: list[str] = []

    async def wait() -> None:
        with pytest.raises(ServerFailed) as caught:
            await servers.call("odd", "meet", {"party": 1000})
        said.append(str(caught.value))

    async with servers_of(host) as servers:
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(ServerFailed):
                await servers.call("odd", "die", {"status": 1})
        assert len(said) == 20
        assert len(set(said)) == 1


async def test_a_death_is_noticed_though_a_child_holds_the_pipes(tmp_path: Path) -> None:
    """The end of the process counts, not that of its output; the child is ended too."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        _, child = map(int, text_of(await servers.call("odd", "children", {})).split())
        with pytest.raises(ServerFailed, match="exit status 4"):
            await servers.call("odd", "die", {"status": 4})
        assert not runs(child)


async def test_a_server_that_cannot_be_started_says_why(tmp_path: Path) -> None:
    """A command that is not there, a directory that is not, an exit with a message."""
    host = host_in(tmp_path)
    host.configure(
        absent={"command": "no-such-program"},
        lost={"command": "true", "cwd": "nowhere"},
        broken=shell("echo 'no licence' >&2; exit 7"),
    )
    async with servers_of(host) as servers:
        for name, said in {
            "absent": '"command" was not found',
            "lost": '"cwd" is no directory',
            "broken": "exit status 7; its last line on stderr is 'no licence'",
        }.items():
            with pytest.raises(ServerFailed, match=f"'{name}' could not be started: .*{said}.*Check its entry in"):
                await servers.tools(name)


async def test_twenty_calls_to_a_server_that_cannot_start_all_hear_so(tmp_path: Path) -> None:
    """It is tried in both eras, once for all of them."""
    host = host_in(tmp_path)
    host.configure(broken=shell("echo tried >>tried; exit 7"))
    async with servers_of(host) as servers:
        failures: list[str] = []

        async def try_it() -> None:
            with pytest.raises(ServerFailed) as caught:
                await servers.tools("broken")
            failures.append(str(caught.value))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(try_it)
        assert len(failures) == 20
    assert (host.workspace / "tried").read_text().split() == ["tried"] * 2


async def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    """It gets a limited time to start, and is gone afterwards."""
    host = host_in(tmp_path)
    host.configure(silent=SILENT)
    async with servers_of(host, start_within_s=1) as servers:
        with pytest.raises(ServerFailed, match="it did not answer within 1 s"):
            await servers.tools("silent")
    assert not any("sleep" in child.name() for child in psutil.Process().children(recursive=True))


async def test_a_message_without_end_ends_the_server_not_us(tmp_path: Path) -> None:
    """An answer beyond the limit is refused with its reason; the server can be called again."""
    host = host_in(tmp_path, answer_bytes=100_000)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        assert len(text_of(await servers.call("odd", "shout", {"characters": 90_000}))) == 90_000
        with pytest.raises(ServerFailed, match="a message of more than 100,000 bytes"):
            await servers.call("odd", "shout", {"characters": 10_000_000})
        assert text_of(await servers.call("odd", "echo", {"text": "here"})) == "here"


async def test_long_arguments_arrive(tmp_path: Path) -> None:
    """More than a pipe holds goes both ways."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        text = "ä" * 1_000_000
        assert text_of(await servers.call("odd", "echo", {"text": text})) == text


async def test_what_a_tool_refuses_is_an_answer(tmp_path: Path) -> None:
    """``is_error`` with the tool's own words is no failure of the server."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        answer = await servers.call("odd", "fail", {})
        assert answer["is_error"]
        assert "the moon is not full" in json.dumps(answer["content"])
        assert (await servers.call("odd", "echo", {}))["is_error"]


async def test_the_end_leaves_no_process(tmp_path: Path) -> None:
    """Not the server, not what it started; calls in flight are told, later ones refused."""
    host = host_in(tmp_path)
    host.configure(odd=ODD, old=HANDSHAKE)
    async with servers_of(host) as servers, anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(ServerFailed, match="ended"):
                await servers.call("odd", "wait", {})

        pids = list(map(int, text_of(await servers.call("odd", "children", {})).split()))
        await servers.tools("old")
        tasks.start_soon(wait)
        await servers.call("odd", "until_waiting", {})
        await servers.aclose()
        assert [pid for pid in pids if runs(pid)] == []
        with pytest.raises(ServerFailed, match="it is closing"):
            await servers.listed()


async def test_the_end_reaches_a_server_that_is_being_started(tmp_path: Path) -> None:
    """It has not answered yet, and ignores SIGTERM; it is gone, and its caller is told."""
    host = host_in(tmp_path)
    os.mkfifo(host.workspace / "started")
    host.configure(stubborn=shell("trap '' TERM; echo $$ >started; while :; do sleep 600; done"))
    async with servers_of(host) as servers, anyio.create_task_group() as tasks:

        async def start() -> None:
            with pytest.raises(ServerFailed, match="ended"):
                await servers.tools("stubborn")

        tasks.start_soon(start)
        pid = int(await anyio.Path(host.workspace / "started").read_text())
        await servers.aclose()
        assert not runs(pid)


async def test_the_end_is_no_shorter_for_a_caller_who_is_cancelled(tmp_path: Path) -> None:
    """Closing within a cancelled scope still ends every process."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers:
        pid = int(text_of(await servers.call("odd", "children", {})).split()[0])
        with anyio.CancelScope() as scope:
            scope.cancel()
            await servers.aclose()
        assert not runs(pid)


async def test_a_caller_who_gives_up_does_not_stop_the_start(tmp_path: Path) -> None:
    """One that waits for the start is cancelled; another that waits gets the server."""
    host = host_in(tmp_path)
    host.configure(odd=ODD)
    async with servers_of(host) as servers, anyio.create_task_group() as tasks:
        hasty = anyio.CancelScope()

        async def give_up() -> None:
            with hasty:
                await servers.tools("odd")

        tasks.start_soon(give_up)
        await anyio.wait_all_tasks_blocked()
        hasty.cancel()
        assert text_of(await servers.call("odd", "echo", {"text": "here"})) == "here"
