"""Commands: what lasts between them, what ends them, what comes back."""

import math
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil
import pytest

from mcp_notebook.policy import Policy
from mcp_notebook.runtime.terminal import Terminal
from tests.live import runs
from tests.runtime.hosts import PlainHost

pytestmark = pytest.mark.anyio
WITHIN_S = 30


@pytest.fixture
def host(tmp_path: Path) -> PlainHost:
    """A host whose directories are new."""
    (tmp_path / "workspace" / "sub").mkdir(parents=True)
    (tmp_path / "state").mkdir()
    environment = {name: os.environ[name] for name in ("PATH", "HOME")}
    return PlainHost(tmp_path / "workspace", tmp_path / "state", environment)


@pytest.fixture
async def terminal(host: PlainHost) -> AsyncIterator[Terminal]:
    """A terminal of which nothing is left."""
    terminal = Terminal(host)
    yield terminal
    await terminal.end()


async def output(terminal: Terminal, command: str, **arguments: object) -> str:
    """What a command that ends well writes."""
    with anyio.fail_after(WITHIN_S):
        answer = await terminal.run(command, **arguments)  # type: ignore[arg-type]
    assert (answer["exit_code"], answer["error"]) == (0, None), answer
    return str(answer["output"])


async def test_directory_and_exported_variables_last(terminal: Terminal, host: PlainHost) -> None:
    """Also of a command that fails or calls exit; other variables, functions and what was unset do not come back."""
    await terminal.run("cd sub && export WORD='two words' LINES_='a\nb\"c'; plain=1; f() { :; }; unset HOME; exit 3")
    assert await output(terminal, "pwd") == str(host.workspace / "sub")
    assert await output(terminal, 'echo "$WORD|$LINES_|$plain|${HOME-gone}"') == 'two words|a\nb"c||gone'
    assert (await terminal.run("f"))["exit_code"] == 127
    assert terminal.cwd == host.workspace / "sub"


@pytest.mark.parametrize("bash", [True, False])
@pytest.mark.parametrize(
    "command",
    [
        "cd sub; export A=1",
        "trap 'echo bye' EXIT; cd sub; export A=1",
        "export A=1 PATH=/nonexistent; cd sub",
        "export A=1; IFS=0123456789; cd sub",
        "set -eux; export A=1; cd sub; false",
        "export A=1; cd sub; readonly A OLDPWD; export OLDPWD",
        "cd sub; export A=1 POSIXLY_CORRECT=1 UID PPID; readonly A",
        "mv() { false; }; export A=1; cd sub",
    ],
)
async def test_no_command_spoils_the_shell(
    terminal: Terminal, host: PlainHost, monkeypatch: pytest.MonkeyPatch, command: str, bash: bool
) -> None:
    """For the next ones, which go on where it ended, whatever it did to itself; also where there is no bash."""
    if not bash:
        monkeypatch.setenv("PATH", str(host.workspace))
    await terminal.run(command)
    assert await output(terminal, "pwd; echo $A") == f"{host.workspace / 'sub'}\n1"
    assert await output(terminal, "pwd; echo $A") == f"{host.workspace / 'sub'}\n1"


async def test_a_directory_that_is_readonly(terminal: Terminal) -> None:
    """The variable of that name; the next command has it anew."""
    await terminal.run("readonly PWD")
    assert await output(terminal, "cd sub; echo $PWD") == str(terminal.cwd)


async def test_the_directory_before_this_one(terminal: Terminal, host: PlainHost) -> None:
    """As in any shell; a command with a directory of its own does not change it."""
    await terminal.run("cd sub")
    assert await output(terminal, "pwd", workdir="/") == "/"
    assert await output(terminal, "cd -") == str(host.workspace)
    assert await output(terminal, "pwd") == str(host.workspace)


async def test_the_next_server_goes_on_with_them(terminal: Terminal, host: PlainHost) -> None:
    """They are kept in the session's directory, readable by this user alone."""
    await output(terminal, "cd sub; export A=1")
    assert await output(Terminal(host), 'pwd; echo "$A"') == f"{host.workspace / 'sub'}\n1"
    assert all(file.stat().st_mode & 0o077 == 0 for file in (host.directory / "terminal").iterdir())


