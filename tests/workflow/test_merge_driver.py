"""git's merge of notebooks, as git calls it: what is written, what is left to git, and how that is told."""

import json
from pathlib import Path

import nbformat
import pytest

from mcp_notebook.workflow.merge_driver import CLEAN, CONFLICT, NOT_MERGED, main
from tests.notebooks import code, notebook

HEADER = "# ---\n# jupyter:\n#   kernelspec:\n#     name: {}\n#     display_name: x\n#     language: python\n# ---\n\n"


def percent(*sources: str) -> str:
    """A text of these cells."""
    return "\n".join(f"# %%\n{source}\n" for source in sources)


def merged(tmp_path: Path, name: str, base: str, ours: str, theirs: str) -> tuple[int, str]:
    """The exit code, and what is in OURS afterwards."""
    files = [tmp_path / each for each in ("base", "ours", "theirs")]
    for file, text in zip(files, (base, ours, theirs), strict=True):
        file.write_text(text)
    return main([*map(str, files), name]), files[1].read_text()


def book(**cells: str) -> str:
    """An .ipynb of code cells by their ids."""
    return json.dumps(notebook(*(code(cell_id, source) for cell_id, source in cells.items())))


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        pytest.param(["a = 1"], ["a = 1", "b = 2"], ["a = 1", "c = 3"], ["a = 1", "b = 2", "c = 3"], id="both append"),
        pytest.param([], ["a = 1"], ["b = 2"], ["a = 1", "b = 2"], id="both begin"),
        pytest.param(["a", "b"], ["a", "x()", "b"], ["a", "x()", "b"], ["a", "x()", "b"], id="the same at one place"),
        pytest.param(["a", "b"], ["a", "x()", "b"], ["a", "b", "x()"], ["a", "x()", "b", "x()"], id="at two places"),
        pytest.param(["a = 1", "b = 2"], ["b = 2"], ["a = 1", "b = 22"], ["b = 22"], id="one deletes, one edits"),
        pytest.param(["a = 1", "b = 2"], ["b = 2", "a = 1"], ["a = 11", "b = 2"], ["b = 2", "a = 11"], id="moved"),
        pytest.param(["a\nb\nc"], ["a\nb\nc\nd"], ["z\na\nb\nc"], ["z\na\nb\nc\nd"], id="other lines of one cell"),
        pytest.param(["a = 1"], ["a = 2"], ["a = 3"], None, id="one cell on both sides"),
        pytest.param(["a = 1", "b"], ["b"], ["a = 2", "b"], None, id="deleted here and edited there"),
        pytest.param(["a = 1", "b"], ["import os", "b"], ["1 / 0", "b"], None, id="written anew on both sides"),
    ],
)
def test_texts(tmp_path: Path, base: list[str], ours: list[str], theirs: list[str], expected: list[str] | None) -> None:
    """Merged by cell where nothing is left to decide, else left to git as they were."""
    found = merged(tmp_path, "a.py", percent(*base), percent(*ours), percent(*theirs))
    assert found == ((NOT_MERGED, percent(*ours)) if expected is None else (CLEAN, percent(*expected)))


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        pytest.param("x = 1\n", "x = 1\ny = 1\n", "x = 2\n", id="scripts"),
        pytest.param("#%%\na\n", "#%%\na\n\n\n\n#%%\nb\n", "#%%\na\n#%%\nc\n", id="not as jupytext writes it"),
        pytest.param(
            HEADER.format("a") + percent("1"), HEADER.format("a") + percent("2"), HEADER.format("b") + percent("1"),
            id="another header there",
        ),
        pytest.param(percent("1", "2"), percent("11", "2"), "# %%\n1\n\n# %% slide=1\n2\n", id="other metadata there"),
        pytest.param("# %%\n1\n", "# %% a=1\n1\n", "# %% a=2\n1\n", id="metadata on both sides"),
        pytest.param(
            percent("abc"), percent("new", "written anew"), "# %% a=1\nabc\n", id="metadata of a cell that is gone"
        ),
        pytest.param(
            HEADER.format("a") + percent("abc"), HEADER.format("a") + percent("new", "written anew"),
            HEADER.format("a") + '# %% tags=["t"]\nabc\n', id="tags of a cell that is gone",
        ),
        pytest.param(percent("1"), percent("1", "é"), "\udcff", id="no UTF-8"),
    ],
)  # fmt: skip
def test_what_is_left_to_git(tmp_path: Path, base: str, ours: str, theirs: str) -> None:
    """Whatever is more than cells; the file is as it was."""
    files = [tmp_path / each for each in ("base", "ours", "theirs")]
    for file, text in zip(files, (base, ours, theirs), strict=True):
        file.write_bytes(text.encode(errors="surrogateescape"))
    assert main([*map(str, files), "a.py"]) == NOT_MERGED
    assert files[1].read_text() == ours


def test_a_tag_there_and_an_edit_here(tmp_path: Path) -> None:
    """Also where there is no header to say that there are tags."""
    found = merged(tmp_path, "a.py", percent("1", "2"), percent("11", "2"), '# %% tags=["t"]\n1\n\n# %%\n2\n')
    assert found == (CLEAN, '# %% tags=["t"]\n11\n\n# %%\n2\n')


def test_notebooks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Clean, with a conflict that is told, added on both sides, and what is no notebook."""
    base = book(a="1", b="2")
    code_, text = merged(tmp_path, "n.ipynb", base, book(a="1", b="2", c="3"), book(a="11", b="2", d="4"))
    found = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    assert (code_, [cell.id for cell in found.cells], found.cells[0].source) == (CLEAN, ["a", "b", "c", "d"], "11")
    assert capsys.readouterr().err == ""
    code_, text = merged(tmp_path, "n.ipynb", base, book(a="ours", b="2"), book(a="theirs", b="2"))
    found = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
    assert (code_, [cell.source for cell in found.cells]) == (CONFLICT, ["ours", "theirs", "2"])
    assert "n.ipynb: both sides changed the cell a; theirs follows it as the cell" in capsys.readouterr().err
    code_, text = merged(tmp_path, "n.ipynb", "", book(a="1"), book(b="2"))
    assert (code_, len(json.loads(text)["cells"])) == (CLEAN, 2)
    assert merged(tmp_path, "n.ipynb", base, "<<<<<<< ours\n", base) == (NOT_MERGED, "<<<<<<< ours\n")
    assert "is not valid JSON" in capsys.readouterr().err
