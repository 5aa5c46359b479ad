"""What changed between two notebooks, cell by cell.

Pure. A cell is known by its id, and by its source where the ids say nothing; what differs within one is nbdime's to
tell (https://nbdime.readthedocs.io/en/latest/diffing.html). Sources, outputs and values of metadata are kept from its
comparison of texts, which takes 7 s for two of 1,000 lines: they are alike or not.
"""

import bisect
import copy
import hashlib
import json
import operator
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from nbformat import NotebookNode

from mcp_notebook.errors import GitFailed
from mcp_notebook.files.ipynb import node
from mcp_notebook.files.merge import recognise
from mcp_notebook.workflow.stripping import NBSTRIPOUTS_KEYS, OUR_KEYS

MOST_OUTPUTS = 100
"""Of a cell: nbdime compares each with each."""
_PASSED_OVER = frozenset(
    key.removeprefix("cell.metadata.") for key in (*NBSTRIPOUTS_KEYS, *OUR_KEYS) if key.startswith("cell.")
)
_OF_THE_FILES = frozenset({"jupytext", "mcp_notebook", "papermill", "signature", "widgets"})

Kind = Literal["added", "deleted", "changed", "same"]
Operation = Mapping[str, Any]
"""A step of nbdime's: https://nbdime.readthedocs.io/en/latest/diffing.html#diff-format-for-mappings"""


@dataclass(frozen=True)
class CellChange:
    """One cell that is not as it was."""

    kind: Kind
    """``same`` for one that was moved and is else as it was."""
    old: NotebookNode | None
    new: NotebookNode | None
    was_at: int | None = None
    is_at: int | None = None
    moved: bool = False
    steps: tuple[Operation, ...] = ()
    """What changed in it, by nbdime."""


@dataclass(frozen=True)
class Changes:
    """All of it, in the order of the new notebook; a deleted cell stands where it stood."""

    cells: tuple[CellChange, ...]
    metadata: tuple[tuple[str, Any, Any], ...]
    """Of the notebook: key, before and after; None for none."""
    outputs_compared: bool
    """False if one side has none at all, as what is in git."""

    def count(self, kind: Kind) -> int:
        """Of the cells that are ``kind``."""
        return sum(change.kind == kind for change in self.cells)


def changes(old: NotebookNode, new: NotebookNode) -> Changes:
    """From ``old`` to ``new``; both are left as they are.

    Raises:
        GitFailed: nbdime is not installed.
    """
    old_cells = [copy.copy(cell) for cell in old.cells]
    recognise(old_cells, new.cells)
    outputs = _has_outputs(old_cells) == _has_outputs(new.cells)
    was = {cell["id"]: (index, cell) for index, cell in enumerate(old_cells)}
    common = [was[cell["id"]][0] for cell in new.cells if cell["id"] in was]
    stay = _longest_rise(common)
    found: list[tuple[float, CellChange]] = []
    for index, cell in enumerate(new.cells):
        if cell["id"] not in was:
            found.append((index, CellChange("added", None, cell, is_at=index)))
            continue
        was_at, before = was[cell["id"]]
        steps = _steps(before, cell, outputs=outputs)
        moved = was_at not in stay
        if steps or moved:
            kind: Kind = "changed" if steps else "same"
            found.append((index, CellChange(kind, before, cell, was_at, index, moved, steps)))
    found += _deleted(old_cells, new.cells)
    found.sort(key=lambda each: each[0])
    metadata = _metadata(old.metadata, new.metadata) if old.cells and new.cells else ()
    return Changes(tuple(change for _, change in found), metadata, outputs)


def _deleted(old: Sequence[NotebookNode], new: Sequence[NotebookNode]) -> list[tuple[float, CellChange]]:
    """Each with a place behind the new cell that it followed."""
    positions = {cell["id"]: index for index, cell in enumerate(new)}
    gone = []
    place = -1.0
    for index, cell in enumerate(old):
        if cell["id"] in positions:
            place = positions[cell["id"]]
        else:
            gone.append((place + 0.5, CellChange("deleted", cell, None, was_at=index)))
    return gone


def _longest_rise(numbers: Sequence[int]) -> set[int]:
    """The numbers of the longest subsequence that rises: cells that were not moved."""
    ends: list[int] = []
    where: list[int] = []
    before: list[int] = []
    for index, number in enumerate(numbers):
        at = bisect.bisect_left(ends, number)
        before.append(where[at - 1] if at else -1)
        ends[at : at + 1] = [number]
        where[at : at + 1] = [index]
    rise = set()
    index = where[-1] if where else -1
    while index >= 0:
        rise.add(numbers[index])
        index = before[index]
    return rise


