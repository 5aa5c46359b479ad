"""One session: its cells, its executions, its requests."""

import anyio
import anyio.lowlevel
import nbformat
import pytest

from mcp_notebook.errors import BadRequest, RevisionChanged, UnknownCell, UnknownExecution
from mcp_notebook.notebook import revision
from mcp_notebook.sessions import Sessions
from tests.live import asking, busy, finished, opened, over, ran, soon, starting, text_of

pytestmark = pytest.mark.anyio

SURROGATE = "\ud83d"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "Pass `source`"),
        ({"source": "1", "revision": "abc"}, "pass its `cell_id`"),
        ({"cell_id": "x", "after": "start"}, "leave it out"),
        ({"source": "a\0b"}, "NUL character at 1"),
        ({"source": f"'{SURROGATE}'"}, "lone surrogate at character 1"),
        ({"cell_id": "nothere1"}, "nothere1"),
        ({"source": "1", "after": "nothere1"}, "nothere1"),
    ],
)
async def test_arguments_that_mean_nothing_are_refused(
    sessions: Sessions, arguments: dict[str, str], says: str
) -> None:
    """The document is as it was, and nothing is queued."""
    async with opened(sessions) as session:
        with pytest.raises(BadRequest, match=says):
            await session.execute_cell(**arguments)
        assert (session.notebook.cells, session.pending) == ([], [])


async def test_a_new_cell_goes_where_it_is_told(sessions: Sessions) -> None:
    """At the end, after another, or at the start."""
    async with opened(sessions) as session:
        last = await ran(session, "'last'")
        await ran(session, "'first'", after="start")
        first = session.notebook.cells[0]["id"]
        await ran(session, "'second'", after=first)
        assert [cell["source"] for cell in session.notebook.cells] == ["'first'", "'second'", "'last'"]
        assert session.notebook.cells[2]["id"] == last.cell_id


async def test_a_cell_is_edited_and_run_again_in_its_place(sessions: Sessions) -> None:
    """The revision guards it; without source it runs as it is."""
    async with opened(sessions) as session:
        job = await ran(session, "1 / 0")
        assert job.status == "error"
        with pytest.raises(RevisionChanged):
            await session.execute_cell("2", cell_id=job.cell_id, revision="00000000")
        again = await ran(session, "1 / 1", cell_id=job.cell_id, revision=job.revision)
        assert (again.status, text_of(again)) == ("ok", "1.0")
        third = await ran(session, cell_id=job.cell_id)
        assert third.execution_count == 3
        assert len(session.notebook.cells) == 1
        assert session.notebook.cells[0]["outputs"][0]["data"]["text/plain"] == "1.0"


async def test_a_markdown_cell_is_not_run(sessions: Sessions) -> None:
    """The refusal says what edits it."""
    async with opened(sessions) as session:
        cell = session.edit_cell(source="# Title", edit_mode="insert", cell_type="markdown")
        assert cell is not None
        with pytest.raises(BadRequest, match="edit_cell"):
            await session.execute_cell(cell_id=cell["id"])


async def test_a_cell_deleted_while_it_runs_ends_as_any_other(sessions: Sessions) -> None:
    """Its execution can still be read; the document stays without it."""
    async with opened(sessions) as session:
        job = await busy(session)
        session.edit_cell(cell_id=job.cell_id, edit_mode="delete")
        await soon(session.interrupt())
        assert job.status == "interrupted"
        assert session.notebook.cells == []
        assert session.execution(job.id) is job
        with pytest.raises(UnknownCell):
            session.execution(cell_id=job.cell_id)


async def test_the_document_shows_what_a_cell_gave(sessions: Sessions) -> None:
    """Outputs, count, nbclient's timings, all of them valid."""
    async with opened(sessions) as session:
        for number in range(10):
            job = await ran(session, f"print({number}); {number}")
            with anyio.fail_after(5):
                while "iopub.status.idle" not in session.notebook.cell(job.cell_id)["metadata"]["execution"]:
                    await anyio.lowlevel.checkpoint()
        cell = session.notebook.cells[-1]
        assert cell["execution_count"] == 10
        assert [output["output_type"] for output in cell["outputs"]] == ["stream", "execute_result"]
        assert set(cell["metadata"]["execution"]) == {
            "iopub.execute_input",
            "iopub.status.busy",
            "iopub.status.idle",
            "shell.execute_reply",
        }
        nbformat.validate(session.notebook.node)


async def test_executions_are_found_by_id_and_by_cell(sessions: Sessions) -> None:
    """With neither it is the one that runs, or ran last."""
    async with opened(sessions) as session:
        with pytest.raises(UnknownExecution):
            session.execution()
        first = await ran(session, "1")
        second = await ran(session, cell_id=first.cell_id)
        assert session.execution(first.id) is first
        assert session.execution(cell_id=first.cell_id) is second
        assert session.execution() is second
        with pytest.raises(UnknownExecution):
            session.execution("e-00000000")
        with pytest.raises(UnknownCell):
            session.execution(cell_id="nothere1")


