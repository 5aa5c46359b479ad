"""The life of the process in which Hermes's tools run: how it starts, or does not, and that nothing of it stays."""

import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from mcp_notebook.errors import HermesFailed
from mcp_notebook.policy import Policy
from mcp_notebook.runtime.hermes import HERE, KEYS, HermesTools
from mcp_notebook.settings import Settings
from tests.daemons import user, wait_until
from tests.environments import environment, python_of
from tests.live import WITHIN_S, alone, ran, text_of
from tests.runtime.hermes_home import by_hermes, make_home, running, sleeping, worker
from tests.runtime.hosts import PlainHost, host

pytestmark = pytest.mark.anyio

BLOCKED = """
import json
from tools.environments.local import _HERMES_PROVIDER_ENV_BLOCKLIST as names
print(json.dumps(sorted(names)))
"""
DETACHED = """python3 -c 'import subprocess; subprocess.Popen(["sleep", "99"], start_new_session=True)'"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Hermes's, of one test."""
    return make_home(tmp_path)


@pytest.fixture
def mine(tmp_path: Path, home: Path) -> PlainHost:
    """A session that Hermes answers."""
    given = host(tmp_path, **environment_of_hermes(home))
    return replace(given, policy=Policy(hermes=str(python_of("hermes"))))


@pytest.fixture
async def hermes(mine: PlainHost) -> AsyncIterator[HermesTools]:
    """Its tools, ended afterwards."""
    tools = HermesTools(mine)
    yield tools
    await tools.aclose()


def environment_of_hermes(home: Path) -> dict[str, str]:
    """As little as it needs."""
    return {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home.parent), "HERMES_HOME": str(home)}


def test_it_has_its_seven_tools_where_it_is_named(mine: PlainHost) -> None:
    """And no other call; nothing is its own where the settings do not name it."""
    assert [HermesTools(mine).has(name) for name in ("read_file", "ask_user", "servers.call", "terminal.poll")] == [
        True,
        False,
        False,
        False,
    ]
    assert not HermesTools(replace(mine, policy=Policy())).has("read_file")


def test_the_python_may_be_named_by_its_environment(mine: PlainHost) -> None:
    """By its directory, relative to the workspace, or as that of the server."""
    named = {str(environment("hermes")): python_of("hermes"), HERE: Path(sys.executable)}
    named["py/python"] = mine.workspace / "py" / "python"
    for name, path in named.items():
        assert HermesTools(replace(mine, policy=Policy(hermes=name))).python == path


async def test_every_key_is_one_that_hermes_keeps_from_commands() -> None:
    """By its own list, whatever that is in another version."""
    done = await anyio.run_process([str(python_of("hermes")), "-P", "-c", BLOCKED])
    assert set(KEYS) - set(json.loads(done.stdout.decode().splitlines()[-1])) == {"HERMES_HOME"}


@pytest.mark.parametrize(
    ("named", "why"),
    [
        (HERE, "its exit status is 1: ModuleNotFoundError: No module named 'model_tools'"),
        ("nowhere/python", "No such file or directory"),
        ("/bin/false", "its exit status is 1"),
    ],
)
async def test_a_python_without_hermes_is_named(settings: Settings, named: str, why: str) -> None:
    """In each call's answer, with its last words and what to do; the session goes on."""
    wrong = replace(settings, runtime=Policy(hermes=named))
    async with alone(wrong) as session:
        source = "from hermes_tools import *\nfor n in range(2): print(terminal('echo hi')['error'])\nterminal"
        said = text_of(await ran(session, source)).splitlines()
        python = sys.executable if named == HERE else str(settings.workspace / named)
        assert said[0] == said[1]
        assert said[0].startswith(f"Hermes's tools do not start in {python}: {why}. Install hermes-agent there")
        assert text_of(await ran(session, "print(this_notebook()['path'])")) == "None\n"


