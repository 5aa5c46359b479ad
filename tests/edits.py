"""Random edits of a notebook, made by hypothesis: each writes a text that nobody else writes."""

import copy
import itertools
import re
from collections.abc import Callable, Iterator

from hypothesis import strategies as st
from nbformat import NotebookNode

from mcp_notebook.files.ipynb import node
from tests.notebooks import code, notebook, text

TOKEN = re.compile(r"\b(?:ours|theirs)_\d+\b")
Edit = tuple[str, int, int]
"""What is done, to which cell, and at which line, or to which place."""

CELLS = st.lists(st.tuples(st.sampled_from(["code", "code", "markdown"]), st.integers(0, 4)), max_size=6)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["line", "line", "rewrite", "insert", "delete", "move", "run", "tag", "type"]),
        st.integers(0, 7),
        st.integers(0, 7),
    ),
    max_size=5,
)


def base_of(cells: list[tuple[str, int]]) -> NotebookNode:
    """A notebook of cells with some lines each, all of which ran."""
    made = []
    for index, (cell_type, lines) in enumerate(cells):
        source = "\n".join(f"base_{index}_{line} = {line}" for line in range(lines))
        cell_id = f"cell-{index}"
        made.append(code(cell_id, source, shown="base\n") if cell_type == "code" else text(cell_id, source))
    return notebook(*made)


def edited(base: NotebookNode, edits: list[Edit], who: str) -> NotebookNode:
    """The notebook after these edits of ``who``, whose name every text begins with that comes of them."""
    side = copy.deepcopy(base)
    words = (f"{who}_{number}" for number in itertools.count())
    for what, at, where in edits:
        if what == "insert":
            new = code(f"{who}-new-{at}-{where}-{len(side.cells)}", f"{next(words)} = 1")
            side.cells.insert(at % (len(side.cells) + 1), node(new))
        elif side.cells:
            _DONE[what](side.cells, at % len(side.cells), where, words)
    return side


def _line(cells: list[NotebookNode], at: int, where: int, words: Iterator[str]) -> None:
    lines = cells[at]["source"].split("\n")
    lines.insert(where % (len(lines) + 1), f"{next(words)} = 1")
    cells[at]["source"] = "\n".join(lines)


def _rewrite(cells: list[NotebookNode], at: int, _: int, words: Iterator[str]) -> None:
    cells[at]["source"] = f"{next(words)} = 1"


def _delete(cells: list[NotebookNode], at: int, _: int, __: Iterator[str]) -> None:
    del cells[at]


def _move(cells: list[NotebookNode], at: int, where: int, _: Iterator[str]) -> None:
    cells.insert(where % len(cells), cells.pop(at))


def _run(cells: list[NotebookNode], at: int, _: int, words: Iterator[str]) -> None:
    if cells[at]["cell_type"] == "code":
        cells[at]["outputs"] = [node(code("x", "", shown=f"{next(words)}\n")["outputs"][0])]
        cells[at]["execution_count"] = 9


def _tag(cells: list[NotebookNode], at: int, _: int, words: Iterator[str]) -> None:
    cells[at]["metadata"]["tags"] = [*cells[at]["metadata"].get("tags", []), next(words)]


def _type(cells: list[NotebookNode], at: int, _: int, __: Iterator[str]) -> None:
    cell = cells[at]
    changed = text if cell["cell_type"] == "code" else code
    cells[at] = node({**changed(cell["id"], cell["source"]), "metadata": dict(cell["metadata"])})


_DONE: dict[str, Callable[[list[NotebookNode], int, int, Iterator[str]], None]] = {
    "line": _line,
    "rewrite": _rewrite,
    "delete": _delete,
    "move": _move,
    "run": _run,
    "tag": _tag,
    "type": _type,
}


def sources(side: NotebookNode) -> set[str]:
    """What was written into sources."""
    return {word for cell in side.cells for word in TOKEN.findall(cell["source"])}


def tags(side: NotebookNode) -> set[str]:
    """The tags that were set."""
    return {tag for cell in side.cells for tag in cell["metadata"].get("tags", []) if TOKEN.fullmatch(tag)}


def shown(side: NotebookNode) -> dict[str, str]:
    """What the cells that were run show, by their ids."""
    return {
        cell["id"]: cell["outputs"][0]["text"].strip()
        for cell in side.cells
        if cell.get("outputs") and TOKEN.match(cell["outputs"][0]["text"])
    }