async def test_a_workdir_holds_for_one_command(terminal: Terminal, host: PlainHost) -> None:
    """And one that is not there is an error of the shell."""
    assert await output(terminal, "pwd", workdir="sub") == str(host.workspace / "sub")
    assert await output(terminal, "pwd") == str(host.workspace)
    missing = await terminal.run("pwd", workdir="/nonexistent")
    assert (missing["exit_code"], missing["error"]) == (126, None)
    assert "No such file" in missing["output"]


async def test_a_command_that_takes_too_long_ends_with_all_that_it_started(terminal: Terminal, host: PlainHost) -> None:
    """Its whole group, and what left that; what it wrote before comes back."""
    script = "echo $$ >pids; sleep 100 & echo $! >>pids; (trap '' TERM; sleep 100) & echo $! >>pids; "
    script += "setsid sh -c 'echo $$ >>pids; exec sleep 100' & echo begun; wait"
    answer = await terminal.run(script, timeout=1)
    assert answer == {"output": "begun\n\n[Command timed out after 1s]", "exit_code": 124, "error": None}
    pids = [int(line) for line in (host.workspace / "pids").read_text().split()]
    assert len(pids) == 4
    with anyio.fail_after(WITHIN_S):  # they have been sent SIGKILL
        while any(map(runs, pids)):
            await anyio.lowlevel.checkpoint()


async def test_a_call_that_is_cancelled_ends_its_command(terminal: Terminal, host: PlainHost) -> None:
    """As an interrupt of the cell does."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(terminal.run, "echo $$ >pid.new; mv pid.new pid; sleep 100")
        with anyio.fail_after(WITHIN_S):
            while not (host.workspace / "pid").exists():
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    with anyio.fail_after(WITHIN_S):
        while runs(int((host.workspace / "pid").read_text())):
            await anyio.lowlevel.checkpoint()


async def test_what_a_command_leaves_running_is_not_waited_for(terminal: Terminal, host: PlainHost) -> None:
    """It goes on, although it holds the command's output open."""
    said = await output(terminal, "sleep 100 & echo $! >pid; echo done")
    assert said == "done"
    child = psutil.Process(int((host.workspace / "pid").read_text()))
    assert child.is_running()
    child.kill()


async def test_long_output_keeps_head_and_tail(terminal: Terminal) -> None:
    """40 % and 60 % of 50,000 characters, and the count of what is left out; 100 MB take no memory."""
    said = await output(terminal, "seq 1 20000")
    assert said.startswith("1\n2\n3\n")
    assert said.endswith("19999\n20000")
    left_out = 108_894 - 50_000
    assert f"... [OUTPUT TRUNCATED - {left_out:,} chars omitted out of 108,894 total] ..." in said
    assert len(said) < 50_100
    before = psutil.Process().memory_info().rss
    assert "99,950,000 chars omitted" in await output(terminal, "head -c 100000000 /dev/zero | tr '\\0' x")
    assert psutil.Process().memory_info().rss - before < 50e6


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("printf 'a\\033[31mred\\033[0m'", "ared"),
        ("printf '\\377\\376'", "\ufffd\ufffd"),
        ("printf '  x  \\n\\n'", "x"),
        ("cat", ""),
        ("echo out; echo err >&2; echo out", "out\nerr\nout"),
        (f"echo {'y' * 200_000} | wc -c", "200001"),
        ("echo 'it'\"'\"'s' \"$((1+1))\" \\\n  more", "it's 2 more"),
    ],
)
async def test_output_as_it_comes_back(terminal: Terminal, command: str, expected: str) -> None:
    """Without colours and outer blanks, as text, from a command of any length, with nothing to read."""
    assert await output(terminal, command) == expected


@pytest.mark.parametrize(
    ("command", "code", "meaning"),
    [
        ("false", 1, None),
        ("kill -9 $$", -9, None),
        ("kill -TERM $$", -15, None),
        ("IFS=1; false", 1, None),
        ("nosuchcommand", 127, None),
        ("echo x | grep y", 1, "No matches found (not an error)"),
        ("LC_ALL=C diff /nonexistent /bin/sh", 2, None),
        ("true; test 1 = 2", 1, "Condition evaluated to false (expected, not an error)"),
    ],
)
async def test_exit_codes(terminal: Terminal, command: str, code: int, meaning: str | None) -> None:
    """A signal is a negative number; a code that is no failure has its meaning beside it."""
    answer = await terminal.run(command)
    assert answer["exit_code"] == code
    assert answer.get("exit_code_meaning") == meaning


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": None},
        {"command": "true", "timeout": "x"},
        {"command": "true", "timeout": math.nan},
        {"command": "true", "workdir": 3},
        {"command": "a\0b"},
        {"command": "\ud800" * 70_000},
    ],
)
async def test_what_cannot_be_run_is_an_answer(terminal: Terminal, arguments: dict[str, object]) -> None:
    """In the shape of every other."""
    answer = await terminal.run(**arguments)  # type: ignore[arg-type]
    assert (answer["output"], answer["exit_code"]) == ("", -1)
    assert answer["error"]


