"""Notebooks on disk: read, told apart from what was read last, written without clobbering.

The text of a pair is the source of truth for the cells' source; ids, outputs and all else are
the .ipynb's. All calls block and belong in a worker thread, one at a time for each notebook.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nbformat import NotebookNode

from mcp_notebook.errors import FileRefused, SaveFailed
from mcp_notebook.files import disk, halves, ipynb, texts
from mcp_notebook.files.disk import ABSENT, Stamp, digest
from mcp_notebook.files.merge import merge
from mcp_notebook.files.pairs import Pair
from mcp_notebook.nodes import snapshot

_ATTEMPTS = 5
_CELLS_NAMED = 10


@dataclass(frozen=True)
class OnDisk:
    """What was read or written last. ``notebook`` may be edited: the merge base is a copy."""

    notebook: NotebookNode
    pair: Pair
    digests: dict[Path, str]
    notes: tuple[str, ...]
    text_holds_cells: bool = True
    """False when the text says something else than ``notebook`` and has to be written."""
    base: NotebookNode = field(default_factory=ipynb.empty, repr=False)
    stamps: dict[Path, Stamp | None] = field(default_factory=dict, repr=False, compare=False)
    is_composed: bool = field(default=False, compare=False)
    """Whether the text is known to be as jupytext writes it."""


def read(pair: Pair, base: OnDisk | None = None) -> OnDisk:
    """The notebook on disk; an empty one if no file is there.

    ``base``, what was read before, gives ids and outputs while there is no .ipynb, or the same one: cells that
    were added to the text meanwhile are in no .ipynb.

    Raises:
        FileRefused: unreadable, not UTF-8, no notebook, invalid beyond repair. Nothing is changed.
    """
    stamps = {path: disk.stamp(path) for path in pair.paths}  # before reading: what comes later is a change
    contents = _contents(pair)
    found = _read(pair, contents, *_before(pair, contents, base))
    absent = _absent(pair, base) if all(data is None for data in contents.values()) else ()
    return replace(found, stamps=stamps, notes=(*absent, *found.notes))


def read_contents(pair: Pair, contents: Mapping[Path, bytes | None], whence: str) -> NotebookNode:
    """The notebook that these bytes of the pair's files are, as git has them; ``whence`` is said of them in errors.

    Raises:
        FileRefused: no UTF-8, no notebook, or invalid beyond repair.
    """
    text, book = (None if path is None else path.with_name(f"{whence}{path.name}") for path in (pair.text, pair.ipynb))
    fmt = pair.fmt
    if text is not None and pair.text is not None and (data := contents[pair.text]) is not None:
        fmt = texts.format_of(ipynb.decoded(data, text).removeprefix("\ufeff"), text)
        if fmt is None:
            raise FileRefused(f"{text.name} is a script there, not a notebook: it has no '# %%' cell.")
    there = {
        path: contents[real] for path, real in ((text, pair.text), (book, pair.ipynb)) if path is not None and real
    }
    return _read(Pair(book, text, fmt), there, ipynb.empty()).notebook


def changed(base: OnDisk) -> bool:
    """Whether a file differs from what ``base`` saw. Reads only files whose ``stat`` moved or is young.

    Raises:
        FileRefused: a file can no longer be read.
    """
    for path, known in base.digests.items():
        now = disk.stamp(path)
        if now is not None and now == base.stamps.get(path):
            continue
        if digest(disk.contents(path)) != known:
            return True
        base.stamps[path] = now
    return False


def write(pair: Pair, notebook: NotebookNode, base: OnDisk | None) -> OnDisk:
    """Write the pair, merged with what changed on disk since ``base``; returns what is there now.

    ``notebook`` is not changed, and no other thread may change it meanwhile; its outputs are those
    of the result. The text comes first: after a crash between the two the source of truth is new,
    and only outputs are old. A text whose cells did not change is not touched.

    Raises:
        SaveFailed: the disk said no; both files are as they were.
        FileRefused: another notebook is there, or what is there now cannot be read.
    """
    for _ in range(_ATTEMPTS):
        found = _contents(pair)
        digests = {path: digest(data) for path, data in found.items()}
        ours, notes, holds_cells = _reconciled(pair, notebook, base, found, digests)
        written = copy.deepcopy(ours)
        composed = (
            base is not None
            and base.is_composed
            and pair.text is not None
            and (base.digests.get(pair.text) == digests[pair.text])
        )
        files, more = _files(pair, written, found, holds_cells, composed)
        if disk.replace(_targets(pair, files, found), expected=digests):
            digests |= {path: digest(data) for path, data in files.items()}
            ours.metadata = copy.deepcopy(written.metadata)
            composed = composed or pair.text in files
            return OnDisk(ours, pair, digests, (*notes, *more), is_composed=composed, base=written)
    raise SaveFailed(f"{pair.name} keeps changing on disk while it is saved. Stop the other program and save again.")


def _contents(pair: Pair) -> dict[Path, bytes | None]:
    return {path: disk.contents(disk.target(path, pair.workspace)) for path in pair.paths}


def _before(
    pair: Pair, contents: Mapping[Path, bytes | None], base: OnDisk | None
) -> tuple[NotebookNode, NotebookNode | None]:
    """What gives ids where there is no .ipynb, and what does so instead of one that is as it was."""
    if base is None:
        return ipynb.empty(), None
    before = copy.deepcopy(base.base)
    if pair.ipynb is None or pair.text is None or digest(contents[pair.ipynb]) != base.digests.get(pair.ipynb):
        return before, None
    halves.forget_record(before)
    return before, before if contents[pair.ipynb] is not None else None


def _absent(pair: Pair, base: OnDisk | None) -> tuple[str, ...]:
    if base is not None and any(known != ABSENT for known in base.digests.values()):
        return (f"{pair.name} was deleted from the disk; save_notebook writes it anew.",)
    return (f"{pair.name} does not exist yet: a new notebook, which save_notebook writes there.",)


def _on_disk(
    pair: Pair,
    notebook: NotebookNode,
    digests: dict[Path, str],
    notes: tuple[str, ...],
    *,
    holds: bool = True,
) -> OnDisk:
    return OnDisk(notebook, pair, digests, notes, holds, copy.deepcopy(notebook))


def _read(
    pair: Pair,
    found: Mapping[Path, bytes | None],
    without_ipynb: NotebookNode,
    instead: NotebookNode | None = None,
) -> OnDisk:
    """``without_ipynb`` gives ids and outputs if there is no .ipynb, ``instead`` where it is not to be read."""
    notes: tuple[str, ...] = ()
    notebook, holds_cells = without_ipynb, True
    data = found[pair.ipynb] if pair.ipynb is not None else None
    if instead is not None:
        notebook = instead
    elif pair.ipynb is not None and data is not None:
        parsed = ipynb.parse(data, pair.ipynb)
        notebook, notes = parsed.notebook, parsed.notes
    if pair.text is not None and pair.fmt is not None:
        joined = halves.join(found[pair.text], notebook, pair.text, pair.fmt)
        notebook, holds_cells, notes = joined.notebook, joined.text_holds_cells, (*notes, *joined.notes)
    digests = {path: digest(data) for path, data in found.items()}
    return _on_disk(pair, notebook, digests, notes, holds=holds_cells)


def _reconciled(
    pair: Pair,
    notebook: NotebookNode,
    base: OnDisk | None,
    found: Mapping[Path, bytes | None],
    digests: Mapping[Path, str],
) -> tuple[NotebookNode, tuple[str, ...], bool]:
    """What is to be on disk, notes, and whether the text there says it already."""
    if base is not None and base.pair != pair:
        base = None
    ours = snapshot(notebook)
    ipynb.give_ids(ours.cells, pair.name)
    if base is not None and base.base.metadata.get("jupytext"):  # of the files: a caller need not carry it
        ours.metadata.setdefault("jupytext", base.base.metadata["jupytext"])
    there = {path: known for path, known in digests.items() if known != ABSENT}
    if not there:
        gone = base is not None and any(base.digests.values())
        return ours, (f"{pair.name} was gone from the disk and was written anew.",) if gone else (), False
    if base is not None and base.digests == digests:
        return ours, (), base.text_holds_cells and halves.cells(ours) == halves.cells(base.base)
    before = base.base if base is not None else ipynb.empty()
    theirs = _read(pair, found, copy.deepcopy(before))
    if base is None:
        _refuse_another(pair, ours, theirs.notebook)
    merged = merge(before, ours, theirs.base)
    holds = theirs.text_holds_cells and halves.cells(merged.notebook) == halves.cells(theirs.notebook)
    return merged.notebook, (*theirs.notes, *merged.notes), holds


def _refuse_another(pair: Pair, ours: NotebookNode, theirs: NotebookNode) -> None:
    known = {cell["id"] for cell in ours.cells}
    if theirs.cells and not any(cell["id"] in known for cell in theirs.cells):
        raise FileRefused(f"{pair.name} is another notebook already. Save to another path, or open that one.")


def _files(
    pair: Pair,
    notebook: NotebookNode,
    found: Mapping[Path, bytes | None],
    text_holds_cells: bool,
    text_is_composed: bool,
) -> tuple[dict[Path, bytes], tuple[str, ...]]:
    """New bytes of the pair's files, the text first; sets the notebook's own metadata."""
    files: dict[Path, bytes] = {}
    notes: tuple[str, ...] = ()
    if pair.text is not None and pair.fmt is not None:
        old = found[pair.text]
        content = old
        if content is None or not text_holds_cells:
            before = None if old is None else ipynb.decoded(old, pair.text)
            text = texts.compose(notebook, pair.fmt, before, pair.text)
            content = files[pair.text] = text.encode()
            notes = _inexact(notebook, text, pair.fmt, pair.text)
            if before and not text_is_composed and not texts.is_as_composed(before, pair.fmt, pair.text):
                notes = (as_jupytext_writes(pair.text, pair.fmt), *notes)
            if not (before or "").strip():
                notebook.metadata.setdefault("jupytext", texts.pairing(pair.fmt))
        halves.record(notebook, content, pair.text)
    if pair.ipynb is not None:
        files[pair.ipynb], more = ipynb.compose(notebook, pair.ipynb)
        notes += more
    return files, notes


def as_jupytext_writes(path: Path, fmt: str) -> str:
    """The note on a text that changed in more than its cells."""
    return (
        f"{path.name} was not laid out as jupytext writes it, and now is, this once: header, cell marks and empty "
        f"lines are as `jupytext --to {fmt}` writes them."
    )


def _targets(pair: Pair, files: Mapping[Path, bytes], found: Mapping[Path, bytes | None]) -> dict[Path, bytes]:
    """Files whose bytes differ, by the path that a symlink leads to."""
    return {disk.target(path, pair.workspace): data for path, data in files.items() if data != found[path]}


def _inexact(notebook: NotebookNode, text: str, fmt: str, path: Path) -> tuple[str, ...]:
    try:
        ids = texts.differing(notebook, text, fmt, path)
    except FileRefused as exc:
        raise SaveFailed(
            f"{path} was not written, since as {fmt} it could not be read again: {exc.__cause__}. Nothing was "
            "changed on disk. Change the cell or the tag that this names, or save as .py or .ipynb."
        ) from exc
    if not ids:
        return ()
    more = f" and {len(ids) - _CELLS_NAMED} more" if len(ids) > _CELLS_NAMED else ""
    return (
        f"{path.name} cannot say these cells exactly (such as a code line '# %%', or control characters): "
        f"{', '.join(ids[:_CELLS_NAMED])}{more}. The .ipynb can; an edit of the text by another program "
        "would change or split them.",
    )
