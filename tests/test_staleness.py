"""Which cells are stale, against the ways in which a notebook changes under them, and the guard of a revision."""

import copy
import hashlib

import pytest

from mcp_notebook.errors import RevisionChanged
from mcp_notebook.notebook import revision
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from tests.live import code, finished, opened, over, ran, soon, write_notebook

pytestmark = pytest.mark.anyio

EDITED = "edited since it ran"
BELOW = "a cell above ran later"
EARLIER = "ran in an earlier kernel"


async def cells(session: Session, *sources: str) -> list[str]:
    """Cells that ran one after the other, by id."""
    return [(await ran(session, source)).cell_id for source in sources]


async def test_what_counts_is_what_ran(sessions: Sessions) -> None:
    """Not what the cell was when it ended: edited while it ran it is stale, and edited back it is not."""
    async with opened(sessions) as session:
        running = await session.execute_cell("line = input()")
        session.edit_cell(cell_id=running.cell_id, source="line = 'mine'")
        assert running.revision != revision(session.notebook.cell(running.cell_id))
        await running.wait(20)
        await session.answer("theirs")
        await finished(running)
        assert session.stale() == {running.cell_id: EDITED}
        session.edit_cell(cell_id=running.cell_id, source="line = input()")
        assert session.stale() == {}


async def test_a_cell_that_waits_or_was_cancelled_is_as_it_was(sessions: Sessions) -> None:
    """Only one that began counts as run, for itself and for the cells below."""
    async with opened(sessions) as session:
        above, below = await cells(session, "a = 1", "b = a")
        asks = await session.execute_cell("input()", after=below)
        waits = await session.execute_cell(cell_id=above)
        assert session.stale() == {}
        await session.cancel(waits)
        await asks.wait(20)
        await session.answer("x")
        await finished(asks)
        assert waits.status == "cancelled"
        assert session.stale() == {}


async def test_a_failed_cell_above_counts(sessions: Sessions) -> None:
    """What it did before its error may matter; itself it is not stale."""
    async with opened(sessions) as session:
        above, below = await cells(session, "a = 1", "b = a")
        await ran(session, "a = 2; 1/0", cell_id=above)
        assert session.stale() == {below: BELOW}


async def test_moving_and_deleting(sessions: Sessions) -> None:
    """What counts is the order that cells have now, and only cells that are there."""
    async with opened(sessions) as session:
        a, b, c = await cells(session, "a = 1", "b = 2", "c = 3")
        session.edit_cell(cell_id=c, edit_mode="move", after="start")
        assert session.stale() == {a: BELOW, b: BELOW}
        session.edit_cell(cell_id=c, edit_mode="move")
        assert session.stale() == {}
        session.edit_cell(cell_id=a, edit_mode="move")
        assert session.stale() == {a: BELOW}
        session.edit_cell(cell_id=a, edit_mode="move", after="start")
        await ran(session, cell_id=b)
        assert session.stale() == {c: BELOW}
        session.edit_cell(cell_id=b, edit_mode="delete")
        assert session.stale() == {}


async def test_markdown_is_never_stale_and_makes_nothing_stale(sessions: Sessions) -> None:
    """Also a cell that became markdown after it ran; when it is code again, what ran counts again."""
    async with opened(sessions) as session:
        a, b = await cells(session, "a = 1", "b = 2")
        session.edit_cell(source="# Text", edit_mode="insert", cell_type="markdown", after=a)
        await ran(session, cell_id=a)
        assert session.stale() == {b: BELOW}
        session.edit_cell(cell_id=a, cell_type="markdown")
        assert session.stale() == {}
        session.edit_cell(cell_id=b, cell_type="raw", source="edited")
        assert session.stale() == {}
        session.edit_cell(cell_id=b, cell_type="code")
        assert session.stale() == {b: EDITED}
        session.edit_cell(cell_id=b, source="b = 2")
        session.edit_cell(cell_id=a, cell_type="code")
        assert session.stale() == {b: BELOW}


async def test_an_earlier_life_makes_nothing_stale_in_this_one(sessions: Sessions) -> None:
    """A cell above that ran in it does not count, however late that was; below, the cells of this life do."""
    async with opened(sessions) as session:
        a, b, c = await cells(session, "a = 1", "b = 2", "c = 3")
        await ran(session, cell_id=a)
        await soon(session.restart())
        await ran(session, cell_id=b)
        assert session.stale() == {a: EARLIER, c: EARLIER}
        session.edit_cell(cell_id=c, source="c = 4")
        assert session.stale() == {a: EARLIER, c: EARLIER}
        await ran(session, cell_id=c)
        assert session.stale() == {a: EARLIER}


