"""The text of a notebook's pull request: what changed by cell, how it was run, and where the executed copy is.

Pure Markdown. What comes from notebooks is put into fences that it cannot end, so that nothing in it
is a mention, a link or a closing keyword.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_CHARS = 60_000
"""GitHub takes 65,536."""
MOST_TEXT_CHARS = 20_000
"""Of the author's own text."""
_MOST_DIFF_CHARS = 30_000
_MOST_TICKS = 100
_MOST_ROWS = 40
_MOST_VALUE_CHARS = 200
_TICKS = re.compile(r"`+")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})(.*)$", re.MULTILINE)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclass(frozen=True)
class Run:
    """How the notebook was executed."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    duration_s: float | None = None
    cells: int | None = None
    status: str = "ok"
    failing_cell: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    """Such as Python's version, and those of the packages that matter."""
    executed: Sequence[tuple[str, str]] = ()
    """Names and URLs of the executed copies."""


@dataclass(frozen=True)
class Change:
    """What a pull request does to one notebook."""

    notebook: str
    diff: str
    """By cell, as plain text."""
    run: Run | None = None


def describe(text: str, changes: Sequence[Change], notes: Sequence[str] = ()) -> str:
    """The body: the author's own ``text`` first. ``notes`` are sentences of ours."""
    text = _CONTROLS.sub("", text).strip()
    parts = [_closed(_cut(text, MOST_TEXT_CHARS))] if text else []
    most = _MOST_DIFF_CHARS // max(len(changes), 1)
    for change in changes:
        parts += _run(change.notebook, change.run) if change.run is not None else []
        parts.append(f"## Changes of {_code(change.notebook)}")
        shown = _CONTROLS.sub("", change.diff.strip("\n"))
        parts.append(_fenced(_cut(shown, most), "diff") if shown else "None in its cells.")
    parts += [_plain(note) for note in notes]
    body = "\n\n".join(parts)
    return f"{_closed(_cut(body, MOST_CHARS - _MOST_TICKS))}\n"


def _run(notebook: str, run: Run) -> list[str]:
    ended = "Ran to its end" if run.status == "ok" else f"Ended as **{_plain(run.status)}**"
    if run.failing_cell is not None:
        ended += f" in cell {_code(run.failing_cell)}"
    took = f" in {_seconds(run.duration_s)}" if run.duration_s is not None else ""
    cells = f", {run.cells} cells" if run.cells is not None else ""
    parts = [f"## Run of {_code(notebook)}", f"{ended}{took}{cells}."]
    if run.executed:
        parts.append("Executed copy: " + ", ".join(_link(name, url) for name, url in run.executed))
    if run.parameters:
        parts.append(_table("parameter", "value", {name: repr(value) for name, value in run.parameters.items()}))
    if run.environment:
        parts.append(_table("environment", "", run.environment))
    return parts


def _table(left: str, right: str, rows: Mapping[str, str]) -> str:
    lines = [f"| {left} | {right} |", "|---|---|"]
    lines += [f"| {_code(name)} | {_code(value)} |" for name, value in list(rows.items())[:_MOST_ROWS]]
    lines += [f"| and {len(rows) - _MOST_ROWS} more | |"] if len(rows) > _MOST_ROWS else []
    return "\n".join(lines)


def _code(text: str) -> str:
    """As code in a line, also of a table: a bar would end the cell."""
    line = _cut(" ".join(_CONTROLS.sub("", str(text)).split()), _MOST_VALUE_CHARS, mark="...").replace("|", "\\|")
    ticks = "`" * (_longest(line) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") or not line else ""
    return f"{ticks}{pad}{line}{pad}{ticks}"


def _fenced(text: str, language: str) -> str:
    ticks = "`" * max(3, _longest(text) + 1)
    return f"{ticks}{language}\n{text}\n{ticks}"


def _closed(text: str) -> str:
    """Markdown whose last fence is closed, also if it was cut: it would go on into what is below."""
    opened = ""
    for mark, rest in _FENCE.findall(text):
        if not opened:
            opened = mark
        elif mark.startswith(opened) and not rest.strip():
            opened = ""
    return f"{text}\n{opened}" if opened else text


def _longest(text: str) -> int:
    return max((len(run) for run in _TICKS.findall(text)), default=0)


def _link(name: str, url: str) -> str:
    if not re.fullmatch(r"https?://[^\s<>]+", url):
        return _code(f"{name} ({url})")
    return f"[{_plain(name)}](<{url}>)"


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>#@|~])", r"\\\1", " ".join(text.split()))


def _seconds(duration_s: float) -> str:
    if duration_s < 60:
        return f"{duration_s:.1f} s"
    minutes, seconds = divmod(round(duration_s), 60)
    return f"{minutes} min {seconds} s"


def _cut(text: str, most: int, *, mark: str = "\n... (cut here; the whole is in the commits)") -> str:
    if len(text) <= most:
        return text
    return text[: most - len(mark)] + mark
