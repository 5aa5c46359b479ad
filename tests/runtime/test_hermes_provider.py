"""Hermes itself answers the calls of cells: a real one, in its own environment, asked by real kernels."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from mcp_notebook.runtime.hermes import KEYS
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.live import WITHIN_S, alone, finished, ran, soon, text_of
from tests.runtime.hermes_home import by_hermes, make_home, running, worker
from tests.runtime.searxng import searxng

pytestmark = pytest.mark.anyio

IMPORTS = (
    "from hermes_tools import *; import asyncio, os, threading; from concurrent.futures import ThreadPoolExecutor\n"
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hermes's, of the session."""
    return make_home(tmp_path_factory.mktemp("home"))


@pytest.fixture(scope="module")
async def session(settings: Settings, sessions: Sessions, home: Path, anyio_backend: str) -> AsyncIterator[Session]:
    """One for all tests that do not need their own; ``sessions`` outlive it."""
    keys = {name: "confidential" for name in KEYS if name != "HERMES_HOME"}
    async with alone(by_hermes(settings, home, keys)) as session:
        await printed(session, IMPORTS)
        yield session


async def printed(session: Session, source: str) -> str:
    """What a cell that ends well prints."""
    execution = await soon(ran(session, source))
    assert execution.status == "ok", text_of(execution)
    return text_of(execution).strip()


async def until_written(path: Path) -> str:
    """The line in a file, once it is there."""
    with anyio.fail_after(WITHIN_S):
        while not _written(path).endswith("\n"):
            await anyio.lowlevel.checkpoint()
    return _written(path).strip()


