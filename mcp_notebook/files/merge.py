"""Three-way merge of notebooks, cell by cell.

Pure. A cell is known by its id; sources are merged by line. Nothing is ever dropped in
silence and no conflict markers are written into sources: what cannot be merged stays as two
cells. Why this is our own and not nbdime's: docs/decisions/0002-merge-by-cell.md.
"""

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode

from mcp_notebook.files.ipynb import node, stable_id
from mcp_notebook.files.lines import line_changes, merge_lines
from mcp_notebook.files.matching import match

CONFLICT_TAG = "conflict-on-disk"
"""On the cell that holds the disk's version of what both sides changed; it follows ours."""

_NAMED = 10
_LINES = 20
_LINE_CHARS = 160
_OF_THE_FILES = ("jupytext", "mcp_notebook")
_ABSENT = object()


@dataclass(frozen=True)
class Merged:
    """The merged notebook (it shares cells with the sides) and what a reader must know."""

    notebook: NotebookNode
    notes: tuple[str, ...]
    conflicts: tuple[tuple[str, str], ...] = ()
    """The ids of cells that were kept twice: ours, and theirs, which has the tag."""
    is_clean: bool = True
    """Whether nobody has to decide anything: no cell was kept twice, or against a deletion, or moved by both."""


@dataclass
class _Report:
    """Cell ids by what happened to them."""

    tag: str
    edited: list[str] = field(default_factory=list)
    run: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    kept_ours: list[str] = field(default_factory=list)
    kept_theirs: list[str] = field(default_factory=list)
    conflicts: list[tuple[str, str]] = field(default_factory=list)
    moved: bool = False
    both_moved: bool = False


def merge(base: NotebookNode, ours: NotebookNode, theirs: NotebookNode, tag: str = CONFLICT_TAG) -> Merged:
    """What both sides made of ``base``; ``theirs`` is the disk's side. ``tag`` is for its cells that stay beside ours.

    The cells of ``theirs`` may get other ids: those of the base cells that they are.
    Outputs are ours if ours ran since ``base``, else theirs.
    """
    recognise(theirs.cells, base.cells)
    _recognise_new(theirs.cells, ours.cells, base.cells)
    was, here, there = ({cell["id"]: cell for cell in side.cells} for side in (base, ours, theirs))
    report = _Report(tag)
    taken = {*was, *here, *there}
    cells = []
    for cell_id in _order(list(was), list(here), list(there), report):
        cells += _merged(was.get(cell_id), here.get(cell_id), there.get(cell_id), report, taken)
    merged = copy.copy(ours)
    merged["metadata"] = _merged_mapping(base.metadata, ours.metadata, theirs.metadata)
    merged["cells"] = cells
    notes = tuple(_sentences(report, {cell["id"]: cell["source"] for cell in cells}))
    if not notes and (cells != ours.cells or _shown(merged.metadata) != _shown(ours.metadata)):
        notes = ("The file had changed on disk and was merged by cell (metadata there).",)
    doubtful = report.conflicts or report.kept_ours or report.kept_theirs or report.both_moved
    return Merged(merged, notes, tuple(report.conflicts), not doubtful)


def recognise(theirs: Sequence[NotebookNode], base: Sequence[NotebookNode]) -> None:
    """Give cells that are cells of ``base`` their ids again: some programs renumber ids, or know none."""
    known = {cell["id"] for cell in base}
    present = {cell["id"] for cell in theirs}
    strangers = [cell for cell in theirs if cell["id"] not in known]
    missing = [cell for cell in base if cell["id"] not in present]
    for cell, index in zip(strangers, match(strangers, missing, rewritten=False), strict=True):
        if index is not None:
            cell["id"] = missing[index]["id"]


def _recognise_new(theirs: Sequence[NotebookNode], ours: Sequence[NotebookNode], base: Sequence[NotebookNode]) -> None:
    """New cells of both sides are one if they say the same at one place, and else have ids of their own.

    Ids that follow from what a cell says, as those of texts do, are the same for cells at different places.
    """
    here, there = _places(ours, theirs, base), _places(theirs, ours, base)
    same = {cell_id for cell_id, _ in here.items() & there.items()}
    free: dict[Any, list[str]] = {}
    for cell in reversed(ours):
        if cell["id"] in here.keys() - same:
            free.setdefault((here[cell["id"]], (cell["cell_type"], cell["source"])), []).append(cell["id"])
    taken = {cell["id"] for side in (theirs, ours, base) for cell in side}
    for cell in theirs:
        if cell["id"] not in there or cell["id"] in same:
            continue
        twins = free.get((there[cell["id"]], (cell["cell_type"], cell["source"])))
        if twins:
            cell["id"] = twins.pop()
        elif cell["id"] in here:
            cell["id"] = stable_id(cell, taken)
            taken.add(cell["id"])