def _has_outputs(cells: Sequence[NotebookNode]) -> bool:
    return any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def _steps(old: NotebookNode, new: NotebookNode, *, outputs: bool) -> tuple[Operation, ...]:
    here, there = (_comparable(cell, outputs=outputs) for cell in (old, new))
    if here == there:
        return ()
    diff, config = _nbdime()
    return tuple(diff(here, there, path="/cells/*", config=config))


def output_kind(output: Mapping[str, Any]) -> str:
    """Such as ``stdout``, ``image/png``, ``ValueError``."""
    if output["output_type"] == "stream":
        return str(output["name"])
    if output["output_type"] == "error":
        return str(output["ename"])
    mimes = [mime for mime in output.get("data", {}) if mime != "text/plain"]
    return ", ".join(mimes) or "text/plain"


def _comparable(cell: NotebookNode, *, outputs: bool) -> NotebookNode:
    """What of the cell is compared; bytes stand for what is compared as a whole."""
    metadata = {key: _whole(value) for key, value in cell["metadata"].items() if key not in _PASSED_OVER}
    values: dict[str, Any] = {"cell_type": cell["cell_type"], "source": cell["source"], "metadata": metadata}
    if outputs:
        shown = [_output(output) for output in cell.get("outputs") or []]
        is_much = len(shown) > MOST_OUTPUTS
        values |= {"outputs": [], "many_outputs": b"".join(shown)} if is_much else {"outputs": shown}
    if cell.get("attachments"):
        values["attachments"] = {name: _whole(bundle) for name, bundle in cell["attachments"].items()}
    return node(values)


def _output(output: NotebookNode) -> bytes:
    """Its kind, and a digest of what it shows; of a failure without the traceback."""
    match output["output_type"]:
        case "stream":
            shown: Any = _joined(output["text"])
        case "error":
            shown = output["evalue"]
        case _:
            shown = {mime: _joined(value) for mime, value in output.get("data", {}).items()}
    return f"{output_kind(output)}\0".encode(errors="replace") + _whole(shown)


def _joined(value: Any) -> Any:
    return "".join(value) if isinstance(value, list) and all(isinstance(line, str) for line in value) else value


def _whole(value: Any) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()


def _metadata(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[tuple[str, Any, Any], ...]:
    before, after = (_of_the_notebook(side) for side in (old, new))
    return tuple(
        (key, before.get(key), after.get(key))
        for key in sorted({**before, **after})
        if before.get(key) != after.get(key)
    )


def _of_the_notebook(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is the same on every machine, in any kernel."""
    kept = {key: value for key, value in metadata.items() if key not in _OF_THE_FILES}
    language = kept.pop("language_info", None)
    if isinstance(language, dict) and "kernelspec" not in kept:
        kept["language"] = language.get("name")
    kernelspec = kept.pop("kernelspec", None)
    if isinstance(kernelspec, dict):
        kept["kernel"] = kernelspec.get("name")
    return kept


def _nbdime() -> tuple[Any, Any]:
    """nbdime's diff, and rules by which it compares nothing character by character."""
    try:
        from nbdime.diff_format import op_replace
        from nbdime.diffing.config import DiffConfig
        from nbdime.diffing.generic import diff
        from nbdime.diffing.notebooks import notebook_differs, notebook_predicates
    except ModuleNotFoundError as exc:
        raise GitFailed(
            f"nbdime, which compares notebooks, is not installed: {sys.executable} -m pip install 'mcp-notebook[git]'"
        ) from exc

    def of_outputs(old: bytes, new: bytes, **_: Any) -> list[Any]:
        return [] if old == new else [op_replace("output", new)]

    differs, predicates = notebook_differs.copy(), notebook_predicates.copy()
    differs["/cells/*/outputs/*"] = of_outputs
    differs["/cells/*/attachments"] = diff
    predicates["/cells/*/outputs"] = [_is_of_one_kind, operator.eq]
    whole = dict.fromkeys(("/cells/*/cell_type", "/cells/*/source"), True)
    return diff, DiffConfig(predicates=predicates, differs=differs, atomic_paths=whole)


def _is_of_one_kind(one: bytes, other: bytes) -> bool:
    return one.partition(b"\0")[0] == other.partition(b"\0")[0]