async def test_a_source_of_5_mb_is_a_cell_like_any_other(sessions: Sessions) -> None:
    """Run, kept, and given a revision."""
    async with opened(sessions) as session:
        job = await ran(session, "big = '" + "x" * 5_000_000 + "'\nlen(big)")
        assert text_of(job) == "5000000"
        assert job.revision == revision(session.notebook.cells[0])


# Requests


async def test_a_repeated_request_attaches_to_the_first(sessions: Sessions) -> None:
    """While it runs and after it has ended; the cell ran once."""
    async with opened(sessions) as session:
        await ran(session, "count = 0")
        calls = [await session.execute_cell("count += 1; count", request_id="r1") for _ in range(3)]
        await finished(calls[0])
        calls.append(await session.execute_cell("count += 1; count", request_id="r1"))
        assert len({job.id for job in calls}) == 1
        assert text_of(calls[0]) == "1"
        assert len(session.notebook.cells) == 2


async def test_a_request_id_with_other_arguments_is_refused(sessions: Sessions) -> None:
    """Whatever differs; and a run does not answer to a cell's id."""
    async with opened(sessions) as session:
        await ran(session, "1", request_id="r1")
        for arguments in ({"source": "2"}, {"source": "1", "after": "start"}):
            with pytest.raises(BadRequest, match="another call"):
                await session.execute_cell(request_id="r1", **arguments)
        with pytest.raises(BadRequest, match="another call"):
            await session.run_all(request_id="r1")


async def test_a_request_that_was_refused_may_be_repeated(sessions: Sessions) -> None:
    """What never began is not attached to; nor is what a dead kernel did not run."""
    async with opened(sessions) as session:
        with pytest.raises(UnknownCell):
            await session.execute_cell("1", after="nothere1", request_id="r1")
        assert (await ran(session, "1", request_id="r1")).status == "ok"
        await soon(session.kill())
        assert (await session.execute_cell("2", request_id="r2")).status == "dead"
        await soon(session.restart())
        assert (await ran(session, "2", request_id="r2")).status == "ok"


async def test_a_repeated_rebuild_is_one_rebuild(sessions: Sessions) -> None:
    """Also when the second call comes while the kernel of the first one starts."""
    async with opened(sessions) as session:
        await ran(session, "x = 1")
        runs = []

        async def rebuild() -> None:
            runs.append(await session.rebuild(request_id="r1"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(rebuild)
            tasks.start_soon(rebuild)
        assert runs[0] is runs[1]
        await over(runs[0])
        assert [job.status for job in runs[0].executions] == ["ok"]


@pytest.mark.parametrize("source", ["exit()", "quit"])
async def test_a_cell_that_calls_exit_says_what_it_did(sessions: Sessions, source: str) -> None:
    """The kernel has ended with that cell: what was queued behind it does not run on it."""
    async with opened(sessions, name="exit") as session:
        leaving = await session.execute_cell(source)
        behind = await session.execute_cell("1")
        assert "called exit()" in (await finished(leaving)).message
        assert (await finished(behind)).status == "cancelled"
        assert session.state == "dead"


async def test_exit_that_keeps_the_kernel_keeps_it(sessions: Sessions) -> None:
    """Nothing is said to be lost that is not."""
    async with opened(sessions) as session:
        job = await ran(session, "kept = 1; exit(keep_kernel=True)")
        assert (job.status, job.message) == ("ok", "")
        assert text_of(await ran(session, "kept")) == "1"


# The document while and after something runs


async def test_outputs_stay_when_the_next_run_of_the_cell_never_began(sessions: Sessions) -> None:
    """A cell that is queued again and then cancelled shows what its last run gave."""
    async with opened(sessions) as session:
        first = await session.execute_cell("line = input('? ')\nprint('given')")
        second = await session.execute_cell(cell_id=first.cell_id)
        await asking(first)
        await session.cancel(second)
        await session.answer("go")
        await finished(first)
        assert session.notebook.cell(first.cell_id)["outputs"][0]["text"] == "given\n"
        assert session.execution(cell_id=first.cell_id) is first
        assert session.stale() == {}


async def test_a_restarted_kernel_runs_where_the_first_one_did(sessions: Sessions) -> None:
    """Saving the notebook elsewhere does not move the files that its cells read."""
    async with opened(sessions, name="stays") as session:
        before = text_of(await ran(session, "import os; print(os.getcwd())"))
        await session.save()
        assert session.path is not None
        assert session.path.parent != session.workspace
        await soon(session.restart())
        assert text_of(await ran(session, "import os; print(os.getcwd())")) == before


async def test_a_cancelled_restart_is_told_as_what_it_is(sessions: Sessions) -> None:
    """The old kernel is gone and no new one came: not starting for ever, but shut down."""
    async with opened(sessions) as session:
        await ran(session, "x = 1")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.restart)
            await starting(session)
            tasks.cancel_scope.cancel()
        assert session.state == "shutdown"
        assert (await session.execute_cell("1")).status == "dead"
        await soon(session.restart())
        assert (await ran(session, "1")).status == "ok"
