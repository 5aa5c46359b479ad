"""Whether a cell that is replayed gives what it gave before: its outputs, without what changes by itself.

Pure. Addresses in memory, lengths and points of time, random ids and the names of temporary files are passed over.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mcp_notebook.outputs import Output

LINES = 20
LINE_CHARS = 100
SHOWN_CHARS = 60
OURS = "[mcp-notebook]"
"""Begins what the product says in a cell's outputs."""
_NUMBER = r"(?<!\w)(?<!\d[.,])\d++(?:[.,]\d++)*+(?:e[+-]?\d++)?+"
"""Never tried anew within itself: a million numbers with commas between them are one."""
PASSED_OVER = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32}\b",
        r"\b0x[0-9a-f]{6,}\b",
        r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?",
        r"\b1[5-9]\d{8}(?:\.\d+)?\b",
        r"\b\d{1,2}:\d\d(?::\d\d)?(?:\.\d+)?\b",
        rf"{_NUMBER}\s?(?:(?:[kmg]?b|it|rows?|steps?)/s|s/it)\b",
        rf"{_NUMBER}\s?(?:ns|[u\xb5\u03bc]s|ms|s|secs?|seconds?|min|minutes?)\b",
        r"/tmp/[\w.-]*(?:/[\w.-]+)?",
        r"<ipython-input-[\w-]+>|ipykernel_\d+",
    )
)
_MARKUP = ("text/html", "text/markdown", "text/latex")
"""Is not compared where there is plain text beside it: it has random ids."""


@dataclass(frozen=True)
class Taken:
    """What a cell gave, as far as it is compared: a digest of all of it, and its first lines."""

    digest: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, outputs: Sequence[Output]) -> "Taken":
        """Of a cell's outputs; takes milliseconds where they are long."""
        text = _without_chance("".join(_texts(outputs)))
        lines = [line for line in text.splitlines() if not line.startswith(OURS)]
        digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:16]
        return cls(digest, tuple(line[:LINE_CHARS] for line in lines[:LINES]))

    def difference(self, after: "Taken") -> str | None:
        """In a few words; None where they are alike."""
        if self.digest == after.digest:
            return None
        for number in range(max(len(self.lines), len(after.lines))):
            was, is_ = (taken.lines[number] if number < len(taken.lines) else None for taken in (self, after))
            if was != is_:
                return f"line {number + 1} was {_shown(was)}, is {_shown(is_)}"
        return f"it differs beyond what is compared word for word ({LINES} lines of {LINE_CHARS} characters)"


class Comparison:
    """Of the cells of one run, one after the other."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        """``data`` is what ``as_data`` of an earlier server said."""
        known = data or {}
        self.differences: dict[str, str] = dict(known.get("differences", {}))
        """By cell."""
        self.alike: list[str] = list(known.get("alike", ()))
        self.unknown: list[str] = list(known.get("unknown", ()))
        """Cells of which it is not known."""
        self._before: tuple[str, Taken] | None = None
        if before := known.get("before"):
            self._before = before["cell"], Taken(before["digest"], tuple(before["lines"]))

    def as_data(self) -> dict[str, Any]:
        """The same as JSON."""
        cell, taken = self._before or ("", None)
        before = {"cell": cell, **asdict(taken)} if taken is not None else None
        return {"differences": self.differences, "alike": self.alike, "unknown": self.unknown, "before": before}

    def begin(self, cell_id: str, before: Taken) -> None:
        """It is about to be run."""
        self._before = cell_id, before

    def end(self, cell_id: str, after: Taken) -> None:
        """It has succeeded. That an earlier server heard of it already is no matter."""
        known, self._before = self._before, None
        if cell_id in self.differences or cell_id in self.alike or cell_id in self.unknown:
            return
        if known is None or known[0] != cell_id:
            self.unknown.append(cell_id)
        elif difference := known[1].difference(after):
            self.differences[cell_id] = difference
        else:
            self.alike.append(cell_id)

    def __str__(self) -> str:
        """One sentence on all of them."""
        compared = len(self.alike) + len(self.differences)
        unknown = f" Of {len(self.unknown)} it is not known." if self.unknown else ""
        if self.differences:
            return f"{len(self.differences)} of {compared} results differ from before.{unknown}"
        return f"All results are as before.{unknown}" if compared else unknown.lstrip()


def _texts(outputs: Sequence[Output]) -> Iterable[str]:
    for output in outputs:
        kind = output["output_type"]
        if kind == "stream":
            yield output["text"]
        elif kind == "error":
            yield f"{output['ename']}: {output['evalue']}\n"
        else:
            yield from _bundle(output.get("data", {}))


def _bundle(data: Mapping[str, Any]) -> Iterable[str]:
    plain = data.get("text/plain")
    if plain is not None:
        yield f"{plain}\n"
    for mime in sorted(data):
        if mime == "text/plain" or (plain is not None and mime in _MARKUP):
            continue
        content = json.dumps(data[mime], sort_keys=True)
        if not mime.startswith("image/"):
            content = _without_chance(content)
        yield f"[{mime} {hashlib.sha256(content.encode('utf-8', 'replace')).hexdigest()[:8]}]\n"


def _without_chance(text: str) -> str:
    for pattern in PASSED_OVER:
        text = pattern.sub("~", text)
    return text


def _shown(line: str | None) -> str:
    if line is None:
        return "missing"
    return repr(line if len(line) <= SHOWN_CHARS else f"{line[:SHOWN_CHARS]}...")
