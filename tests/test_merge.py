"""What two sides made of one notebook, merged by cell."""

import copy
from collections.abc import Callable

import nbformat
import pytest
from nbformat import NotebookNode

from mcp_notebook.files.ipynb import node
from mcp_notebook.files.lines import merge_lines
from mcp_notebook.files.merge import CONFLICT_TAG, merge

Step = Callable[[list[NotebookNode]], object]
"""A change of a notebook's cells."""

TEXT = "one\ntwo\nthree\nfour\nfive"


def cell(cell_id: str, source: str = "", *, shown: str | None = None, **metadata: object) -> NotebookNode:
    """A code cell, run if it ``shown`` something."""
    outputs = [] if shown is None else [{"output_type": "stream", "name": "stdout", "text": shown}]
    values = {"id": cell_id, "cell_type": "code", "source": source or f"source of\n{cell_id}\nend"}
    count = None if shown is None else 1
    return node({**values, "metadata": metadata, "outputs": outputs, "execution_count": count})


def notebook(*cells: NotebookNode) -> NotebookNode:
    """A notebook of these cells."""
    return node({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": copy.deepcopy(list(cells))})


BASE = notebook(*(cell(name, shown="old") for name in ("a", "b", "c", "d")))


def edited(*steps: Step) -> NotebookNode:
    """The base with some steps done to its cells."""
    side = copy.deepcopy(BASE)
    for step in steps:
        step(side.cells)
    return side


def prepend(index: int, text: str) -> Step:
    """An edit above a cell's lines."""
    return lambda cells: setattr(cells[index], "source", text + cells[index].source)


def append(index: int, text: str) -> Step:
    """An edit below a cell's lines."""
    return lambda cells: setattr(cells[index], "source", cells[index].source + text)


def run(index: int, shown: str) -> Step:
    """A cell that ran."""

    def step(cells: list[NotebookNode]) -> None:
        cells[index]["outputs"] = cell("x", shown=shown).outputs
        cells[index]["execution_count"] = 7

    return step


def insert(index: int, cell_id: str) -> Step:
    """A new cell."""
    return lambda cells: cells.insert(index, cell(cell_id))


def delete(index: int) -> Step:
    """A cell taken out."""
    return lambda cells: cells.pop(index)


def move(index: int, to: int) -> Step:
    """A cell put elsewhere."""
    return lambda cells: cells.insert(to, cells.pop(index))


def ids(merged: NotebookNode) -> str:
    """Cell ids in order; they have one letter here."""
    return "".join(cell["id"] for cell in merged.cells)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param([], [], "abcd", id="nothing"),
        pytest.param([insert(1, "n")], [], "anbcd", id="we insert"),
        pytest.param([], [insert(1, "n")], "anbcd", id="they insert"),
        pytest.param([insert(1, "n")], [insert(1, "m")], "anmbcd", id="both insert in one place"),
        pytest.param([insert(4, "n")], [insert(4, "m")], "abcdnm", id="both append"),
        pytest.param([insert(0, "n")], [insert(0, "m")], "nmabcd", id="both insert at the start"),
        pytest.param([delete(1)], [], "acd", id="we delete"),
        pytest.param([], [delete(1)], "acd", id="they delete"),
        pytest.param([delete(1)], [delete(1)], "acd", id="both delete"),
        pytest.param([delete(1)], [append(1, "\nx")], "abcd", id="we delete, they edit"),
        pytest.param([append(1, "\nx")], [delete(1)], "abcd", id="they delete, we edit"),
        pytest.param([run(1, "new")], [delete(1)], "abcd", id="they delete, we ran"),
        pytest.param([delete(1)], [run(1, "new")], "acd", id="we delete, they ran"),
        pytest.param([move(0, 3)], [append(0, "\nx")], "bcda", id="we move, they edit"),
        pytest.param([append(0, "\nx")], [move(0, 3)], "bcda", id="they move, we edit"),
        pytest.param([move(0, 3)], [insert(1, "m")], "bcdam", id="we move the cell that theirs followed"),
        pytest.param([move(0, 3)], [move(3, 0)], "bcda", id="both move"),
        pytest.param([insert(1, "n"), move(0, 4)], [insert(3, "m")], "nbcmda", id="move and inserts"),
    ],
)
def test_cells_and_their_order(ours: list[Step], theirs: list[Step], expected: str) -> None:
    """Cells that either side added stay, deleted ones go unless the other side changed them."""
    merged = merge(copy.deepcopy(BASE), edited(*ours), edited(*theirs)).notebook
    nbformat.validate(merged)
    assert ids(merged) == expected


