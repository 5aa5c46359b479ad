"""Executions as jobs: their statuses, the queue, interrupt, cancel, input, death."""

import os
from pathlib import Path

import anyio
import pytest

from mcp_notebook.errors import BadRequest, KernelError, UnknownExecution
from mcp_notebook.execution import Execution, status_of
from mcp_notebook.kernels.base import Reply
from mcp_notebook.outputs import Displays, OutputCollector
from mcp_notebook.sessions import Connection, Sessions
from tests.live import WITHIN_S, asking, busy, finished, opened, ran, soon, starting, status, text_of, until_printed

pytestmark = pytest.mark.anyio


def execution() -> Execution:
    return Execution("cell", "1", "rev", OutputCollector(Displays()))


@pytest.mark.parametrize(
    ("reply", "asked_to_stop", "status"),
    [
        (Reply("ok", {}, interrupted=False), False, "ok"),
        (Reply("error", {}, interrupted=False), False, "error"),
        (Reply("error", {}, interrupted=False), True, "error"),
        (Reply("error", {}, interrupted=True), True, "interrupted"),
        (Reply("ok", {}, interrupted=True), True, "interrupted"),
        (Reply("error", {}, interrupted=None), True, "interrupted"),
        (Reply("ok", {}, interrupted=None), True, "ok"),
        (Reply("abort", {}, interrupted=None), True, "interrupted"),
        (Reply("aborted", {}), False, "cancelled"),
        (Reply("aborted", {}), True, "cancelled"),
    ],
)
def test_a_reply_decides_the_status(reply: Reply, asked_to_stop: bool, status: str) -> None:
    """What the kernel knows of an interrupt outweighs what the code made of it."""
    assert status_of(reply, asked_to_stop=asked_to_stop) == status


async def test_many_may_wait_for_one_execution() -> None:
    """All of them learn of its end, also who comes too late."""
    job = execution()
    answers: list[bool] = []

    async def wait() -> None:
        answers.append(await job.wait(WITHIN_S))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        job.begin(1)
        job.finish("ok")
    await wait()
    assert answers == [True] * 4


async def test_waiting_ends_with_its_time() -> None:
    """No time at all is allowed, too; the job is not touched."""
    job = execution()
    assert await job.wait(0) is False
    job.begin(1)
    assert await job.wait(0.01) is False
    assert status(job) == "running"
    job.ask("name? ", False, 1)
    assert await job.wait(0) is True
    assert job.prompt == "name? "


async def test_elapsed_time_stands_still_after_the_end() -> None:
    """There is none before the beginning."""
    assert execution().elapsed_s is None
    job = execution()
    job.begin(1)
    job.finish("ok")
    took = job.elapsed_s
    assert took is not None
    assert job.elapsed_s == took


async def test_ids_of_executions_are_unlike() -> None:
    """1,000 of them."""
    assert len({execution().id for _ in range(1000)}) == 1000


# The queue


async def test_cells_run_one_after_the_other_in_the_order_of_the_calls(sessions: Sessions) -> None:
    """Twenty calls at once; each sees what the one before left."""
    async with opened(sessions) as session:
        await ran(session, "order = []")
        jobs: list[Execution] = []

        async def call(number: int) -> None:
            jobs.append(await session.execute_cell(f"order.append({number})"))

        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(call, number)
        assert [job.id for job in session.pending] == [job.id for job in jobs]
        for job in jobs:
            await finished(job)
        assert [job.order for job in jobs] == list(range(2, 22))
        wanted = [int(job.source[13:-1]) for job in jobs]
        assert text_of(await ran(session, "order")) == str(wanted)
        assert session.pending == []


async def test_an_error_does_not_stop_what_is_queued_behind_it(sessions: Sessions) -> None:
    """Each cell is its own caller's."""
    async with opened(sessions) as session:
        failing = await session.execute_cell("import time; time.sleep(0.05); 1 / 0")
        behind = await session.execute_cell("'ran'")
        assert (await finished(failing)).status == "error"
        assert (await finished(behind)).status == "ok"


async def test_an_interrupt_stops_the_running_cell_only(sessions: Sessions) -> None:
    """What is queued behind it runs; the state is kept."""
    async with opened(sessions) as session:
        running = await busy(session)
        behind = await session.execute_cell("'ran'")
        assert behind.status == "queued"
        assert "state is kept" in await soon(session.interrupt())
        assert running.status == "interrupted"
        assert (await finished(behind)).status == "ok"


async def test_an_interrupt_of_what_does_not_run_says_so(sessions: Sessions) -> None:
    """Nobody else's cell is stopped in its place."""
    async with opened(sessions) as session:
        assert "No cell is running" in await session.interrupt()
        done = await ran(session, "1")
        running = await busy(session)
        queued = await session.execute_cell("2")
        assert "not running" in await session.interrupt(done.id)
        assert "not running" in await session.interrupt(queued.id)
        assert running.status == "running"
        with pytest.raises(UnknownExecution):
            await session.interrupt("e-00000000")
        await soon(session.interrupt(running.id))