def _written(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_the_answers_are_those_of_hermes(session: Session) -> None:
    """What it does not answer as we do, too: it does not read an unchanged file twice."""
    assert await printed(session, "print(terminal('echo hi'))") == "{'output': 'hi', 'exit_code': 0, 'error': None}"
    assert "'bytes_written': 6" in await printed(session, "print(write_file('one.txt', 'é☃\\n'))")
    assert await printed(session, "print(repr(read_file('one.txt')['content']))") == "'1|é☃\\n2|'"
    assert "'status': 'unchanged'" in await printed(session, "print(read_file('one.txt'))")
    assert "'total_count': 1" in await printed(session, "print(search_files('☃', path='one.txt'))")
    assert "'success': True" in await printed(session, "print(patch('one.txt', 'é', 'e'))")
    assert "private" in await printed(session, "print(web_extract(['http://127.0.0.1/'])['results'][0]['error'])")


async def test_its_shell_begins_in_the_workspace_and_lasts(session: Session, settings: Settings) -> None:
    """Directory and exported variables, from one cell to the next."""
    assert await printed(session, "print(terminal('pwd')['output'])") == str(settings.workspace)
    await printed(session, "terminal('mkdir -p deep; cd deep; export A=kept')")
    assert await printed(session, "print(terminal('basename $PWD; echo $A; cd ..')['output'])") == "deep\nkept"


async def test_threads_and_tasks_call_at_once(session: Session) -> None:
    """Commands that wait for one another, and many that do not."""
    source = """
terminal("rm -f pipe; mkfifo pipe")
with ThreadPoolExecutor(2) as pool:
    print([job.result()["output"] for job in [pool.submit(terminal, c) for c in ("cat pipe", "echo met >pipe")]])
print(await asyncio.gather(*(terminal.aio(f"echo {n}") for n in range(30)))
      == [{"output": str(n), "exit_code": 0, "error": None} for n in range(30)])
"""
    assert await printed(session, source) == "['met', '']\nTrue"


async def test_an_interrupted_cell_ends_its_command_and_no_more(session: Session, home: Path, tmp_path: Path) -> None:
    """The worker goes on, with its shell; and a command that does not heed SIGTERM ends as well."""
    before = worker(home)
    await printed(session, "terminal('export B=still')")
    for trap in ("true", "trap '' TERM"):
        place = tmp_path / f"pid {trap[:4]}"
        execution = await session.execute_cell(
            f"terminal(\"{trap}; echo $$ >'{place}'; while true; do sleep 1; done\")"
        )
        pid = int(await until_written(place))
        await soon(session.interrupt())
        assert (await finished(execution)).status == "interrupted"
        assert await printed(session, "print(terminal('echo $B')['output'])") == "still"
        with anyio.fail_after(WITHIN_S):
            while pid in {each.pid for each in running(home)}:
                await anyio.lowlevel.checkpoint()
    assert worker(home) == before


async def test_what_cannot_be_stopped_is_ended_with_the_worker(session: Session, home: Path, tmp_path: Path) -> None:
    """After a moment in which it might; the interrupt has ended the cell's other call too. The next one is answered."""
    before = worker(home)
    place = tmp_path / "hangs"
    await printed(
        session, f"job = threading.Thread(target=lambda: print(terminal('echo $$ >{tmp_path}/pid; sleep 99')))"
    )
    execution = await session.execute_cell(f"job.start(); print(read_file('hang:{place}'), flush=True)")
    pid = int(await until_written(tmp_path / "pid"))
    await until_written(place)
    await soon(session.interrupt())
    assert (await finished(execution)).status == "interrupted"
    said = await printed(session, "job.join(); print(terminal('echo again')['output'])")
    assert said.endswith("again")
    with anyio.fail_after(60):
        while {pid, before.pid} & {each.pid for each in running(home)}:
            await anyio.lowlevel.checkpoint()
    assert await printed(session, "print(terminal('echo another')['output'])") == "another"


async def test_a_worker_that_is_killed_ends_the_call(session: Session, home: Path, tmp_path: Path) -> None:
    """It says what is not known, nothing of it is left, and the next call starts another, in the workspace."""
    detached = "import subprocess; subprocess.Popen([\\'sleep\\', \\'99\\'], start_new_session=True)"
    execution = await session.execute_cell(
        f"print(terminal('cd /; python3 -c \"{detached}\"; echo $$ >{tmp_path}/pid; sleep 98')['error'])"
    )
    pid = int(await until_written(tmp_path / "pid"))
    before = running(home)
    assert [each.cmdline() for each in before if "99" in each.cmdline()] == [["sleep", "99"]]
    worker(home).kill()
    said = text_of(await finished(execution))
    assert "ended during terminal(): its process was killed by signal 9" in said
    assert "not known" in said
    assert pid in {each.pid for each in before}
    assert not set(before) & set(running(home))
    assert await printed(session, "print(terminal('echo $PWD')['output'])") == str(session._options.workspace)


async def test_a_worker_that_ends_by_itself_says_its_last_words(session: Session) -> None:
    """With its exit status."""
    said = await printed(session, "print(read_file('end')['error'])")
    assert "ended during read_file(): its exit status is 7: last words" in said
    assert await printed(session, "print(terminal('echo fine')['output'])") == "fine"


async def test_what_tools_print_is_no_answer(session: Session, settings: Settings) -> None:
    """Each call here prints what looks like one, in three ways; and an answer that is no JSON passes as it is."""
    assert await printed(session, "print([terminal(f'echo {n}')['output'] for n in range(3)])") == "['0', '1', '2']"
    assert await printed(session, "print(repr(read_file('text')))") == "'no JSON'"
    assert '"answer": "echoed"' in (session._options.directory / "hermes.log").read_text()


async def test_commands_do_not_read_what_the_worker_is_asked(session: Session) -> None:
    """Its own input is at its end, and what is left open for it is not for them."""
    assert await printed(session, "print(terminal('cat; ls /dev/fd | wc -l'))") == (
        "{'output': '4', 'exit_code': 0, 'error': None}"
    )


async def test_keys_reach_hermes_and_not_its_commands(session: Session, home: Path) -> None:
    """It keeps every one of them back; the kernel's variables it passes on."""
    await printed(session, "terminal('true')")
    given = worker(home).environ()
    assert {given[name] for name in KEYS} == {"confidential", str(home)}
    shown = await printed(session, "print(terminal('env')['output'])")
    assert "confidential" not in shown
    assert f"HERMES_HOME={home}" in shown


async def test_odd_arguments_and_large_texts(session: Session) -> None:
    """Refused by signature as ever, judged by Hermes, or carried whole."""
    assert "Invalid command" in await printed(session, "print(terminal(5)['error'])")
    assert "unexpected" in await printed(
        session, "import hermes_runtime; print(hermes_runtime.calls.ask('terminal', {'command': 'true', 'pty': True}))"
    )
    source = "print(write_file('big.txt', 'é☃' * 900_000)['bytes_written'], terminal('wc -c <big.txt')['output'])"
    assert await printed(session, source) == "4500000 4500000"
    assert "error" in await printed(session, "print(read_file('\\0\\ud800'))")


async def test_commands_in_the_background_are_ours(session: Session, home: Path) -> None:
    """They are polled and killed as ever, and outlive the worker."""
    source = "job = terminal('echo here; sleep 99', background=True); print(sorted(job))"
    assert "'handle'" in await printed(session, source)
    worker(home).kill()
    assert await printed(session, "print(job.poll()['running'], job.kill() and job.wait()['running'])") == "True False"


async def test_policy_budget_and_record_hold(settings: Settings, home: Path, tmp_path: Path) -> None:
    """As for our own answers: what is not allowed starts nothing, and what is made is written down."""
    few = by_hermes(settings, make_home(tmp_path), budget=2)
    few = replace(few, runtime=replace(few.runtime, without=("web_search",)))
    async with alone(few) as session:
        assert "not allowed" in await printed(session, IMPORTS + "print(web_search('x')['error'])")
        assert running(tmp_path / "hermes") == []
        execution = await ran(session, "for n in range(3): print(terminal('echo called; exit 3'))")
        assert text_of(execution).count("'output': 'called'") == 2
        assert "limit reached (2)" in text_of(execution)
        made = [(each["name"], each["ok"]) for each in execution.made.ended]
        assert made == [("terminal", True), ("terminal", True)]
    assert running(tmp_path / "hermes") == []


async def test_times_are_those_of_our_settings(settings: Settings, tmp_path: Path) -> None:
    """What a command gets where the call does not say, and the most that it may ask for."""
    short = by_hermes(settings, make_home(tmp_path), terminal_timeout_s=1, terminal_longest_s=30)
    async with alone(short) as session:
        assert "timed out after 1s" in await printed(session, IMPORTS + "print(terminal('sleep 99')['output'])")
        assert "maximum of 30s" in await printed(session, "print(terminal('true', timeout=31)['error'])")


async def test_a_call_that_takes_too_long_is_given_up(settings: Settings, tmp_path: Path) -> None:
    """By the time of the policy; where Hermes does not stop, with the worker."""
    short = by_hermes(settings, make_home(tmp_path), call_timeout_s=1)
    async with alone(short) as session:
        before = await printed(session, IMPORTS + "print(terminal('echo $PPID')['output'])")
        assert "given up after 1 s" in await printed(session, f"print(read_file('hang:{tmp_path}/hangs')['error'])")
        assert await printed(session, "print(terminal('echo $PPID')['output'])") != before


async def test_the_search_is_the_one_that_hermes_has(settings: Settings, tmp_path: Path) -> None:
    """A SearXNG, which it finds by its own variable."""
    rows = [("Tides", "https://example.org/tides", "The tide comes in twice a day.")]
    with searxng(tmp_path, rows) as url:
        async with alone(by_hermes(settings, make_home(tmp_path), {"SEARXNG_URL": url})) as session:
            found = await printed(session, IMPORTS + "print(web_search('tide')['data']['web'][0]['url'])")
    assert found == "https://example.org/tides"
