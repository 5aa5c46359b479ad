"""git's merge of notebooks, by cell: ``python -m mcp_notebook.workflow.merge_driver BASE OURS THEIRS NAME``.

git calls it for files that both sides changed (https://git-scm.com/docs/gitattributes#_defining_a_custom_merge_driver),
and takes what is in OURS afterwards. An .ipynb is merged as save_notebook merges: it stays a valid notebook, with both
versions of a cell that both sides changed. A text, such as a percent .py, is written only where nothing is left to
decide and nothing but its cells changed; what is not, git merges by lines. Why this is not nbdime's:
docs/decisions/0019-notebook-files.md.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from mcp_notebook.errors import NotebookError
from mcp_notebook.files import halves, ipynb, texts
from mcp_notebook.files.lines import visible
from mcp_notebook.files.matching import match
from mcp_notebook.files.merge import Merged, merge, recognise

TAG = "conflict-theirs"
"""On the other side's version of a cell, which follows ours."""
CLEAN, NOT_MERGED, CONFLICT = 0, 3, 4
"""Not 1, with which Python ends where there is no such module."""


def main(arguments: list[str]) -> int:
    """The exit code: merged, merged with conflicts, or left to git; OURS is then as it was."""
    base, ours, theirs, name = (Path(argument) for argument in arguments)
    sides = [path.read_bytes() for path in (base, ours, theirs)]
    try:
        if name.suffix == ".ipynb":
            return _merge_ipynb(sides, ours, name)
        return _merge_text(sides, ours, name)
    except Exception as exc:  # at the top: whatever it is, git can still merge by line
        said = str(exc) if isinstance(exc, NotebookError) else repr(exc)
        sys.stderr.write(f"mcp-notebook: {visible(said)}\n")
        return NOT_MERGED


def _merge_ipynb(sides: list[bytes], result: Path, name: Path) -> int:
    base, ours, theirs = (ipynb.parse(data, name).notebook if data.strip() else ipynb.empty() for data in sides)
    recognise(ours.cells, base.cells)
    merged = merge(base, ours, theirs, TAG)
    data, _ = ipynb.compose(merged.notebook, name)
    _write(result, data)
    for line in _told(merged, name):
        sys.stderr.write(f"{line}\n")
    return CLEAN if merged.is_clean else CONFLICT


def _told(merged: Merged, name: Path) -> list[str]:
    if merged.is_clean:
        return []
    twice = [
        f"{name}: both sides changed the cell {ours}; theirs follows it as the cell {twin}, tagged {TAG}."
        for ours, twin in merged.conflicts
    ]
    return twice or [f"{name}: one side deleted or moved a cell that the other changed or moved; look at its cells."]


def _merge_text(sides: list[bytes], result: Path, name: Path) -> int:
    base, ours, theirs = (ipynb.decoded(data, name) for data in sides)
    fmt = texts.format_of(ours, name) if ours.strip() else None
    if fmt is None or any(texts.format_of(side, name) != fmt for side in (base, theirs) if side.strip()):
        return NOT_MERGED
    before, here, there = (_cells_of(side, fmt, name) for side in (base, ours, theirs))
    headers = [texts.shared_metadata(side) for side in (before, here, there)]
    if headers[2] not in headers[:2]:
        return NOT_MERGED
    for side in (here, there):
        _recognise_by_place(side, before)
    if _is_ambiguous(before, here, there):
        return NOT_MERGED
    merged = merge(before, here, there, TAG)
    if not merged.is_clean or not texts.is_as_composed(ours, fmt, name):
        return NOT_MERGED
    text = texts.compose(merged.notebook, fmt, ours, name)
    if _said(_cells_of(text, fmt, name)) != _said(merged.notebook):
        return NOT_MERGED
    _write(result, text.encode())
    return CLEAN


def _recognise_by_place(side: NotebookNode, base: NotebookNode) -> None:
    """Give its cells the ids of those that they were, also one that was written anew where it stood."""
    found = match(side.cells, base.cells)
    taken = {cell["id"] for cell in base.cells}
    for cell, index in zip(side.cells, found, strict=True):
        cell["id"] = base.cells[index]["id"] if index is not None else ipynb.stable_id(cell, taken)
        taken.add(cell["id"])


def _is_ambiguous(base: NotebookNode, ours: NotebookNode, theirs: NotebookNode) -> bool:
    """Whether a cell is gone and both sides have new ones: one of these may be that cell, and stand in its place."""
    known, here, there = ({cell["id"] for cell in side.cells} for side in (base, ours, theirs))
    return bool(known - (here & there) and here - known and there - known) or _metadata_differs(base, ours, theirs)


def _metadata_differs(base: NotebookNode, ours: NotebookNode, theirs: NotebookNode) -> bool:
    """Whether nobody can know which metadata a cell is to have."""
    sides = [{cell["id"]: cell["metadata"] for cell in side.cells} for side in (ours, theirs)]
    return any(
        _is_undecided(cell["metadata"], [side[cell["id"]] for side in sides if cell["id"] in side])
        for cell in base.cells
    )


def _is_undecided(was: NotebookNode, now: Sequence[NotebookNode]) -> bool:
    """Both sides changed it, other than tags, and not to the same; or one did, of a cell that is gone on the other."""
    match now:
        case [only]:  # the other side may have the cell in words that nobody recognises
            return only != was
        case [here, there]:
            one, other, before = map(_without_tags, (here, there, was))
            return before != one != other != before
    return False


def _without_tags(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in metadata.items() if key != "tags"}


def _cells_of(text: str, fmt: str, name: Path) -> NotebookNode:
    """What the text says, with ids that follow from it."""
    if not text.strip():
        return ipynb.empty()
    notebook = texts.parse(text, fmt, name)
    for cell in notebook.cells:
        cell.pop("id", None)
        cell["metadata"] = ipynb.node(texts.cell_metadata(cell))
    ipynb.give_ids(notebook.cells, name.name)
    return notebook


def _said(notebook: NotebookNode) -> list[tuple[Any, ...]]:
    return [(cell["cell_type"], halves.as_said(cell["source"]), dict(cell["metadata"])) for cell in notebook.cells]


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: what is half written would be merged by line."""
    draft = path.with_name(f"{path.name}.mcp-notebook")
    try:
        draft.write_bytes(data)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