async def test_interrupts_by_several_callers_at_once_are_all_answered(sessions: Sessions) -> None:
    """The next cell is not theirs."""
    async with opened(sessions) as session:
        await busy(session)
        said: list[str] = []

        async def interrupt() -> None:
            said.append(await session.interrupt())

        behind = await session.execute_cell("import time; time.sleep(0.1); 'whole'")
        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as tasks:
                for _ in range(5):
                    tasks.start_soon(interrupt)
        assert len(said) == 5
        assert (await finished(behind)).status == "ok"


async def test_a_shell_command_that_swallows_the_interrupt_is_told_as_interrupted(sessions: Sessions) -> None:
    """The kernel knows that it was interrupted, whatever the code made of it."""
    async with opened(sessions) as session:
        source = "print('in', flush=True)\nimport time\ntry: time.sleep(600)\nexcept KeyboardInterrupt: pass"
        job = await session.execute_cell(source)
        await until_printed(job, "in")
        await soon(session.interrupt())
        assert job.status == "interrupted"


async def test_a_queued_cell_is_cancelled_without_having_run(sessions: Sessions) -> None:
    """The running one is not touched; cancelling twice, or what has ended, does nothing."""
    async with opened(sessions) as session:
        running = await busy(session)
        queued = await session.execute_cell("touched = True")
        await session.cancel(queued)
        assert (queued.status, queued.elapsed_s) == ("cancelled", None)
        await session.cancel(queued)
        assert status(running) == "running"
        await soon(session.cancel(running))
        assert status(running) == "interrupted"
        await session.cancel(running)
        assert (await ran(session, "'touched' in globals()")).status == "ok"
        assert text_of(session.execution()) == "False"


# Input


async def test_input_is_answered_once(sessions: Sessions) -> None:
    """The second answer is refused, and does not become that of the next prompt."""
    async with opened(sessions) as session:
        job = await session.execute_cell("a = input('first? '); b = input('second? '); a, b")
        await asking(job)
        assert session.state == "waiting_for_input"
        assert job.prompt == "first? "
        await session.answer("1", job.id)
        with pytest.raises(BadRequest, match="No cell waits"):
            await session.answer("again")
        with anyio.fail_after(WITHIN_S):
            while job.prompt != "second? ":
                await job.changed()
        await session.answer("2")
        assert (await finished(job)).status == "ok"
        assert text_of(job).endswith("('1', '2')")


async def test_an_answer_to_another_execution_is_refused(sessions: Sessions) -> None:
    """An answer is given to the question that was read, or to none."""
    async with opened(sessions) as session:
        with pytest.raises(BadRequest):
            await session.answer("to nobody")
        job = await session.execute_cell("input('? ')")
        await asking(job)
        with pytest.raises(BadRequest, match="does not wait"):
            await session.answer("x", "e-00000000")
        assert "state is kept" in await soon(session.interrupt())
        assert job.status == "interrupted"


async def test_a_password_is_never_an_argument(sessions: Sessions) -> None:
    """The cell can be interrupted, and goes on waiting until then."""
    async with opened(sessions) as session:
        job = await session.execute_cell("import getpass; getpass.getpass('pw: ')")
        await asking(job)
        assert job.password
        with pytest.raises(BadRequest, match="password"):
            await session.answer("hunter2")
        assert job.status == "waiting_for_input"
        await soon(session.interrupt())


async def test_a_kernel_killed_while_input_waits_is_dead(sessions: Sessions) -> None:
    """The question dies with it."""
    async with opened(sessions) as session:
        job = await session.execute_cell("input('? ')")
        await asking(job)
        await soon(session.kill())
        assert job.status == "dead"
        assert job.prompt is None
        with pytest.raises(KernelError, match="rebuild"):
            await session.answer("too late")


# Death and restarts


@pytest.mark.parametrize("source", ["import os; os._exit(9)", "import os, signal; os.kill(os.getpid(), 9)"])
async def test_a_death_ends_the_running_cell_as_dead_and_the_queued_ones_as_cancelled(
    sessions: Sessions, source: str
) -> None:
    """All within a second of it; the session stays, with a dead kernel that is not replaced."""
    async with opened(sessions) as session:
        await ran(session, "x = 1")
        dying = await session.execute_cell(source)
        queued = [await session.execute_cell("x") for _ in range(3)]
        with anyio.fail_after(1):
            for job in (dying, *queued):
                while not job.finished:
                    await job.changed()
        assert dying.status == "dead"
        assert "9" in dying.message
        assert [job.status for job in queued] == ["cancelled"] * 3
        assert all(job.message for job in queued)
        assert session.state == "dead"
        assert session.death is not None
        assert "rebuild" in session.death


