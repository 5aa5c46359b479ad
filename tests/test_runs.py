"""Runs of several cells, and which cells are stale."""

import anyio
import anyio.lowlevel
import pytest

from mcp_notebook import session_runs
from mcp_notebook.comparing import Taken
from mcp_notebook.errors import BadRequest, UnknownExecution
from mcp_notebook.outputs import Output
from mcp_notebook.runs import taken
from mcp_notebook.sessions import Sessions
from tests.live import asking, code, finished, opened, over, ran, soon, text_of, until_printed, write_notebook

pytestmark = pytest.mark.anyio


# Runs of several cells


async def test_run_all_follows_nbclients_tags(sessions: Sessions) -> None:
    """``raises-exception`` goes on, ``skip-execution`` and empty cells are passed over, an error stops."""
    place = sessions.settings.workspace / "tags.ipynb"
    write_notebook(
        place,
        code("a = 1"),
        code("1 / 0", tags=["raises-exception"]),
        code("a = 2", tags=["skip-execution"]),
        code(""),
        code("a"),
        code("raise ValueError('stop')"),
        code("a = 3"),
    )
    async with opened(sessions, notebook="tags.ipynb") as session:
        run = await over(await session.run_all())
        assert [job.status for job in run.executions] == ["ok", "error", "ok", "error"]
        assert text_of(run.executions[2]) == "1"
        assert run.stopped_by is run.executions[3]
        assert run.finished
        assert session.run(run.id) is run
        assert "4 of 5" in run.summary()


async def test_run_stale_runs_what_is_stale_in_document_order(sessions: Sessions) -> None:
    """And nothing afterwards."""
    async with opened(sessions) as session:
        a = await ran(session, "a = 1")
        b = await ran(session, "b = a + 1")
        session.edit_cell(cell_id=a.cell_id, source="a = 10")
        run = await over(await session.run_stale())
        assert [job.cell_id for job in run.executions] == [a.cell_id]
        run = await over(await session.run_stale())
        assert [job.cell_id for job in run.executions] == [b.cell_id]
        assert session.plan("run_stale") == []
        assert text_of(await ran(session, "b")) == "11"


async def test_rebuild_replays_what_had_succeeded(sessions: Sessions) -> None:
    """In the order it ran, without what failed; also after a death, whose cell is left out."""
    async with opened(sessions) as session:
        second = await ran(session, "x = y + 1")
        assert second.status == "error"
        first = await ran(session, "y = 1", after="start")
        again = await ran(session, cell_id=second.cell_id)
        assert again.status == "ok"
        below = await ran(session, "z = x")
        await ran(session, "1 / 0")
        dying = await ran(session, "import os; os._exit(1)")
        assert dying.status == "dead"
        plan = session.plan("rebuild")
        assert plan == [first.cell_id, second.cell_id, below.cell_id]
        run = await over(await session.rebuild())
        assert [job.cell_id for job in run.executions] == plan
        assert text_of(await ran(session, "x, y, z")) == "(2, 1, 2)"


async def test_a_run_is_stopped_by_an_interrupt(sessions: Sessions) -> None:
    """The cells behind it do not run."""
    async with opened(sessions) as session:
        session.edit_cell(source="print('in', flush=True)\nwhile True: pass", edit_mode="insert")
        session.edit_cell(source="touched = True", edit_mode="insert")
        run = await session.run_all()
        with anyio.fail_after(10):
            while not run.executions:
                await anyio.lowlevel.checkpoint()
        await until_printed(run.executions[0], "in")
        await soon(session.interrupt())
        await over(run)
        assert [job.status for job in run.executions] == ["interrupted"]


async def test_a_run_waits_for_input_with_its_cell(sessions: Sessions) -> None:
    """Waiting for the run returns, so that somebody can answer."""
    async with opened(sessions) as session:
        session.edit_cell(source="line = input('? ')", edit_mode="insert")
        run = await session.run_all()
        assert await run.wait(10)
        assert not run.finished
        await asking(run.executions[0])
        await session.answer("x")
        await finished(run.executions[0])


async def test_a_cell_deleted_since_the_plan_is_passed_over(sessions: Sessions) -> None:
    """The others run."""
    async with opened(sessions) as session:
        first = session.edit_cell(source="import time; time.sleep(0.05)", edit_mode="insert")
        second = session.edit_cell(source="1 / 0", edit_mode="insert")
        assert first is not None
        assert second is not None
        run = await session.run_all()
        session.edit_cell(cell_id=second["id"], edit_mode="delete")
        await over(run)
        assert [job.cell_id for job in run.executions] == [first["id"]]


async def test_a_cell_that_became_text_since_the_plan_is_passed_over(sessions: Sessions) -> None:
    """Also in a rebuild, which compares outputs; the others run."""
    async with opened(sessions) as session:
        first = await ran(session, "import time; time.sleep(0.1)")
        second = await ran(session, "2")
        third = await ran(session, "3")
        run = await session.rebuild()
        session.edit_cell(cell_id=second.cell_id, source="text", edit_mode="replace", cell_type="markdown")
        await over(run)
        assert [job.cell_id for job in run.executions] == [first.cell_id, third.cell_id]


