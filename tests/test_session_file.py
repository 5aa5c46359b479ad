"""The file of a live session: saved, merged, never written elsewhere."""

import json
import shutil

import anyio
import anyio.lowlevel
import pytest

from mcp_notebook.errors import FileRefused
from mcp_notebook.sessions import Connection, Sessions
from tests.live import busy, code, opened, ran, soon, text_of, write_notebook

pytestmark = pytest.mark.anyio


async def test_a_notebook_without_a_path_is_saved_under_its_name(sessions: Sessions) -> None:
    """As a pair; opened again it is the same notebook."""
    async with opened(sessions, name="My Work") as session:
        await ran(session, "x = 1")
        saved = await session.save()
        assert {place.suffix for place in saved.paths} == {".py", ".ipynb"}
        assert all(place.is_relative_to(session.workspace / "notebooks") for place in saved.paths)
        assert session.path is not None
        again = await session.save()
        assert again.paths == saved.paths
        ids = [cell["id"] for cell in session.notebook.cells]
    relative = str(session.path.relative_to(session.workspace))
    async with opened(sessions, notebook=relative) as session:
        assert [cell["id"] for cell in session.notebook.cells] == ids


async def test_saving_while_a_cell_runs_keeps_what_it_gave_so_far(sessions: Sessions) -> None:
    """And the cell goes on."""
    async with opened(sessions, name="running") as session:
        job = await busy(session)
        saved = await soon(session.save())
        ipynb = next(place for place in saved.paths if place.suffix == ".ipynb")
        assert "in" in "".join(json.loads(ipynb.read_text())["cells"][0]["outputs"][0]["text"])
        assert job.status == "running"
        await soon(session.interrupt())


async def test_outside_edits_are_merged_on_refresh_and_on_save(sessions: Sessions) -> None:
    """Neither side's cells are lost; ids and outputs stay with their cells."""
    async with opened(sessions, name="merged") as session:
        job = await ran(session, "x = 1\nx")
        assert await session.refresh() == []
        await session.save()
        assert session.path is not None
        session.path.write_text(session.path.read_text() + "\n# %%\noutside = 1\n")
        await ran(session, "inside = 2")
        await session.refresh()
        sources = [cell["source"] for cell in session.notebook.cells]
        assert sorted(sources) == ["inside = 2", "outside = 1", "x = 1\nx"]
        assert session.notebook.cell(job.cell_id)["outputs"]
        session.path.write_text(session.path.read_text() + "\n# %%\nlater = 3\n")
        await session.save()
        text = session.path.read_text()
        for source in ("inside = 2", "outside = 1", "later = 3"):
            assert source in text
        assert "later = 3" in [cell["source"] for cell in session.notebook.cells]


async def test_an_edit_on_both_sides_keeps_both(sessions: Sessions) -> None:
    """And it is said."""
    async with opened(sessions, name="conflict") as session:
        job = await ran(session, "x = 1")
        await session.save()
        assert session.path is not None
        session.path.write_text(session.path.read_text().replace("x = 1", "x = 'outside'"))
        session.edit_cell(cell_id=job.cell_id, source="x = 'inside'")
        saved = await session.save()
        text = session.path.read_text()
        assert "x = 'outside'" in text
        assert "x = 'inside'" in text
        assert saved.notes


async def test_a_cell_that_runs_while_the_file_is_merged_keeps_its_outputs(sessions: Sessions) -> None:
    """Late outputs find the cell in the merged document."""
    async with opened(sessions, name="late") as session:
        await ran(session, "1")
        await session.save()
        assert session.path is not None
        job = await busy(session)
        session.path.write_text(session.path.read_text() + "\n# %%\noutside = 1\n")
        await session.refresh()
        await soon(session.interrupt())
        assert session.notebook.cell(job.cell_id)["outputs"][-1]["ename"] == "KeyboardInterrupt"


async def test_saving_outside_the_workspace_is_refused(sessions: Sessions) -> None:
    """Or as something that is no notebook; nothing is written, and a later save works."""
    async with opened(sessions, name="refused") as session:
        await ran(session, "1")
        for place in ("../outside.py", "/tmp/outside.ipynb", "data.csv"):
            with pytest.raises(FileRefused):
                await session.save(place)
            assert session.path is None
        assert (await session.save()).paths


