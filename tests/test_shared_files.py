"""Files that other programs edit, delete or break: nothing that anybody wrote is lost."""

import copy
import json
import os
from pathlib import Path

import pytest

from mcp_notebook.errors import FileRefused, SaveFailed
from mcp_notebook.files import changed, locate, read, write
from tests.notebooks import SHELF, code, edit, notebook, ran, saved, says


def test_ids_survive_an_edit_of_the_text(tmp_path: Path) -> None:
    """A cell edited and one added in an editor: ids and outputs stay, what was changed shows new source."""
    saved(tmp_path)
    edit(tmp_path / "a.py", "# %%\nx = 1\nprint(x)", "# %%\nimport sys\n\n# %%\nx = 10\nprint(x)")
    cells = read(locate("a.py", tmp_path)).notebook.cells
    assert [cell.id for cell in cells[::1]] == ["a", cells[1].id, "b", "c"]
    assert (cells[2].source, cells[2].outputs[0].text) == ("x = 10\nprint(x)", "b")
    assert cells[1].outputs == []
    assert read(locate("a.py", tmp_path)).notebook.cells[1].id == cells[1].id


def test_tag_added_in_the_text(tmp_path: Path) -> None:
    """Tags are the text's: one added or removed there is so in the notebook."""
    saved(tmp_path, code("a", "n = 1", tags=["old"]), code("b", "m = 2"))
    edit(tmp_path / "a.py", '# %% tags=["old"]', "# %%")
    edit(tmp_path / "a.py", "# %%\nm", '# %% tags=["parameters"]\nm')
    cells = read(locate("a", tmp_path)).notebook.cells
    assert [cell.metadata.get("tags") for cell in cells] == [None, ["parameters"]]


def test_edit_of_the_ipynb_only(tmp_path: Path) -> None:
    """Where only the .ipynb was edited (JupyterLab without jupytext), its cells are taken and said."""
    base = saved(tmp_path)
    edit(tmp_path / "a.ipynb", "x = 1", "x = 5")
    found = read(base.pair)
    assert found.notebook.cells[1].source == "x = 5\nprint(x)"
    assert "its cells were taken" in found.notes[0]
    write(base.pair, found.notebook, found)
    assert "x = 5" in (tmp_path / "a.py").read_text()
    assert read(base.pair).notes == ()


def test_merge_with_an_edit_on_disk(tmp_path: Path) -> None:
    """An edit of the .py while we ran and edited other cells: both are in the file, outputs ours."""
    base = saved(tmp_path)
    ours = ran(base.notebook)
    ours.cells[2].source = "y = 3"
    edit(tmp_path / "a.py", "import os", "import os\nimport sys")
    assert changed(base)
    written = write(base.pair, ours, base)
    assert [cell.source for cell in written.notebook.cells] == ["import os\nimport sys", "x = 1\nprint(x)", "y = 3"]
    assert written.notebook.cells[0].outputs[0].text == "a ran\n"
    assert written.notes == ("The file had changed on disk and was merged by cell (edited there: a).",)
    assert says(read(base.pair).notebook) == says(written.notebook)
    assert not changed(written)


def test_conflict_with_an_edit_on_disk(tmp_path: Path) -> None:
    """The same line edited twice: two cells in both files, and the next save is quiet."""
    base = saved(tmp_path)
    ours = copy.deepcopy(base.notebook)
    ours.cells[2].source = "y = 3"
    edit(tmp_path / "a.py", "y = 2", "y = 4")
    written = write(base.pair, ours, base)
    assert [cell.source for cell in written.notebook.cells[2:]] == ["y = 3", "y = 4"]
    assert '# %% tags=["conflict-on-disk"]\ny = 4' in (tmp_path / "a.py").read_text()
    assert len(written.notes) == 1
    again = write(base.pair, written.notebook, written)
    assert again.notes == ()
    assert again.digests == written.digests