def _places(
    side: Sequence[NotebookNode], other: Sequence[NotebookNode], base: Sequence[NotebookNode]
) -> dict[str, str | None]:
    """The new cells of a side, with the cell of all three that stands before each."""
    known = {cell["id"] for cell in base}
    common = known & {cell["id"] for cell in other}
    places: dict[str, str | None] = {}
    before: str | None = None
    for cell in side:
        if cell["id"] in common:
            before = cell["id"]
        elif cell["id"] not in known:
            places[cell["id"]] = before
    return places


def _order(base: list[str], ours: list[str], theirs: list[str], report: _Report) -> list[str]:
    """Ours if we moved cells, else theirs; what only the other side has follows what it followed there."""
    common = set(base) & set(ours) & set(theirs)
    was, here, there = ([i for i in side if i in common] for side in (base, ours, theirs))
    report.moved = there != was
    if here == was:
        return _woven(theirs, ours, first=lambda _: False)
    report.both_moved = there not in (was, here)
    mine = set(ours) - set(theirs) - set(base)
    return _woven(ours, theirs, first=mine.__contains__)


def _woven(backbone: list[str], other: list[str], *, first: Callable[[str], bool]) -> list[str]:
    """``other``'s own ids inserted, at one place behind those of the backbone that are ``first``."""
    known = set(backbone)
    followers: dict[str | None, list[str]] = {}
    anchor: str | None = None
    for cell_id in other:
        if cell_id in known:
            anchor = cell_id
        else:
            followers.setdefault(anchor, []).append(cell_id)
    woven: list[str] = []
    waiting = followers.get(None, [])
    for cell_id in backbone:
        if not first(cell_id):
            woven += waiting
            waiting = []
        woven.append(cell_id)
        waiting = [*waiting, *followers.get(cell_id, [])]
    return woven + waiting


def _merged(
    base: NotebookNode | None,
    ours: NotebookNode | None,
    theirs: NotebookNode | None,
    report: _Report,
    taken: set[str],
) -> list[NotebookNode]:
    """The cell as it will be: none if deleted, two after a conflict."""
    if ours is not None and theirs is not None:
        return _merged_cell(base, ours, theirs, report, taken)
    if ours is not None:
        if base is None:
            return [ours]
        unchanged = _content(ours) == _content(base) and _run(ours) == _run(base)
        (report.deleted if unchanged else report.kept_ours).append(ours["id"])
        return [] if unchanged else [ours]
    if theirs is not None and base is None:
        report.added.append(theirs["id"])
        return [theirs]
    if theirs is not None and _content(theirs) != _content(base):
        report.kept_theirs.append(theirs["id"])
        return [theirs]
    return []


def _merged_cell(
    base: NotebookNode | None, ours: NotebookNode, theirs: NotebookNode, report: _Report, taken: set[str]
) -> list[NotebookNode]:
    content = _merged_content(base, ours, theirs)
    if content is None:
        twin = copy.deepcopy(theirs)
        twin["id"] = stable_id(twin, taken)
        taken.add(twin["id"])
        twin["metadata"]["tags"] = list(dict.fromkeys([*twin["metadata"].get("tags", []), report.tag]))
        report.conflicts.append((ours["id"], twin["id"]))
        return [ours, twin]
    if content != _content(ours):
        report.edited.append(ours["id"])
    elif base is not None and _run(ours) == _run(base) != _run(theirs):
        report.run.append(ours["id"])
    cell_type, source, attachments = content
    before = _run(base) if base is not None else ([], None)
    # Where neither ran it, ours: its outputs are those that a later update of a display changes.
    ran_here = cell_type == ours["cell_type"] and (
        cell_type != theirs["cell_type"] or _run(ours) != before or _run(theirs) == before
    )
    cell = copy.copy(ours if ran_here else theirs)
    cell["source"] = source
    if attachments:
        cell["attachments"] = attachments
    else:
        cell.pop("attachments", None)
    was = base["metadata"] if base is not None else {}
    cell["metadata"] = _merged_mapping(was, ours["metadata"], theirs["metadata"])
    return [cell]


