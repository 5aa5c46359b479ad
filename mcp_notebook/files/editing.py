"""One cell of a notebook's files gets another source, and all else of them stays as it is, to the byte.

Blocks, as all of this package. It merges nothing: what it edits is what it has just read.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nbformat import NotebookNode

from mcp_notebook.errors import BadRequest, FileRefused, SaveFailed
from mcp_notebook.files import disk, halves, ipynb, store, texts
from mcp_notebook.files.pairs import Pair

_ATTEMPTS = 5


@dataclass(frozen=True)
class Edited:
    """The cell as it is now, its source before, the files that were written, and sentences on what else is to know."""

    cell: NotebookNode
    before: str
    written: tuple[Path, ...]
    notes: tuple[str, ...]


def edit(pair: Pair, position: int, source: str) -> Edited:
    """Give the cell at ``position`` this source. A file that is not there is not made.

    Raises:
        BadRequest: there is no such cell.
        FileRefused: there is no such file, it cannot be read, or the text cannot say this source.
        SaveFailed: the disk said no; all files are as they were.
    """
    pair = _there(pair)
    expected: str | None = None
    for _ in range(_ATTEMPTS):
        found = store.read(pair)
        cell = _cell_at(found.notebook, position, pair)
        was = [str(each["source"]) for each in found.notebook.cells]
        before = was[position]
        if expected not in (None, before):
            raise SaveFailed(f"{pair.name} was changed while it was edited, and was left as it is now. Read it again.")
        expected = before
        if before == source:
            return Edited(cell, before, (), found.notes)
        cell["source"] = source
        files, notes = _new_files(pair, found, was, position)
        targets = {disk.target(path, pair.workspace): data for path, data in files.items()}
        if disk.replace(targets, expected=found.digests):
            return Edited(cell, before, tuple(files), (*found.notes, *notes))
    raise SaveFailed(f"{pair.name} keeps changing on disk while it is edited. Stop the other program and edit again.")


def _there(pair: Pair) -> Pair:
    there = [path for path in pair.paths if path.exists()]
    if not there:
        raise FileRefused(f"There is no {pair.name} in {pair.workspace}. notebook_create makes a new notebook.")
    if pair.ipynb not in there:
        return replace(pair, ipynb=None)
    return pair if pair.text in there else replace(pair, text=None, fmt=None)


def _cell_at(notebook: NotebookNode, position: int, pair: Pair) -> NotebookNode:
    if not 0 <= position < len(notebook.cells):
        count = len(notebook.cells)
        span = f"Its {count} cells are #0 to #{count - 1}" if count else "It has no cells"
        raise BadRequest(f"{pair.name} has no cell #{position}. {span}. Nothing was changed.")
    cell: NotebookNode = notebook.cells[position]
    return cell


def _new_files(
    pair: Pair, found: store.OnDisk, was: Sequence[str], position: int
) -> tuple[dict[Path, bytes], tuple[str, ...]]:
    cell = found.notebook.cells[position]
    files: dict[Path, bytes] = {}
    notes: tuple[str, ...] = ()
    if pair.text is not None and pair.fmt is not None:
        old = ipynb.decoded(disk.contents(pair.text) or b"", pair.text)
        text = None
        if found.text_holds_cells:  # else the .ipynb has cells that the text is yet to say
            text = texts.with_source(old, pair.fmt, pair.text, was, position, cell["source"])
        if text is None:
            text = texts.compose(found.notebook, pair.fmt, old, pair.text)
            if not texts.is_as_composed(old, pair.fmt, pair.text):
                notes = (store.as_jupytext_writes(pair.text, pair.fmt),)
        _refuse_what_text_cannot_say(cell, text, pair)
        files[pair.text] = text.encode()
        halves.record(found.notebook, files[pair.text], pair.text)
    if pair.ipynb is not None:
        files[pair.ipynb], more = ipynb.compose(found.notebook, pair.ipynb)
        notes += more
    return files, notes


def _refuse_what_text_cannot_say(cell: NotebookNode, text: str, pair: Pair) -> None:
    """Other cells may be such that the .ipynb alone can say them; the edited one is to be as it was asked for."""
    assert pair.text is not None and pair.fmt is not None
    said = texts.parse(text, pair.fmt, pair.text).cells
    wanted = cell["cell_type"], halves.as_said(cell["source"])
    if all((each["cell_type"], halves.as_said(each["source"])) != wanted for each in said):
        raise FileRefused(
            f"{pair.text.name} cannot say this source as one cell: a line such as '# %%' begins another one there, and "
            "control characters get lost. Nothing was changed; change the source."
        )