async def test_a_run_that_is_stopped_while_it_compares_begins_no_more(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a cell gave before may take long to look at."""
    async with opened(sessions) as session:
        await ran(session, "1")

        async def looked_at(outputs: list[Output]) -> Taken:
            await session.stop_running()
            return await taken(outputs)

        monkeypatch.setattr(session_runs, "taken", looked_at)
        run = await session.rebuild()
        await over(run)
        assert run.executions == []
        assert "stopped" in run.summary()


async def test_there_is_no_plan_for_other_actions(sessions: Sessions) -> None:
    """The refusal names those with a plan."""
    async with opened(sessions) as session:
        with pytest.raises(BadRequest, match="run_all"):
            session.plan("restart")
        with pytest.raises(UnknownExecution):
            session.run("r-00000000")


# Staleness


async def test_what_is_stale_and_why(sessions: Sessions) -> None:
    """Edited since it ran, run before a cell above it, run in an earlier kernel; nothing else."""
    async with opened(sessions) as session:
        a, b, c = [(await ran(session, source)).cell_id for source in ("a = 1", "b = a", "c = b")]
        never = session.edit_cell(source="never ran", edit_mode="insert")
        assert never is not None
        assert session.stale() == {}
        session.edit_cell(cell_id=b, source="b = a + 1")
        assert session.stale() == {b: "edited since it ran"}
        session.edit_cell(cell_id=b, source="b = a")
        assert session.stale() == {}
        await ran(session, cell_id=a)
        assert session.stale() == {b: "a cell above ran later", c: "a cell above ran later"}
        session.edit_cell(cell_id=c, edit_mode="move", after="start")
        assert set(session.stale()) == {b}
        await soon(session.restart())
        assert set(session.stale()) == {a, b, c}
        assert set(session.stale().values()) == {"ran in an earlier kernel"}
        await ran(session, cell_id=a)
        assert set(session.stale()) == {b, c}


async def test_outputs_of_an_opened_notebook_are_of_an_earlier_kernel(sessions: Sessions) -> None:
    """They came from somebody's kernel, not from this one."""
    cell = code("1", count=3)
    write_notebook(sessions.settings.workspace / "old.ipynb", cell, code("2"))
    async with opened(sessions, notebook="old.ipynb") as session:
        assert session.stale() == {cell["id"]: "ran in an earlier kernel"}


async def test_a_stopped_run_begins_no_more_cells(sessions: Sessions) -> None:
    """Also when its running cell ends well before the interrupt reaches it."""
    async with opened(sessions) as session:
        for _ in range(3):
            session.edit_cell(source="try:\n    while True: pass\nexcept KeyboardInterrupt: pass", edit_mode="insert")
        run = await session.run_all()
        with anyio.fail_after(10):
            while not (run.executions and run.executions[0].status == "running"):
                await anyio.lowlevel.checkpoint()
        await soon(session.stop(run))
        await over(run)
        assert len(run.executions) == 1
        assert "stopped" in run.summary()


async def test_a_second_run_is_refused_while_the_first_goes_on(sessions: Sessions) -> None:
    """Their cells would mix; the refusal names the first one's id."""
    async with opened(sessions) as session:
        session.edit_cell(source="line = input('? ')", edit_mode="insert")
        run = await session.run_all()
        with pytest.raises(BadRequest, match=run.id):
            await session.run_stale()
        await asking(run.executions[0]) if run.executions else None
        await soon(session.interrupt())
        await over(run)
        second = await session.run_all()
        await soon(session.stop(second))
        await over(second)


@pytest.mark.parametrize("action", ["restart", "shutdown"])
async def test_a_run_ends_with_its_kernel(sessions: Sessions, action: str) -> None:
    """Its other cells do not run on the next kernel."""
    async with opened(sessions) as session:
        session.edit_cell(source="line = input('? ')", edit_mode="insert")
        session.edit_cell(source="line", edit_mode="insert")
        run = await session.run_all()
        with anyio.fail_after(10):
            while not run.executions:
                await anyio.lowlevel.checkpoint()
        await asking(run.executions[0])
        await soon(session.restart() if action == "restart" else session.shutdown())
        await over(run)
        assert len(run.executions) == 1
        assert "1 of 2 cells ran" in run.summary()


# What a rebuild brings back


async def test_a_rebuild_that_was_interrupted_is_begun_again_whole(sessions: Sessions) -> None:
    """What had succeeded before is still what is brought back, in the order it ran first."""
    async with opened(sessions) as session:
        wait = "import os, time\nwhile os.path.exists('wait-here'): time.sleep(0.01)"
        first, second, third = [(await ran(session, source)).cell_id for source in ("a = 1", wait, "c = a + 1")]
        gate = session.workspace / "wait-here"
        gate.touch()
        run = await session.rebuild()
        with anyio.fail_after(10):
            while len(run.executions) < 2 or run.executions[1].status != "running":
                await anyio.lowlevel.checkpoint()
        await soon(session.interrupt())
        await over(run)
        added = await ran(session, "d = a")
        gate.unlink()
        assert session.plan("rebuild") == [first, second, third, added.cell_id]
        again = await over(await session.rebuild())
        assert [job.status for job in again.executions] == ["ok"] * 4
        assert text_of(await ran(session, "a, c, d")) == "(1, 2, 1)"


async def test_an_empty_restart_does_not_forget_what_a_rebuild_brings(sessions: Sessions) -> None:
    """Until something runs on the new kernel: then that is what counts."""
    async with opened(sessions) as session:
        first = await ran(session, "a = 1")
        await soon(session.kill())
        await soon(session.restart())
        assert session.plan("rebuild") == [first.cell_id]
        second = await ran(session, "b = 2")
        assert session.plan("rebuild") == [second.cell_id]


async def test_a_rebuild_after_a_restart_is_begun_again_whole_as_well(sessions: Sessions) -> None:
    """The replay belongs to what it replays, and not to the empty kernel before it."""
    async with opened(sessions) as session:
        source = "if globals().get('fails'): 1 / 0"
        cells = [(await ran(session, each)).cell_id for each in ("a = 1", source, "c = 3")]
        await soon(session.restart())
        session.edit_cell(cell_id=cells[0], source="a, fails = 1, True")
        run = await over(await session.rebuild())
        assert [job.status for job in run.executions] == ["ok", "error"]
        assert session.plan("rebuild") == cells
