"""The V4A format of patches, read: several files added, changed, removed and moved in one text.

    *** Begin Patch
    *** Update File: a.py
    @@ hint @@
     context
    -old
    +new
    *** Add File: b.py
    +its content
    *** Delete File: c.py
    *** Move File: d.py -> e.py
    *** End Patch

Pure. Begin and end may be missing; a line without a sign is context; an empty line is nothing.
"""

import re
from dataclasses import dataclass, field
from typing import Literal

from mcp_notebook.errors import BadRequest

Kind = Literal["add", "update", "delete", "move"]

_BEGIN, _END = re.compile(r"\*\*\* ?Begin Patch"), re.compile(r"\*\*\* ?End Patch")
_HEADERS: dict[Kind, re.Pattern[str]] = {
    "update": re.compile(r"\*\*\*\s*Update\s+File:\s*(.+)"),
    "add": re.compile(r"\*\*\*\s*Add\s+File:\s*(.+)"),
    "delete": re.compile(r"\*\*\*\s*Delete\s+File:\s*(.+)"),
    "move": re.compile(r"\*\*\*\s*Move\s+File:\s*(.+?)\s*->\s*(.+)"),
}
_HINT = re.compile(r"@@\s*(.+?)\s*@@")


@dataclass
class Hunk:
    """Lines that belong together, each with its sign: a space, ``-`` or ``+``."""

    hint: str | None = None
    lines: list[tuple[str, str]] = field(default_factory=list)

    def signed(self, signs: str) -> list[str]:
        """The lines that have one of the signs."""
        return [line for sign, line in self.lines if sign in signs]

    @property
    def changes(self) -> bool:
        """Whether anything is added or removed."""
        return bool(self.signed("+-"))


@dataclass
class Operation:
    """What is to be done with one file."""

    kind: Kind
    path: str
    target: str = ""
    """Where it is moved."""
    hunks: list[Hunk] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        """All that it names."""
        return [self.path, self.target] if self.kind == "move" else [self.path]


def parse(patch: str) -> list[Operation]:
    """The operations in their order; none is no error.

    Raises:
        BadRequest: a path with ``..``, or a change without lines.
    """
    operations: list[Operation] = []
    for line in _body(patch.split("\n")):
        if operation := _header(line):
            operations.append(operation)
        # Nothing more belongs to a file that is removed or moved.
        elif operations and operations[-1].kind in ("add", "update"):
            _take(operations[-1], line)
    for operation in operations:
        operation.hunks = [hunk for hunk in operation.hunks if hunk.lines]
    for operation in operations:
        _refuse_upwards(operation)
    empty = [f"UPDATE {each.path!r}: no hunks found" for each in operations if each.kind == "update" and not each.hunks]
    if empty:
        raise BadRequest("Failed to parse patch: Parse error: " + "; ".join(empty))
    return operations


def _body(lines: list[str]) -> list[str]:
    begin = 0
    for number, line in enumerate(lines):
        if _BEGIN.search(line):
            begin = number + 1
        elif _END.search(line):
            return lines[begin:number]
    return lines[begin:]


def _header(line: str) -> Operation | None:
    for kind, pattern in _HEADERS.items():
        if found := pattern.match(line):
            path, target = [*(group.strip() for group in found.groups()), ""][:2]
            return Operation(kind, path, target)
    return None


def _take(operation: Operation, line: str) -> None:
    if line.startswith("@@"):
        hint = _HINT.match(line)
        operation.hunks.append(Hunk(hint.group(1) if hint else None))
        return
    # A backslash says "no newline at end of file".
    if not line or line.startswith("\\"):
        return
    if not operation.hunks:
        operation.hunks.append(Hunk())
    sign, rest = (line[0], line[1:]) if line[0] in " +-" else (" ", line)
    operation.hunks[-1].lines.append((sign, rest))


def _refuse_upwards(operation: Operation) -> None:
    for path in operation.paths:
        if ".." in path.split("/"):
            raise BadRequest(
                f"V4A patch header contains '..' traversal: {path!r}. Use the agent's cwd-relative path (no '..') or "
                "an absolute path in '*** Update File:' / '*** Add File:' / '*** Delete File:' / '*** Move File:' "
                "headers."
            )
