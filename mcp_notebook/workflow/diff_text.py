"""Changes between two notebooks as text that a model and a person can read.

Pure. A line that begins with ``#`` names a cell by its position and id, as everywhere; ``+``, ``-`` and a space begin
lines as in every diff. Images and long outputs are said to have changed. What no screen shows as it is, such as control
characters and marks that turn the direction of a line round, is written out.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from nbformat import NotebookNode

from mcp_notebook.files.lines import line_changes, lines_of, visible
from mcp_notebook.render import output_text, shortened
from mcp_notebook.workflow.changes import CellChange, Changes, Operation, output_kind

NO_CHANGES = "No cell differs."
MOST_CHARS = 2000
"""Of an output that is shown; of a longer one only that it changed."""
MOST_LINES = 40
_VALUE_CHARS = 120
_LEAST_CHARS = 400
"""Of a cell, however many there are: below that only its name is shown."""
_MOST_KEYS = 20
_ORDER = ("cell_type", "source", "metadata", "attachments", "outputs", "many_outputs")


def diff_text(changes: Changes, chars: int | None = None, size: int | None = None) -> tuple[str, list[CellChange]]:
    """All changes, within about ``chars`` and ``size`` bytes, and the cells that are not shown whole."""
    texts = [_cell(change) for change in changes.cells]
    about = [_metadata_line("notebook metadata", *each) for each in changes.metadata[:_MOST_KEYS]]
    if not changes.outputs_compared and changes.cells:
        about.append("One side has no outputs, as what is in git: outputs are not compared.")
    while True:
        shown, left = _within(changes.cells, texts, None if chars is None else chars - sum(map(len, about)))
        text = "\n".join([*about, *shown])
        if not chars or size is None or len(text.encode()) <= size:
            return text, left
        chars = max(chars, 0) * size // len(text.encode()) * 9 // 10


def summary(changes: Changes) -> str:
    """How many cells were added, deleted, changed and moved, in a line."""
    moved = sum(change.moved for change in changes.cells)
    counts = {kind: changes.count(kind) for kind in ("changed", "added", "deleted")} | {"moved": moved}
    said = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    if not said:
        return "Only the notebook's metadata differs." if changes.metadata else NO_CHANGES
    return f"Cells: {said}."


def _within(
    cells: Sequence[CellChange], texts: Sequence[tuple[str, str]], chars: int | None
) -> tuple[list[str], list[CellChange]]:
    """At most half of ``chars`` goes to names; a cell gets at most half of what is left for the others."""
    if chars is None:
        return [part for name, body in texts for part in ("", name, *([body] if body else []))], []
    names = min(sum(len(name) + 2 for name, _ in texts), max(chars, 0) // 2)
    room = max(chars, 0) - names
    shown: list[str] = []
    left: list[CellChange] = []
    for index, (name, body) in enumerate(texts):
        names -= len(name) + 2
        if names < 0 and index:
            return [*shown, "", f"and {len(texts) - index:,} more cells"], [*left, *cells[index:]]
        most = len(body) if len(body) <= room else room // 2
        cut = body if most == len(body) else shortened(body, most) if most >= _LEAST_CHARS else ""
        if cut != body:
            left.append(cells[index])
        room -= len(cut)
        shown += ["", name, *([cut] if cut else [])]
    return shown, left


def _cell(change: CellChange) -> tuple[str, str]:
    """The line that names it, and what is below that."""
    if change.new is None:
        old = change.old
        assert old is not None
        return f"{_name(old, None)} deleted, was #{change.was_at}", "\n".join(_all(old, "-"))
    name = _name(change.new, change.is_at)
    if change.old is None:
        more = _tags(change.new) + _outputs_named(change.new)
        return f"{name} added{more}", "\n".join(_all(change.new, "+"))
    what = " changed" if change.kind == "changed" else ""
    moved = f"{',' if what else ''} moved from #{change.was_at}" if change.moved else ""
    old, new = change.old, change.new
    steps = sorted(change.steps, key=lambda step: _ORDER.index(step["key"]))
    return f"{name}{what}{moved}", "\n".join(line for step in steps for line in _step(step, old, new))


def _name(cell: NotebookNode, position: int | None) -> str:
    kind = "" if cell["cell_type"] == "code" else f"{cell['cell_type']} "
    return f"#{'-' if position is None else position} {kind}cell={cell['id']}"


def _tags(cell: NotebookNode) -> str:
    tags = cell["metadata"].get("tags")
    return f", tags: {_value(', '.join(map(str, tags)))}" if tags else ""


def _outputs_named(cell: NotebookNode) -> str:
    outputs = cell.get("outputs") or []
    return f", {len(outputs)} output{'s' if len(outputs) > 1 else ''}" if outputs else ""


def _all(cell: NotebookNode, sign: str) -> list[str]:
    return [f"{sign}{visible(line)}" for line in lines_of(cell["source"])]


def _step(step: Operation, old: NotebookNode, new: NotebookNode) -> Iterator[str]:
    match step["key"]:
        case "source":
            yield from line_changes(old["source"], new["source"])
        case "cell_type":
            yield f"type: {old['cell_type']} -> {new['cell_type']}"
        case "metadata":
            yield from _metadata(old["metadata"], new["metadata"], step)
        case "outputs":
            yield from _outputs(step, old.get("outputs") or [], new.get("outputs") or [])
        case "many_outputs":
            yield f"outputs changed: {len(old.get('outputs') or [])} -> {len(new.get('outputs') or [])}"
        case "attachments":
            yield from _attachments(old.get("attachments") or {}, new.get("attachments") or {})


def _metadata(old: Mapping[str, Any], new: Mapping[str, Any], step: Operation) -> Iterator[str]:
    for inner in step["diff"]:
        key = inner["key"]
        if key == "tags":
            was, now = (list(map(str, side.get("tags", []))) for side in (old, new))
            signs = [f"-{tag}" for tag in was if tag not in now] + [f"+{tag}" for tag in now if tag not in was]
            yield f"tags: {_value(' '.join(signs) or 'in another order')}"
        else:
            yield _metadata_line("metadata", key, old.get(key), new.get(key))


def _metadata_line(what: str, key: str, old: Any, new: Any) -> str:
    was, now = ("none" if value is None else _value(json.dumps(value, sort_keys=True)) for value in (old, new))
    return f"{what} {_value(key)}: {was} -> {now}"


def _attachments(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in sorted({**old, **new}):
        if old.get(name) != new.get(name):
            what = "added" if name not in old else "deleted" if name not in new else "changed"
            yield f"attachment {_value(name)} {what}"


def _outputs(step: Operation, old: Sequence[NotebookNode], new: Sequence[NotebookNode]) -> Iterator[str]:
    """By nbdime's steps on the list: what was taken out or in, and what changed in its place."""
    if step["op"] != "patch":
        yield f"outputs changed: {len(old)} -> {len(new)}"
        return
    yield "outputs:"
    shift = 0
    steps = {(inner["key"], inner["op"]): inner for inner in step["diff"]}
    for at in sorted({key for key, _ in steps}):
        if (at, "patch") in steps:
            yield from _output_changes(old[at], new[at + shift])
            continue
        gone = steps[at, "removerange"]["length"] if (at, "removerange") in steps else 0
        come = len(steps[at, "addrange"]["valuelist"]) if (at, "addrange") in steps else 0
        yield from _outputs_replaced(old[at : at + gone], new[at + shift : at + shift + come])
        shift += come - gone