async def test_a_cell_on_a_dead_kernel_is_an_ordinary_result(sessions: Sessions) -> None:
    """Status ``dead``, what to do, and a document that is as it was."""
    async with opened(sessions) as session:
        cell = (await ran(session, "x = 1")).cell_id
        await soon(session.kill())
        before = [dict(cell) for cell in session.notebook.cells]
        new = await session.execute_cell("y = 2")
        edited = await session.execute_cell("x = 3", cell_id=cell)
        assert {new.status, edited.status} == {"dead"}
        assert "restart" in new.message
        assert [dict(cell) for cell in session.notebook.cells] == before
        for call in (session.run_all, session.kill):
            with pytest.raises(KernelError, match="restart"):
                await call()
        assert "No cell is running" in await session.interrupt()


async def test_a_kernel_that_dies_between_cells_is_told_by_the_state(sessions: Sessions) -> None:
    """Nobody needs to run anything to learn of it."""
    async with opened(sessions) as session:
        assert session.kernel_info is not None
        assert session.kernel_info.pid is not None
        told = anyio.Event()
        sessions.listeners.append(lambda handle, cell: told.set() if session.state == "dead" else None)
        os.kill(session.kernel_info.pid, 9)
        await soon(told.wait())
        sessions.listeners.pop()
        assert "signal 9" in str(session.death)


async def test_a_restart_ends_what_runs_and_what_waits(sessions: Sessions) -> None:
    """The new kernel is empty; executions of the old one all have an end."""
    async with opened(sessions) as session:
        running = await busy(session)
        queued = await session.execute_cell("1")
        await soon(session.restart())
        assert running.status == "dead"
        assert (queued.status, "restarted" in queued.message) == ("cancelled", True)
        assert session.state == "idle"
        assert text_of(await ran(session, "1 + 1")) == "2"


async def test_two_restarts_at_once_leave_one_kernel(sessions: Sessions) -> None:
    """Also in the middle of a cell."""
    async with opened(sessions) as session:
        running = await busy(session)
        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.restart)
                tasks.start_soon(session.restart)
        assert running.status == "dead"
        assert text_of(await ran(session, "1 + 1")) == "2"


async def test_a_cell_that_is_sent_during_a_restart_runs_on_the_new_kernel(sessions: Sessions) -> None:
    """The restart came first; an interrupt meanwhile finds nothing to stop."""
    async with opened(sessions) as session:
        await ran(session, "x = 1")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.restart)
            await starting(session)
            job = await session.execute_cell("'x' in globals()")
            assert "No cell is running" in await session.interrupt()
            with pytest.raises(KernelError, match="starting"):
                await session.inspect(None)
        assert (await finished(job)).status == "ok"
        assert text_of(job) == "False"


async def test_a_cell_that_waits_for_a_kernel_that_does_not_start_is_cancelled(
    sessions: Sessions, tmp_path: Path
) -> None:
    """It does not wait for ever."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to("/bin/false")
    environment = {**sessions.settings.environment}
    connection = Connection(environment=environment)
    async with opened(sessions, connection) as session:
        environment["VIRTUAL_ENV"] = str(tmp_path)
        async with anyio.create_task_group() as tasks:

            async def fails() -> None:
                with pytest.raises(KernelError):
                    await session.restart()

            tasks.start_soon(fails)
            await starting(session)
            job = await session.execute_cell("1")
        assert (await finished(job)).status == "cancelled"
        assert (await session.execute_cell("1")).status == "dead"
        del environment["VIRTUAL_ENV"]
        await soon(session.restart())
        assert text_of(await ran(session, "1 + 1")) == "2"


async def test_after_a_shutdown_a_cell_is_not_run(sessions: Sessions) -> None:
    """It says what to call; the document can be read, edited and restarted with."""
    async with opened(sessions) as session:
        await ran(session, "x = 1")
        running = await busy(session)
        await soon(session.shutdown())
        assert running.status == "dead"
        job = await session.execute_cell("2")
        assert (job.status, "restart" in job.message) == ("dead", True)
        assert session.state == "shutdown"
        assert len(session.notebook.cells) == 2
        await session.shutdown()
        await soon(session.restart())
        assert (await ran(session, "2")).status == "ok"


async def test_kill_and_restart_at_once_end_with_a_kernel(sessions: Sessions) -> None:
    """Whichever comes first."""
    async with opened(sessions) as session:
        await busy(session)
        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(session.kill)
                tasks.start_soon(session.restart)
        assert session.state == "idle"
        assert text_of(await ran(session, "1 + 1")) == "2"