async def test_several_saves_at_once_end_with_one_file(sessions: Sessions) -> None:
    """Each is whole."""
    async with opened(sessions, name="at-once") as session:
        await ran(session, "1")
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(session.save)
            tasks.start_soon(session.refresh)
        assert session.path is not None
        assert session.path.read_text().count("# %%") == 1


async def test_a_display_is_updated_in_the_cell_that_showed_it(sessions: Sessions) -> None:
    """From a later cell, in the document as well."""
    async with opened(sessions) as session:
        first = await ran(session, "from IPython.display import display\nh = display('old', display_id='d')")
        await ran(session, "h.update('new')")
        assert text_of(first) == "'new'"
        assert session.notebook.cell(first.cell_id)["outputs"][0]["data"]["text/plain"] == "'new'"


async def test_ending_a_session_ends_all_that_waits(sessions: Sessions) -> None:
    """Nobody waits for ever."""
    connection = Connection()
    session = (await sessions.open(connection)).session
    running = await busy(session)
    queued = await session.execute_cell("1")
    await soon(sessions.end(session))
    assert (running.status, queued.status) == ("dead", "cancelled")
    assert sessions.of(connection) == []


async def test_a_name_that_is_taken_on_disk_gets_a_number(sessions: Sessions) -> None:
    """Tomorrow's notebook of the same name does not fail to be saved, and does not replace today's."""
    async with opened(sessions, name="daily") as session:
        await ran(session, "day = 1")
        today = await session.save()
    async with opened(sessions, name="daily") as session:
        await ran(session, "day = 2")
        tomorrow = await session.save()
    assert [place.stem for place in (*today.paths, *tomorrow.paths)] == ["daily", "daily", "daily-2", "daily-2"]
    assert "day = 1" in today.paths[0].read_text()


async def test_a_cell_that_an_editor_changes_again_and_again_stays_one(sessions: Sessions) -> None:
    """What was seen last is what the next change is compared with, though the cell is in no .ipynb yet."""
    async with opened(sessions, name="editor") as session:
        await ran(session, "x = 1")
        await session.save()
        assert session.path is not None
        text = session.path.read_text()
        for number in range(5):
            session.path.write_text(f"{text}\n# %%\nrewritten_{number} = [\n    {number},\n]\n")
            await session.refresh()
            assert len(session.notebook.cells) == 2, number
        ids = [cell["id"] for cell in session.notebook.cells]
        session.path.write_text(text)
        await session.refresh()
        assert [cell["id"] for cell in session.notebook.cells] == ids[:1]


async def test_a_program_that_renumbers_ids_at_each_write_adds_no_cells(sessions: Sessions) -> None:
    """Nor does it keep others from deleting some."""
    path = sessions.settings.workspace / "renumbered.ipynb"
    write_notebook(path, code("a = 1"), code("b = 2"), code("c = 3"))
    async with opened(sessions, notebook="renumbered.ipynb") as session:
        for last in ("c = 4", "c = 5", None):
            sources = ["a = 1", "b = 2", *([last] if last else [])]
            write_notebook(path, *map(code, sources))
            await session.refresh()
            assert [cell["source"] for cell in session.notebook.cells] == sources


async def test_two_texts_with_one_stem_are_two_notebooks(sessions: Sessions) -> None:
    """Each has an .ipynb of its own, and the outputs of neither are the other's."""
    (sessions.settings.workspace / "stem.md").write_text("# Notes\n\n```python\nprint('of the md')\n```\n")
    async with opened(sessions, notebook="stem.py") as first, opened(sessions, notebook="stem.md") as second:
        assert first is not second
        await ran(first, "print('of the py')")
        await first.save()
        await ran(second, cell_id=second.notebook.cells[1]["id"])
        await second.save()
        await first.save()
    for name, words in {"stem.py": "of the py", "stem.md": "of the md", "stem.ipynb": "of the py"}.items():
        async with opened(sessions, notebook=name) as session:
            shown = [cell["outputs"][0]["text"] for cell in session.notebook.cells if cell.get("outputs")]
            assert shown == [f"{words}\n"], name


