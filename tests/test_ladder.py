"""The ladder of an interrupt: which rung stops what, what is said of it, and that the next cell is never hit."""

from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import anyio
import pytest
from mcp import Client

from mcp_notebook import ladder
from mcp_notebook.execution import Execution
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from tests.calls import call, run, value
from tests.live import finished, lives, opened, ran, soon, status, text_of, until_printed
from tests.reliability.stuck import BEFORE, CELLS, source

pytestmark = pytest.mark.anyio

STUCK = {
    "a loop that sleeps": "Interrupted by SIGINT; state is kept.",
    "an `await` that swallows every cancel": "Interrupted by the ending of its await",
    "`os.system`": "Interrupted by SIGINT to what it had started, ",
    "`%%bash` with grandchildren": "Interrupted by SIGINT; state is kept. What it had started was ended too: bash (",
    "a wait for an earlier cell's server": "Interrupted by SIGINT; state is kept.",
}
AIMED = 500
CELL_MS, SWEEP_MS = 4.0, 8.0

numbers = count()


@pytest.fixture(scope="module")
async def session(sessions: Sessions, anyio_backend: str) -> AsyncIterator[Session]:
    """One whose kernel has run a cell that started a server, which is to live through everything."""
    async with opened(sessions) as session:
        server = int(text_of(await ran(session, BEFORE)).split()[1])
        await ran(session, "import asyncio, ctypes, os, signal, subprocess, sys, time")
        yield session
        assert lives(server)
        await ran(session, "server.kill(); server.wait()")


async def stuck(session: Session, cell: str, begun: Path) -> Execution:
    execution = await session.execute_cell(cell)
    with anyio.fail_after(20):
        while not await anyio.Path(begun).exists():  # noqa: ASYNC110 - the cell may not be able to tell
            await anyio.sleep(0.01)
    return execution


async def next_is_right(session: Session) -> None:
    number = next(numbers)
    after = await ran(session, f"print({number}); kept")
    assert (after.status, text_of(after)) == ("ok", f"{number}\n'kept'")


@pytest.mark.parametrize("kind", STUCK)
async def test_the_answer_says_what_stopped_the_cell(session: Session, tmp_path: Path, kind: str) -> None:
    """The state is kept, and the cell's own status says so too."""
    execution = await stuck(session, source(kind, tmp_path / "begun"), tmp_path / "begun")
    said = await soon(session.interrupt())
    assert said.startswith(STUCK[kind])
    assert execution.status == "interrupted"
    assert said.startswith(execution.message)
    await next_is_right(session)


async def test_c_code_is_stopped_when_it_comes_back(session: Session, tmp_path: Path) -> None:
    """The signal is not lost meanwhile."""
    (kind,) = (each for each in CELLS if each.startswith("C code"))
    execution = await stuck(session, source(kind, tmp_path / "begun"), tmp_path / "begun")
    assert "Interrupted by SIGINT" in await soon(session.interrupt())
    assert execution.status == "interrupted"
    await next_is_right(session)


@pytest.mark.parametrize(
    ("wait", "clean_up"),
    [("time.sleep(600)", "time.sleep(1.5)"), ("await asyncio.sleep(600)", "await asyncio.sleep(1.5)")],
)
async def test_a_clean_up_is_given_time(session: Session, wait: str, clean_up: str) -> None:
    """What the cell does when the interrupt has reached it is not interrupted at once."""
    source = f"try:\n    print('in', flush=True)\n    {wait}\nfinally:\n    {clean_up}\n    print('saved')"
    execution = await session.execute_cell(source)
    await until_printed(execution, "in")
    assert (await soon(session.interrupt())).startswith("Interrupted by SIGINT")
    assert "saved" in text_of(execution)
    await next_is_right(session)


async def test_a_command_that_ignores_sigint_gets_sigterm(session: Session) -> None:
    """A cell that ends well because of that was interrupted all the same."""
    start = "child = subprocess.Popen(['sh', '-c', \"trap '' INT; echo on; sleep 600\"])"
    wait = "while child.poll() is None:\n    try: child.wait()\n    except KeyboardInterrupt: pass"
    execution = await session.execute_cell(f"{start}\n{wait}")
    await until_printed(execution, "on")
    said = await soon(session.interrupt())
    assert said.startswith("Interrupted by SIGTERM to what it had started, ")
    assert (execution.status, execution.message.endswith("state is kept.")) == ("interrupted", True)
    await next_is_right(session)


async def test_what_protects_itself_from_an_interrupt_lives_on_and_is_named(session: Session) -> None:
    """A process that the kernel still has as its child, and that ignores SIGINT, is somebody's."""
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('on', flush=True); time.sleep(600)"
    execution = await session.execute_cell(f'child = subprocess.Popen([sys.executable, "-c", "{code}"]); child.wait()')
    await until_printed(execution, "on")
    said = await soon(session.interrupt())
    pid = int(text_of(await ran(session, "child.pid")))
    assert said.startswith("Interrupted by SIGINT; state is kept. What it had started and lives on: python")
    assert said.endswith(f"({pid}).")
    assert lives(pid)
    await ran(session, "child.kill(); child.wait()")


async def test_who_leaves_the_session_outlives_the_cell(session: Session) -> None:
    """That is how a server is started that an interrupt of its own cell does not end."""
    source = "apart = subprocess.Popen(['sleep', '600'], start_new_session=True); print(apart.pid, flush=True)"
    execution = await session.execute_cell(f"{source}\nos.system('sleep 600')")
    await until_printed(execution, "\n")
    await soon(session.interrupt())
    assert lives(int(text_of(execution).split()[0]))
    await ran(session, "apart.kill(); apart.wait()")


