"""Whatever two sides do to one notebook: nothing that either wrote is lost, and what comes of it is a notebook."""

import copy
import tempfile
from pathlib import Path

import nbformat
from hypothesis import given, settings
from nbformat import NotebookNode

from mcp_notebook.files import OnDisk, locate, read, write
from mcp_notebook.files.merge import Merged, merge
from tests.edits import CELLS, EDITS, Edit, base_of, edited, shown, sources, tags

thorough = settings(max_examples=400, deadline=None, derandomize=True, database=None)
on_disk = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def merged(base: NotebookNode, ours: NotebookNode, theirs: NotebookNode) -> Merged:
    """The merge of copies."""
    base, ours, theirs = copy.deepcopy((base, ours, theirs))
    return merge(base, ours, theirs)


@thorough
@given(CELLS, EDITS, EDITS)
def test_nothing_that_either_side_wrote_is_lost(
    cells: list[tuple[str, int]], here: list[Edit], there: list[Edit]
) -> None:
    """Every line, and every tag of a cell that is still there; the notebook is valid, and doubts are said."""
    base = base_of(cells)
    ours, theirs = edited(base, here, "ours"), edited(base, there, "theirs")
    done = merged(base, ours, theirs)
    nbformat.validate(done.notebook)
    assert len({cell["id"] for cell in done.notebook.cells}) == len(done.notebook.cells)
    assert sources(done.notebook) >= sources(ours) | sources(theirs)
    known = {cell["id"] for cell in done.notebook.cells}
    for side in (ours, theirs):
        kept = copy.copy(side)
        kept["cells"] = [cell for cell in side.cells if cell["id"] in known]
        assert tags(done.notebook) >= tags(kept)
    assert done.is_clean or done.notes
    assert done.is_clean <= (not done.conflicts)


@thorough
@given(CELLS, EDITS, EDITS)
def test_what_ran_here_is_shown(cells: list[tuple[str, int]], here: list[Edit], there: list[Edit]) -> None:
    """Outputs of ours stay with their cells; those of theirs come in where ours did not run."""
    base = base_of(cells)
    ours, theirs = edited(base, here, "ours"), edited(base, there, "theirs")
    after = {cell["id"]: cell for cell in merged(base, ours, theirs).notebook.cells}
    for cell_id, text in shown(ours).items():
        if after[cell_id]["cell_type"] == "code":
            assert after[cell_id]["outputs"][0]["text"].strip() == text
    kept = {cell["id"]: cell for cell in ours.cells}
    before = {cell["id"]: cell for cell in base.cells}
    for cell_id, text in shown(theirs).items():
        if cell_id in kept and cell_id in before and kept[cell_id] == before[cell_id]:
            assert after[cell_id]["outputs"][0]["text"].strip() == text


@thorough
@given(CELLS, EDITS)
def test_one_side_alone_is_taken_as_it_is(cells: list[tuple[str, int]], edits: list[Edit]) -> None:
    """Whichever side it is."""
    base = base_of(cells)
    side = edited(base, edits, "ours")
    for done in (merged(base, side, base), merged(base, base, side), merged(base, side, side)):
        assert done.notebook.cells == side.cells
        assert done.is_clean


@on_disk
@given(CELLS, EDITS, EDITS)
def test_nothing_is_lost_between_a_session_and_the_file(
    cells: list[tuple[str, int]], here: list[Edit], there: list[Edit]
) -> None:
    """The text was edited by a program that knows no ids while the notebook was edited here; then it is saved."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        base = write(locate("a", place), base_of(cells), None)
        theirs = edited(base.base, there, "theirs")
        _edit_the_text(base, theirs)
        ours = edited(base.base, here, "ours")
        written = write(base.pair, ours, base)
        said = (place / "a.py").read_text()
        wanted = sources(ours) | sources(theirs)
        assert {word for word in wanted if word not in said} == set()
        assert sources(written.notebook) >= wanted
        again = read(base.pair).notebook
        assert [(c["id"], c["cell_type"], c["source"]) for c in again.cells] == [
            (c["id"], c["cell_type"], c["source"]) for c in written.notebook.cells
        ]


def _edit_the_text(base: OnDisk, theirs: NotebookNode) -> None:
    """As an editor does, or another program: the .ipynb is not touched."""
    assert base.pair.text is not None
    assert base.pair.ipynb is not None
    before = base.pair.ipynb.read_bytes()
    write(base.pair, theirs, base)
    base.pair.ipynb.write_bytes(before)