def test_edits_of_different_lines() -> None:
    """Both sides' edits of one cell become one source."""
    merged = merge(BASE, edited(prepend(0, "first\n")), edited(append(0, "\nlast")))
    assert merged.notebook.cells[0].source == "first\nsource of\na\nend\nlast"
    assert merged.notes == ("The file had changed on disk and was merged by cell (edited there: a).",)


def test_edits_of_the_same_line() -> None:
    """What cannot be merged stays as two cells, the disk's after ours, tagged and said."""
    merged = merge(BASE, edited(append(0, "ours")), edited(append(0, "theirs"), insert(1, "n")))
    mine, disks, new = merged.notebook.cells[:3]
    assert (mine.id, mine.source) == ("a", "source of\na\nendours")
    assert (disks.source, disks.metadata.tags) == ("source of\na\nendtheirs", [CONFLICT_TAG])
    assert new.id == "n"
    assert disks.id in merged.notes[1]
    assert "Cell a was changed here and on disk" in merged.notes[1]
    nbformat.validate(merged.notebook)


@pytest.mark.parametrize("theirs_id", ["new", "other"])
@pytest.mark.parametrize(("at", "expected"), [(1, "a show() b"), (2, "a show() b show()"), (0, "show() a show() b")])
def test_the_same_new_cell_on_both_sides(theirs_id: str, at: int, expected: str) -> None:
    """One at one place, two at two places, whatever the ids: those that follow from a source are the same for both."""
    base = notebook(cell("a", "a"), cell("b", "b"))
    ours, theirs = copy.deepcopy(base), copy.deepcopy(base)
    ours.cells.insert(1, cell("new", "show()"))
    theirs.cells.insert(at, cell(theirs_id, "show()"))
    done = merge(base, ours, theirs)
    assert " ".join(each.source for each in done.notebook.cells) == expected
    assert len({each.id for each in done.notebook.cells}) == len(done.notebook.cells)
    assert done.is_clean


def test_a_second_conflict_of_the_same_cell() -> None:
    """A cell that has the tag already stays a valid one."""
    base, ours, theirs = (notebook(cell("a", source, tags=[CONFLICT_TAG])) for source in ("1", "ours", "theirs"))
    merged = merge(base, ours, theirs).notebook
    assert [each.source for each in merged.cells] == ["ours", "theirs"]
    nbformat.validate(merged)


def test_type_changed_here_and_source_there() -> None:
    """A change of type against an edit is a conflict."""

    def to_markdown(cells: list[NotebookNode]) -> None:
        cells[0] = node({"id": "a", "cell_type": "markdown", "source": "# A", "metadata": {}})

    merged = merge(BASE, edited(to_markdown), edited(append(0, "\nx"))).notebook
    assert [cell.cell_type for cell in merged.cells[:2]] == ["markdown", "code"]
    only_type = merge(BASE, edited(), edited(to_markdown)).notebook.cells[0]
    assert (only_type.cell_type, only_type.source) == ("markdown", "# A")
    nbformat.validate(merged)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param([run(0, "ours")], [run(0, "theirs")], "ours", id="both ran"),
        pytest.param([], [run(0, "theirs")], "theirs", id="they ran"),
        pytest.param([run(0, "ours")], [append(0, "\nx")], "ours", id="we ran, they edited"),
        pytest.param([append(0, "\nx")], [run(0, "theirs")], "theirs", id="they ran, we edited"),
        pytest.param([append(0, "\nx")], [prepend(0, "y\n")], "old", id="nobody ran"),
    ],
)
def test_outputs(ours: list[Step], theirs: list[Step], expected: str) -> None:
    """Outputs are ours if ours ran since the base, else the disk's."""
    merged = merge(BASE, edited(*ours), edited(*theirs)).notebook
    assert merged.cells[0].outputs[0].text == expected


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (run(0, "theirs"), "run there: a"),
        (move(0, 3), "moved there"),
        (lambda cells: cells[0].metadata.__setitem__("tags", ["x"]), "metadata there"),
    ],
)
def test_nothing_is_taken_in_silence(step: Step, said: str) -> None:
    """What changed on disk is said, also where it is no source."""
    assert said in merge(BASE, edited(), edited(step)).notes[0]