async def test_run_stale_makes_all_fresh_or_stops(sessions: Sessions) -> None:
    """An edited cell makes those below stale when it runs: they are run next; behind an error nothing runs."""
    async with opened(sessions) as session:
        a, b, c = await cells(session, "a = 1", "b = a", "c = b")
        session.edit_cell(cell_id=a, source="a = undefined")
        session.edit_cell(cell_id=c, source="c = 5")
        run = await over(await session.run_stale())
        assert [job.cell_id for job in run.executions] == [a]
        assert session.stale() == {b: BELOW, c: EDITED}
        session.edit_cell(cell_id=a, source="a = 2")
        for _ in range(2):
            await over(await session.run_stale())
        assert session.stale() == {}
        assert str((await ran(session, "(a, b, c)")).outputs[0]["data"]["text/plain"]) == "(2, 2, 5)"


async def test_what_an_opened_file_shows_is_of_an_earlier_kernel(sessions: Sessions) -> None:
    """Outputs without a count too; a cell that shows nothing never ran, as far as is known."""
    shown, silent = code("1"), code("2")
    shown["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "1\n"}]
    write_notebook(sessions.settings.workspace / "counts.ipynb", shown, silent)
    async with opened(sessions, notebook="counts.ipynb") as session:
        assert session.stale() == {shown["id"]: EARLIER}
        assert session.plan("run_stale") == [shown["id"]]


@pytest.mark.parametrize("source", ["x = 1\n", "\nx = 1", "x = 1  \n\n", "%matplotlib inline\nx = 1\n"])
async def test_saving_and_reading_back_edits_nothing(sessions: Sessions, source: str) -> None:
    """What the text of a pair cannot hold, such as an empty line at the end, is no edit when another cell changed."""
    async with opened(sessions, name="back") as session:
        first, second = await cells(session, source, "y = 2")
        await session.save("back.py")
        path = sessions.settings.workspace / "back.py"
        path.write_text(path.read_text().replace("y = 2", "y = 3"))
        await session.refresh()
        assert session.stale() == {second: EDITED}
        assert session.notebook.cell(first)["source"] == source
    for path in sessions.settings.workspace.glob("back.*"):
        path.unlink()


async def test_a_revision_guards_every_change(sessions: Sessions) -> None:
    """It is of type and source; another one refuses, and leaves everything as it was."""
    async with opened(sessions) as session:
        (cell_id,) = await cells(session, "a = 'ä'")
        before = hashlib.sha256("code\na = 'ä'".encode()).hexdigest()[:8]
        assert revision(session.notebook.cell(cell_id)) == before
        session.edit_cell(cell_id=cell_id, source="a = 2", revision=before)
        as_it_is = copy.deepcopy(session.notebook.node)
        for wrong in (before, before.upper(), "", revision(session.notebook.cell(cell_id))[:7]):
            with pytest.raises(RevisionChanged):
                session.edit_cell(cell_id=cell_id, source="a = 3", revision=wrong)
            with pytest.raises(RevisionChanged):
                session.edit_cell(cell_id=cell_id, source="3", old_source="2", revision=wrong)
            with pytest.raises(RevisionChanged):
                session.edit_cell(cell_id=cell_id, cell_type="markdown", revision=wrong)
            with pytest.raises(RevisionChanged):
                session.edit_cell(cell_id=cell_id, edit_mode="delete", revision=wrong)
            with pytest.raises(RevisionChanged):
                session.edit_cell(cell_id=cell_id, edit_mode="move", after="start", revision=wrong)
            with pytest.raises(RevisionChanged):
                await session.execute_cell(cell_id=cell_id, revision=wrong)
            with pytest.raises(RevisionChanged):
                await session.execute_cell("a = 3", cell_id=cell_id, revision=wrong)
        assert session.notebook.node == as_it_is
        assert session.pending == []
        code_revision = revision(session.notebook.cell(cell_id))
        session.edit_cell(cell_id=cell_id, cell_type="markdown", revision=code_revision)
        with pytest.raises(RevisionChanged):
            session.edit_cell(cell_id=cell_id, edit_mode="delete", revision=code_revision)