def _merged_content(base: NotebookNode | None, ours: NotebookNode, theirs: NotebookNode) -> tuple[str, str, Any] | None:
    here, there = _content(ours), _content(theirs)
    was = _content(base) if base is not None else None
    if here == there or there == was:
        return here
    if here == was:
        return there
    if was is None or not (here[0] == there[0] == was[0]):
        return None
    attachments = _merged_value(was[2], here[2], there[2])
    source = merge_lines(was[1], here[1], there[1])
    return None if source is None or attachments is _ABSENT else (here[0], source, attachments)


def _merged_value(base: Any, ours: Any, theirs: Any) -> Any:
    """The value of the side that changed it; ``_ABSENT`` if both did, differently."""
    if ours == theirs or theirs == base:
        return ours
    return theirs if ours == base else _ABSENT


def _merged_mapping(base: Any, ours: Any, theirs: Any) -> NotebookNode:
    """Metadata key by key; ours where both changed one, except that tags of both sides stay."""
    merged = {}
    for key in {**ours, **theirs}:
        here, there = ours.get(key, _ABSENT), theirs.get(key, _ABSENT)
        was = base.get(key, _ABSENT)
        value = here if here == there or here != was else there
        if key == "tags":
            value = _merged_tags(*(() if tags is _ABSENT else tags for tags in (was, here, there))) or _ABSENT
        if value is not _ABSENT:
            merged[key] = value
    return node(merged)


def _merged_tags(base: Iterable[str], ours: Iterable[str], theirs: Iterable[str]) -> list[str]:
    gone = {tag for tag in base if tag not in ours or tag not in theirs}
    return [tag for tag in dict.fromkeys([*ours, *theirs]) if tag not in gone]


def _shown(metadata: NotebookNode) -> dict[str, Any]:
    """A notebook's metadata but for what saving itself puts there."""
    return {key: value for key, value in metadata.items() if key not in _OF_THE_FILES}


def _content(cell: Any) -> tuple[str, str, Any]:
    return cell["cell_type"], cell["source"], cell.get("attachments") or {}


def _run(cell: NotebookNode) -> tuple[Any, Any]:
    return cell.get("outputs"), cell.get("execution_count")


def _sentences(report: _Report, sources: Mapping[str, str]) -> Iterable[str]:
    taken = {"edited": report.edited, "run": report.run, "added": report.added, "deleted": report.deleted}
    done = [f"{what} there: {_named(ids)}" for what, ids in taken.items() if ids]
    if report.moved and not report.both_moved:
        done.append("cells moved there")
    if done:
        yield f"The file had changed on disk and was merged by cell ({'; '.join(done)})."
    for ours, twin in report.conflicts[:_NAMED]:
        yield (
            f"Cell {ours} was changed here and on disk: yours stays, the disk's follows as cell {twin}, "
            f"tagged {report.tag}. Put what is right into one of them and delete the other. From yours to the disk's:\n"
            f"{_shown_changes(sources[ours], sources[twin])}"
        )
    if len(report.conflicts) > _NAMED:
        yield f"{len(report.conflicts) - _NAMED} more cells were kept twice: look for the tag {report.tag}."
    if report.kept_ours:
        yield f"Deleted on disk but edited or run here, so they stay: {_named(report.kept_ours)}."
    if report.kept_theirs:
        yield f"Deleted here but edited on disk, so they are back: {_named(report.kept_theirs)}."
    if report.both_moved:
        yield "Cells were moved here and on disk: the order is yours."


def _shown_changes(ours: str, theirs: str) -> str:
    lines = [line if len(line) <= _LINE_CHARS else f"{line[:_LINE_CHARS]}..." for line in line_changes(ours, theirs)]
    more = [f"({len(lines) - _LINES} more lines)"] if len(lines) > _LINES else []
    return "\n".join([*lines[:_LINES], *more])


def _named(ids: list[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return ", ".join(ids[:_NAMED]) + more