def test_metadata_and_tags() -> None:
    """Each key of the side that changed it; tags of both sides stay, a removed one goes."""
    base = notebook(cell("a", tags=["old", "stays"], name="n", slide="s"))
    ours = notebook(cell("a", tags=["stays", "ours"], name="m", slide="s"))
    theirs = notebook(cell("a", tags=["old", "stays", "theirs"], name="n", slide="t", extra=1))
    merged = merge(base, ours, theirs).notebook.cells[0].metadata
    assert merged == {"tags": ["stays", "ours", "theirs"], "name": "m", "slide": "t", "extra": 1}


def test_renumbered_ids() -> None:
    """A program that renumbers all ids does not make the cells new."""
    theirs = edited(append(2, "\nx"), insert(2, "n"))
    for number, each in enumerate(theirs.cells):
        each["id"] = f"other-{number}"
    merged = merge(copy.deepcopy(BASE), edited(prepend(2, "y\n")), theirs).notebook
    assert [cell.id for cell in merged.cells] == ["a", "b", "other-2", "c", "d"]
    assert merged.cells[3].source == "y\nsource of\nc\nend\nx"


def test_two_thousand_cells() -> None:
    """Merging does not compare every cell with every other."""
    base = notebook(*(cell(f"c{i}", f"x{i} = {i}\n\ny{i} = 1") for i in range(2000)))
    ours, theirs = copy.deepcopy(base), copy.deepcopy(base)
    for i in range(2000):
        ours.cells[i].source = f"# ours\n{ours.cells[i].source}"
        theirs.cells[i].source += "\n# theirs"
    merged = merge(base, ours, theirs)
    assert [cell.source for cell in merged.notebook.cells] == [
        f"# ours\nx{i} = {i}\n\ny{i} = 1\n# theirs" for i in range(2000)
    ]
    assert max(len(note) for note in merged.notes) < 300


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        (TEXT, TEXT, TEXT, TEXT),
        (TEXT, "zero\n" + TEXT, TEXT + "\nsix", "zero\n" + TEXT + "\nsix"),
        (TEXT, TEXT.replace("two", "2"), TEXT.replace("four", "4"), "one\n2\nthree\n4\nfive"),
        (TEXT, TEXT.replace("two", "2"), TEXT.replace("three", "3"), None),
        (TEXT, TEXT.replace("two", "2"), TEXT.replace("two", "zwei"), None),
        (TEXT, TEXT.replace("two", "2"), TEXT.replace("two", "2") + "\nsix", "one\n2\nthree\nfour\nfive\nsix"),
        (TEXT, "one\nfive", TEXT.replace("three", "3"), None),
        (TEXT, "one\nfive", TEXT + "\nsix", None),
        (TEXT, "one\nthree\nfour\nfive", TEXT + "\nsix", "one\nthree\nfour\nfive\nsix"),
        ("", "ours", "theirs", None),
        ("a\nb\nc\n", "a\nB\nc", "a\nb\nc\nd", None),
        ("a\r\nb\r\nc\r\nd\r\n", "A\r\nb\r\nc\r\nd\r\n", "a\r\nb\r\nc\r\nD\r\n", "A\r\nb\r\nc\r\nD\r\n"),
    ],
)
def test_lines(base: str, ours: str, theirs: str, expected: str | None) -> None:
    """Lines merge the same from both sides; changes that touch do not merge."""
    assert merge_lines(base, ours, theirs) == expected
    assert merge_lines(base, theirs, ours) == expected


def test_very_long_source() -> None:
    """A source of 300,000 lines that both sides changed is a conflict rather than minutes of comparing."""
    base = "x\n" * 300_000
    assert merge_lines(base, "y\n" + base, base + "z\n") is None