def test_the_base_is_not_the_callers(tmp_path: Path) -> None:
    """Editing the notebook that read() gave, in place, is an edit all the same."""
    base = saved(tmp_path)
    base.notebook.cells[0].source = "import re"
    edit(tmp_path / "a.py", "y = 2", "y = 4")
    written = write(base.pair, base.notebook, base)
    assert [cell.source for cell in written.notebook.cells] == ["import re", "x = 1\nprint(x)", "y = 4"]


def test_a_deleted_ipynb(tmp_path: Path) -> None:
    """Deleting the .ipynb of an open notebook loses neither ids nor outputs."""
    base = saved(tmp_path)
    (tmp_path / "a.ipynb").unlink()
    edit(tmp_path / "a.py", "x = 1", "x = 7")
    written = write(base.pair, base.notebook, base)
    assert [(cell.id, cell.outputs[0].text) for cell in written.notebook.cells] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert written.notebook.cells[1].source == "x = 7\nprint(x)"


def test_reading_without_the_ipynb(tmp_path: Path) -> None:
    """Read again beside what was known, a text alone keeps ids and outputs, also of an edited cell."""
    base = saved(tmp_path)
    (tmp_path / "a.ipynb").unlink()
    edit(tmp_path / "a.py", "x = 1", "x = 7")
    cells = read(base.pair, base).notebook.cells
    assert [(cell.id, cell.outputs[0].text) for cell in cells] == [("a", "a"), ("b", "b"), ("c", "c")]


def test_pairing_survives_callers_that_know_nothing_of_it(tmp_path: Path) -> None:
    """JupyterLab's pairing stays in the .ipynb although the notebook that is saved does not carry it."""
    base = saved(tmp_path)
    for source in ("import sys", "import re"):
        ours = notebook(*SHELF)
        ours.cells[0].source = source
        base = write(base.pair, ours, base)
    assert read(base.pair).notebook.metadata.jupytext.formats == "ipynb,py:percent"


def test_deleted_files(tmp_path: Path) -> None:
    """Files that vanished are written anew, and that is said."""
    base = saved(tmp_path)
    (tmp_path / "a.py").unlink()
    assert changed(base)
    assert write(base.pair, base.notebook, base).notes == ()
    (tmp_path / "a.py").unlink()
    (tmp_path / "a.ipynb").unlink()
    assert "gone from the disk" in write(base.pair, base.notebook, base).notes[0]
    assert says(read(base.pair).notebook) == says(base.notebook)


def test_another_notebook_is_in_the_way(tmp_path: Path) -> None:
    """A path where a notebook of others is, is refused; the same notebook again is not."""
    saved(tmp_path)
    pair = locate("a", tmp_path)
    before = [path.read_bytes() for path in pair.paths]
    with pytest.raises(FileRefused, match="another notebook already"):
        write(pair, notebook(code("z", "other")), None)
    assert [path.read_bytes() for path in pair.paths] == before
    assert write(pair, notebook(*SHELF), None).notes == ()


def test_a_broken_ipynb_is_not_overwritten(tmp_path: Path) -> None:
    """A file that broke on disk after it was read is refused and stays."""
    base = saved(tmp_path)
    (tmp_path / "a.ipynb").write_text("{")
    with pytest.raises(FileRefused, match="not valid JSON"):
        write(base.pair, base.notebook, base)
    assert (tmp_path / "a.ipynb").read_text() == "{"


def test_emptied_files(tmp_path: Path) -> None:
    """An empty .py beside a full .ipynb is filled from it; empty alone it is a new notebook; both are said."""
    base = saved(tmp_path)
    (tmp_path / "a.py").write_text("")
    found = read(base.pair)
    assert says(found.notebook) == says(base.notebook)
    write(base.pair, found.notebook, found)
    assert "x = 1" in (tmp_path / "a.py").read_text()
    (tmp_path / "new.py").write_text("")
    empty = read(locate("new.py", tmp_path))
    assert (empty.notebook.cells, len(found.notes), len(empty.notes)) == ([], 1, 1)