def _outputs_replaced(old: Sequence[NotebookNode], new: Sequence[NotebookNode]) -> Iterator[str]:
    if list(map(_kind, old)) == list(map(_kind, new)):
        for was, now in zip(old, new, strict=True):
            yield from _output_changes(was, now)
    else:
        for sign, outputs in (("-", old), ("+", new)):
            for output in outputs:
                yield from _output(output, sign)


def _output_changes(old: NotebookNode, new: NotebookNode) -> Iterator[str]:
    was, now = _shown(old), _shown(new)
    if _kind(new).startswith("image/") or was == now:
        yield f"~{_kind(new)} changed"
    elif _is_long(was) or _is_long(now):
        yield f"~{_kind(new)} changed: {len(was):,} -> {len(now):,} characters"
    else:
        yield from (line for line in line_changes(was, now) if not line.startswith("@@"))


def _output(output: NotebookNode, sign: str) -> Iterable[str]:
    text = _shown(output)
    if _is_long(text):
        return [f"{sign}({_kind(output)}, {len(text):,} characters)"]
    return [f"{sign}{visible(line)}" for line in text.splitlines()] or [f"{sign}({_kind(output)})"]


def _shown(output: NotebookNode) -> str:
    """As text; of a failure no traceback, which is compared neither."""
    if output["output_type"] == "error":
        return f"{output['ename']}: {output['evalue']}"
    return output_text(output).strip("\n")


def _kind(output: NotebookNode) -> str:
    return _value(output_kind(output))


def _is_long(text: str) -> bool:
    return len(text) > MOST_CHARS or text.count("\n") > MOST_LINES


def _value(text: str) -> str:
    return visible(text if len(text) <= _VALUE_CHARS else f"{text[:_VALUE_CHARS]}...")