async def test_more_time_than_allowed_is_refused(terminal: Terminal) -> None:
    """With the way to have it."""
    for timeout in (601, 10**400):
        assert "background=True" in (await terminal.run("true", timeout=timeout))["error"]


async def test_a_command_in_the_background(terminal: Terminal, host: PlainHost) -> None:
    """It is polled by its handle, also by the next server, and has an exit code at its end."""
    os.mkfifo(host.workspace / "go")
    started = await terminal.run("echo first; read line <go; echo $line; exit 4", background=True)
    assert started["running"]
    with anyio.fail_after(WITHIN_S):
        while (await terminal.poll(started["handle"]))["output"] != "first":
            await anyio.lowlevel.checkpoint()
    await output(terminal, "echo second >go")
    with anyio.fail_after(WITHIN_S):
        while (now := await Terminal(host).poll(started["handle"]))["running"]:
            await anyio.lowlevel.checkpoint()
    assert (now["output"], now["exit_code"], now["error"]) == ("first\nsecond", 4, None)


@pytest.mark.parametrize(("command", "code"), [("exit 255", 255), ("exit 200", 200), ("kill -9 $$", -9)])
async def test_exit_codes_in_the_background(terminal: Terminal, command: str, code: int) -> None:
    """A code that no signal has is a code."""
    handle = (await terminal.run(command, background=True))["handle"]
    with anyio.fail_after(WITHIN_S):
        while (now := await terminal.poll(handle))["running"]:
            await anyio.lowlevel.checkpoint()
    assert now["exit_code"] == code


async def test_a_command_in_the_background_can_be_killed(terminal: Terminal, host: PlainHost) -> None:
    """With all of its group; the end of the session does it too."""
    for end in (lambda handle: terminal.kill(handle), lambda _: terminal.end()):
        started = await terminal.run("echo $$ >pid.new; mv pid.new pid; sleep 100", background=True)
        with anyio.fail_after(WITHIN_S):
            while not (host.workspace / "pid").exists():
                await anyio.lowlevel.checkpoint()
        pid = int((host.workspace / "pid").read_text())
        (host.workspace / "pid").unlink()
        await end(started["handle"])
        with anyio.fail_after(WITHIN_S):
            while runs(pid):
                await anyio.lowlevel.checkpoint()
        ended = await terminal.poll(started["handle"])
        assert (ended["running"], ended["exit_code"]) == (False, None)
        assert "killed" in ended["error"]


@pytest.mark.parametrize("handle", ["p-00000000", "p-../../etc", "", None, 3])
async def test_an_unknown_handle(terminal: Terminal, handle: object) -> None:
    """Is an answer, and no path."""
    assert "No background command" in (await terminal.poll(handle))["error"]  # type: ignore[arg-type]


async def test_many_commands_at_once(terminal: Terminal) -> None:
    """Each has its own output."""
    said: list[str] = []

    async def one(number: int) -> None:
        said.append(await output(terminal, f"echo {number}; export A={number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    assert sorted(map(int, said)) == list(range(20))
    assert await output(terminal, "echo $A") in said


async def test_a_shorter_limit(host: PlainHost) -> None:
    """What settings choose."""
    short = Terminal(replace(host, policy=Policy(terminal_output_chars=10, terminal_timeout_s=0.2)))
    assert (await short.run("sleep 10"))["exit_code"] == 124
    assert (await short.run("echo 123456789012345"))["output"].startswith("1234\n\n... [OUTPUT TRUNCATED - 6 chars")


async def test_variables_are_forgotten_with_the_session(terminal: Terminal, host: PlainHost) -> None:
    """They may be secrets, and the session's directory stays for a week."""
    await output(terminal, "export A_TOKEN=very-secret")
    assert (host.directory / "terminal" / "variables").exists()
    await terminal.end()
    assert not (host.directory / "terminal" / "variables").exists()