def test_a_text_that_cannot_be_read(tmp_path: Path) -> None:
    """A text that is not UTF-8 is refused by the reader too."""
    base = saved(tmp_path)
    (tmp_path / "a.py").write_bytes("# %%\nx = 'é'".encode("latin-1"))
    with pytest.raises(FileRefused, match="not UTF-8"):
        read(base.pair)


def test_old_minor_is_written_new(tmp_path: Path) -> None:
    """A mended notebook is written as 4.5 only when it is saved, with the ids that were read."""
    old = {"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [code("x", "1")]}
    del old["cells"][0]["id"]  # type: ignore[index]
    path = tmp_path / "a.ipynb"
    path.write_text(json.dumps(old))
    found = read(locate("a.ipynb", tmp_path))
    assert json.loads(path.read_text()) == old
    assert len(found.notes) == 2
    write(found.pair, found.notebook, found)
    assert says(read(found.pair).notebook) == says(found.notebook)
    assert read(found.pair).notes == ()


def test_a_foreign_ipynb_keeps_what_we_do_not_know(tmp_path: Path) -> None:
    """Unknown metadata of cells and of the notebook survive a round trip through a pair."""
    base = saved(tmp_path)
    ours = copy.deepcopy(base.notebook)
    ours.metadata["widgets"] = {"state": {"a": 1}}
    ours.cells[0].metadata["other"] = {"deep": [1, {"x": None}]}
    write(base.pair, ours, base)
    edit(tmp_path / "a.py", "y = 2", "y = 9")
    found = read(base.pair).notebook
    assert found.metadata["widgets"] == {"state": {"a": 1}}
    assert found.cells[0].metadata["other"] == {"deep": [1, {"x": None}]}


def test_fifty_megabytes(tmp_path: Path) -> None:
    """A notebook with 50 MB of outputs is written, read and compared."""
    big = ["<td>é row</td>\n" * 3_300 + str(i) for i in range(1_000)]
    pair = locate("big", tmp_path)
    base = write(pair, notebook(*(code(f"c{i}", f"x{i}", shown=html) for i, html in enumerate(big))), None)
    assert (tmp_path / "big.ipynb").stat().st_size > 50_000_000
    edit(tmp_path / "big.py", "x500\n", "x_500\n")
    ours = copy.deepcopy(base.notebook)
    ours.cells[1].source = "x_1"
    written = write(pair, ours, base)
    assert [written.notebook.cells[i].source for i in (1, 500)] == ["x_1", "x_500"]
    assert read(pair).notebook.cells[999].outputs[0].text == big[999]


def test_a_stamp_that_is_old_enough(tmp_path: Path) -> None:
    """Files whose stat did not move since they were read are not read again; a touched one is."""
    base = saved(tmp_path)
    for path in base.pair.paths:
        os.utime(path, (1, 1))
    assert not changed(base)
    edit(tmp_path / "a.py", "y = 2", "y = 3")
    os.utime(tmp_path / "a.py", (1, 1))
    assert changed(base)


def test_a_link_is_written_through(tmp_path: Path) -> None:
    """A link stays a link, its target gets the new content; one that was turned outside is refused."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "object-1").write_text("# %%\nx = 1\n")
    (workspace / "a.py").symlink_to("object-1")
    base = read(locate("a.py", workspace))
    base.notebook.cells[0].source = "x = 2"
    written = write(base.pair, base.notebook, base)
    assert (workspace / "a.py").is_symlink()
    assert (workspace / "object-1").read_text() == "# %%\nx = 2\n"
    (workspace / "a.py").unlink()
    (workspace / "a.py").symlink_to(tmp_path / "secret.py")
    with pytest.raises(FileRefused, match="outside the workspace"):
        write(written.pair, written.notebook, written)
    assert not (tmp_path / "secret.py").exists()


def test_missing_directories_are_made(tmp_path: Path) -> None:
    """Saving makes the directories on the way; a file in the way is named."""
    write(locate("deep/down/a", tmp_path), notebook(*SHELF), None)
    assert (tmp_path / "deep/down/a.py").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises((SaveFailed, FileRefused), match="file"):
        write(locate("file/a", tmp_path), notebook(*SHELF), None)