async def test_two_sessions_are_not_saved_to_one_path(sessions: Sessions) -> None:
    """Also when neither file exists yet."""
    async with opened(sessions, notebook="wanted.py") as holder, opened(sessions) as other:
        with pytest.raises(FileRefused, match=holder.name):
            await other.save("wanted.ipynb")
        assert other.path is None


@pytest.mark.parametrize("odd", ["text", 5, [1], {"pair": "x"}, {"formats": 7}, None])
async def test_metadata_of_any_shape_is_opened_and_saved(sessions: Sessions, odd: object) -> None:
    """What others wrote under our keys or jupytext's is no reason to fail."""
    path = sessions.settings.workspace / "odd.ipynb"
    for key in ("mcp_notebook", "jupytext"):
        write_notebook(path, code("x = 1"))
        document = json.loads(path.read_text())
        document["metadata"][key] = odd
        path.write_text(json.dumps(document))
        async with opened(sessions, notebook="odd.ipynb") as session:
            await session.save("odd-copy.py")
        for written in sessions.settings.workspace.glob("odd-copy.*"):
            written.unlink()


async def test_edits_during_a_merge_are_kept(sessions: Sessions) -> None:
    """The merge of a long notebook takes a while, in which the agent goes on."""
    path = sessions.settings.workspace / "long.ipynb"
    cells = [code(f"x{n} = {n}") for n in range(3000)]
    write_notebook(path, *cells)
    async with opened(sessions, notebook="long.ipynb") as session:
        cells[0]["source"] = "edited = 'outside'"
        write_notebook(path, *cells)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.refresh)
            for number in (1, 2, 3):
                session.edit_cell(cell_id=cells[number]["id"], source=f"edited = {number}")
                await anyio.lowlevel.checkpoint()
            job = await ran(session, "shown = display(1, display_id=True)\nshown.update(2)")
        assert [cell["source"] for cell in session.notebook.cells[:4]] == [
            "edited = 'outside'",
            *(f"edited = {number}" for number in (1, 2, 3)),
        ]
        assert session.notebook.cell(job.cell_id)["outputs"][0]["data"]["text/plain"] == "2"
        await ran(session, "shown.update(3)")
        assert session.notebook.cell(job.cell_id)["outputs"][0]["data"]["text/plain"] == "3"


@pytest.mark.parametrize("halves", [("ipynb",), ("ipynb", "py")], ids=["the .ipynb", "both halves"])
async def test_a_copy_is_a_notebook_of_its_own(sessions: Sessions, halves: tuple[str, ...]) -> None:
    """Whatever is done in it, the original's files stay as they are; also while that is open."""
    workspace = sessions.settings.workspace
    async with opened(sessions, notebook="original.py") as original:
        await ran(original, "print('result')")
        await original.save()
        for half in halves:
            shutil.copy(workspace / f"original.{half}", workspace / f"copy.{half}")
        before = {half: (workspace / f"original.{half}").read_bytes() for half in ("py", "ipynb")}
        async with opened(sessions, notebook="copy.ipynb") as copy:
            assert copy is not original
            assert copy.notebook.cells[0]["outputs"][0]["text"] == "result\n"
            copy.edit_cell(source="only_in_the_copy = 1", edit_mode="insert")
            saved = await copy.save()
            assert {place.name for place in saved.paths} == {f"copy.{half}" for half in halves}
        assert {half: (workspace / f"original.{half}").read_bytes() for half in before} == before
    for path in workspace.glob("copy.*"):
        path.unlink()


@pytest.mark.parametrize("how", ["save", "refresh"])
async def test_a_display_is_still_updated_after_a_merge(sessions: Sessions, how: str) -> None:
    """What another program changed elsewhere in the file takes no output out of the document's reach."""
    async with opened(sessions, name="displayed") as session:
        shown = await ran(session, "shown = display('one', display_id=True)")
        await session.save()
        assert session.path is not None
        session.path.write_text(session.path.read_text() + "\n# %%\noutside = 1\n")
        await (session.save() if how == "save" else session.refresh())
        assert len(session.notebook.cells) == 2
        await ran(session, "shown.update('two')")
        assert session.notebook.cell(shown.cell_id)["outputs"][0]["data"]["text/plain"] == "'two'"