async def test_interrupts_at_once_climb_together(session: Session, tmp_path: Path) -> None:
    """All are told the same; one that is cancelled leaves the others to it."""
    kind = "`os.system`"
    execution = await stuck(session, source(kind, tmp_path / "begun"), tmp_path / "begun")
    said: list[str] = []

    async def interrupt() -> None:
        said.append(await session.interrupt(execution.id))

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as first:
            tasks.start_soon(interrupt)
            tasks.start_soon(interrupt)
            first.cancel()
            await session.cancel(execution)
    assert (len(said), len(set(said))) == (2, 1)
    assert (await finished(execution)).status == "interrupted"
    await next_is_right(session)


async def test_what_nothing_stops_is_told_and_can_be_killed(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says what was tried, that the state is kept, and what to do."""
    monkeypatch.setattr(ladder, "PATIENCE_S", 0.1)
    async with opened(sessions) as session:
        ignoring = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('in', flush=True)"
        execution = await session.execute_cell(f"{ignoring}\nwhile True: time.sleep(0.01)")
        await until_printed(execution, "in")
        said = await soon(session.interrupt())
        assert said.startswith("Still running: the code has not ended after SIGINT; an interrupt that waits")
        for told in ("state are kept", execution.id, "action='kill'"):
            assert told in said
        assert status(execution) == "running"
        interrupting = session.interrupt()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.kill)
            assert "killed by signal 9" in await soon(interrupting)
        assert status(execution) == "dead"


async def test_a_cell_that_ends_well_long_after_is_not_told_as_interrupted(
    sessions: Sessions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had started was signalled as well, and did not care either."""
    monkeypatch.setattr(ladder, "PATIENCE_S", 0.1)
    go = tmp_path / "go"
    waits = f"trap '' INT TERM; echo in; while [ ! -e '{go}' ]; do sleep 0.05; done"
    ignoring = "import signal, subprocess, time; before = signal.signal(signal.SIGINT, signal.SIG_IGN)"
    async with opened(sessions) as session:
        execution = await session.execute_cell(
            f"{ignoring}\nchild = subprocess.Popen(['bash', '-c', {waits!r}])\n"
            "while child.poll() is None: time.sleep(0.01)\nsignal.signal(signal.SIGINT, before); 1"
        )
        await until_printed(execution, "in")
        assert "SIGTERM to what it had started" in await soon(session.interrupt())
        go.touch()
        assert (await finished(execution)).status == "ok"


@pytest.mark.timeout(240)
async def test_the_rungs_never_hit_the_next_cell(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a pause between the rungs, aimed at the end of a cell behind which another one starts a process."""
    for pause in ("SIGINT_S", "CLEAN_UP_S", "AWAIT_S", "CHILDREN_S"):
        monkeypatch.setattr(ladder, pause, 0)
    ends = dict.fromkeys(("ok", "interrupted"), 0)
    for number in range(AIMED):
        how = ("time.sleep({s})", "await asyncio.sleep({s})", "subprocess.run(['sleep', '{s}'])")[number % 3]
        aimed = await session.execute_cell(f"{how.format(s=CELL_MS / 1000)}; print('whole')")
        behind = await session.execute_cell("child = subprocess.Popen(['sleep', '600']); print('next')")
        # The last moments of a cell give no sign to wait for: only a delay can aim at them.
        await anyio.sleep((CELL_MS + SWEEP_MS * (number / AIMED - 0.3)) / 1000)
        await soon(session.interrupt(aimed.id))
        await finished(aimed)
        ends[aimed.status] += 1
        assert aimed.status == "interrupted" or text_of(aimed) == "whole\n"
        assert ((await finished(behind)).status, text_of(behind)) == ("ok", "next\n")
        after = await ran(session, "print(child.poll(), kept); child.kill(); child.wait();")
        assert text_of(after) == "None kept\n"
    assert min(ends.values()) > 0, "the sweep missed the end of the cells"


# An old key in the kernelspec that bash_kernel installs.
@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
async def test_a_kernel_of_another_language_has_the_other_rungs(sessions: Sessions, tmp_path: Path) -> None:
    """What it consists of, a shell of its own here, counts as the kernel; the variables stay."""
    async with opened(sessions, kernel="bash") as session:
        await ran(session, "kept=5; sleep 86400 & echo $!")
        execution = await stuck(session, f"trap '' INT; touch {tmp_path}/begun; sleep 600", tmp_path / "begun")
        said = await soon(session.interrupt())
        assert said.startswith("Interrupted by SIGTERM to what it had started, sleep (")
        assert execution.status == "interrupted"
        after = await ran(session, "echo $kept; kill -0 %1 && echo alive; kill %1")
        assert text_of(after).split()[:2] == ["5", "alive"]


async def test_the_answer_has_what_was_printed(client: Client) -> None:
    """Through the tool: the sentence first, once, and then the cell as it is."""
    running = await run(client, "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.01)", wait_s=0)
    cell = value(running, "cell")
    while "\nbegun" not in await call(client, "get_output", cell_id=cell):
        pass
    answer = await call(client, "control_kernel", action="interrupt")
    said, header, *rest = answer.splitlines()
    assert said == "Interrupted by SIGINT; state is kept."
    assert header.startswith("[1] interrupted ")
    assert rest[0] == "begun"
    assert answer.count(said) == 1