async def test_a_start_that_takes_too_long_is_given_up(
    mine: PlainHost, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With nothing left of it, and its exit status left to asyncio; the next call tries again."""
    hermes = HermesTools(mine, start_within_s=0.01)
    for _ in range(2):
        with pytest.raises(HermesFailed, match=r"it was not ready within 0\.01 s"):
            await hermes.call("terminal", {"command": "true"})
        assert running(home) == []
    await hermes.aclose()
    assert [record for record in caplog.records if record.name == "asyncio"] == []


async def test_first_calls_at_once_start_one_worker(hermes: HermesTools, home: Path) -> None:
    """And one of them that is cancelled takes it from nobody."""
    answers = []

    async def call(number: int) -> None:
        answers.append(await hermes.call("terminal", {"command": f"echo {number}"}))

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await hermes.call("terminal", {"command": "echo cancelled"})
        for number in range(5):
            tasks.start_soon(call, number)
    assert sorted(each["output"] for each in answers) == ["0", "1", "2", "3", "4"]
    assert worker(home).is_running()


async def test_cancelled_calls_are_stopped_while_others_go_on(hermes: HermesTools, home: Path) -> None:
    """Each by itself, in whichever thread of the worker it is."""
    await hermes.version()
    answers = []

    async def call() -> None:
        answers.append(await hermes.call("terminal", {"command": "until [ -e go ]; do sleep 0.05; done; echo went"}))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(call)
        async with anyio.create_task_group() as cancelled:
            for number in range(5):
                command = f"touch begun{number}; sleep 99"
                cancelled.start_soon(hermes.call, "terminal", {"command": command})
            with anyio.fail_after(WITHIN_S):
                while len(sleeping(home)) < 5:
                    await anyio.lowlevel.checkpoint()
            cancelled.cancel_scope.cancel()
        assert sleeping(home) == []
        await hermes.call("terminal", {"command": "touch go"})
    assert [each["output"] for each in answers] == ["went"]


async def test_an_answer_that_is_too_large_is_refused(mine: PlainHost) -> None:
    """Where it is made, and the worker goes on."""
    (mine.workspace / "long.txt").write_text("é" * 1_900)
    hermes = HermesTools(replace(mine, policy=replace(mine.policy, answer_bytes=5_000)))
    with pytest.raises(HermesFailed, match=r"answer of read_file\(\) has 11,.* more than the 5,000 that are allowed"):
        await hermes.call("read_file", {"path": "long.txt"})
    assert (await hermes.call("terminal", {"command": "echo fine"}))["output"] == "fine"
    await hermes.aclose()


async def test_at_the_end_nothing_is_left(hermes: HermesTools, home: Path) -> None:
    """Nor what left its command and its session, nor a call that runs; and nothing is started after it."""
    async with anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(HermesFailed, match=r"ended during terminal\(\): the session is closing"):
                await hermes.call("terminal", {"command": f"{DETACHED}; sleep 99"})

        tasks.start_soon(call)
        with anyio.fail_after(WITHIN_S):
            while len(sleeping(home)) < 2:
                await anyio.lowlevel.checkpoint()
        await hermes.aclose()
    assert running(home) == []
    with pytest.raises(HermesFailed, match="closing"):
        await hermes.call("terminal", {"command": "true"})


async def test_the_end_does_not_wait_for_a_start(mine: PlainHost, home: Path) -> None:
    """Who waits for it is told."""
    hermes = HermesTools(mine)
    async with anyio.create_task_group() as tasks:

        async def call() -> None:
            with pytest.raises(HermesFailed):
                await hermes.call("terminal", {"command": "true"})

        tasks.start_soon(call)
        with anyio.fail_after(WITHIN_S):
            while not running(home):
                await anyio.lowlevel.checkpoint()
        await hermes.aclose()
    assert running(home) == []


async def test_nothing_is_left_of_a_session_that_ends(settings: Settings, home: Path) -> None:
    """Its cell, its command and the worker end with it."""
    async with alone(by_hermes(settings, home)) as session:
        source = f"from hermes_tools import terminal; terminal({DETACHED!r}); terminal('sleep 99')"
        await session.execute_cell(source)
        with anyio.fail_after(WITHIN_S):
            while len(sleeping(home)) < 2:
                await anyio.lowlevel.checkpoint()
    assert running(home) == []


def test_nothing_is_left_when_the_server_is_killed(tmp_path: Path, home: Path) -> None:
    """With -9, in the middle of a call; the next server's session calls again, in the same cell."""
    with user(tmp_path, HERMES_HOME=str(home)) as me:
        me.settings.home.mkdir(parents=True, exist_ok=True)
        (me.settings.home / "settings.toml").write_text(f'[runtime]\nhermes = "{python_of("hermes")}"\n')
        me.start_server()
        client = me.connect()
        client.initialize()
        source = f"from hermes_tools import terminal; terminal({DETACHED!r}); terminal('sleep 99')"
        client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": source}})
        wait_until(lambda: len(sleeping(home)) == 2)
        me.kill_server()
        wait_until(lambda: running(home) == [])
        me.start_server()
        again = me.connect(lease=client.greeted["lease"])
        again.initialize()
        wait_until(lambda: "restarted while terminal() ran" in again.call("read_notebook"))
        assert "again" in again.call("execute_cell", source="terminal('echo again')['output']")
