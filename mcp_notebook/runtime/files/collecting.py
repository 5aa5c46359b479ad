"""What a search found, by what was asked for: a page of it, how much there is, and whether there is more.

The total is that of what was looked at: a search ends when it has a page, and knows that there is more.
"""

import json
from abc import abstractmethod
from typing import Any, Protocol

from mcp_notebook.runtime.files.engines import Row


class Collected(Protocol):
    """Rows in the order of the search."""

    wanted: int
    """So many, counted from the first, make the page and what comes before it."""
    full: bool
    """Whether there is more than that."""
    after: int
    """The offset at which a next search goes on."""

    @abstractmethod
    def take(self, rows: list[Row]) -> None:
        """Add the rows."""

    @abstractmethod
    def answer(self) -> dict[str, Any]:
        """Of ``search_files``."""


class Lines:
    """Matching lines and their context.

    ``extra`` rows behind the page are looked at; ``room`` is in characters of JSON.
    """

    def __init__(self, limit: int, offset: int, room: int, *, extra: int) -> None:
        self.wanted = limit + offset + extra
        self.full = False
        self.after = offset
        self._page = range(offset, offset + limit)
        self._with_context = bool(extra)
        self._room = room
        self._printed = self._total = 0
        self._matches: list[dict[str, Any]] = []
        self._last: Row | None = None

    def take(self, rows: list[Row]) -> None:
        """As ``Collected`` has it."""
        for row in rows:
            # Between lines that are not neighbours the program would print a line of its own.
            apart = self._with_context and self._last is not None and not _follows(row, self._last)
            if self.full or self._printed + apart >= self.wanted or self._room < 0:
                self.full = True
                return
            self._printed += 1 + apart
            self._last = row
            if self._total in self._page:
                self._keep(row)
            self._total += 1

    def _keep(self, row: Row) -> None:
        match = {"path": row.path.decode(errors="replace"), "line": row.number, "content": row.content}
        self._room -= _length(match)
        self._matches.append(match)
        self.after += 1

    def answer(self) -> dict[str, Any]:
        """As ``Collected`` has it."""
        answer: dict[str, Any] = {"total_count": self._total}
        if self._matches:
            answer["matches"] = self._matches
        if self.full or self._total > self._page.stop:
            answer["truncated"] = True
        return answer


class Names:
    """Files, each once."""

    def __init__(self, limit: int, offset: int, room: int) -> None:
        self.wanted = limit + offset
        self.full = False
        self.after = self._offset = offset
        self._room = room
        self._names: list[str] = []

    def take(self, rows: list[Row]) -> None:
        """As ``Collected`` has it."""
        for row in rows:
            if len(self._names) >= self.wanted or self._room < 0:
                self.full = True
                return
            self._names.append(row.path.decode(errors="replace"))
            self._room -= _length(self._names[-1])

    def answer(self) -> dict[str, Any]:
        """As ``Collected`` has it."""
        page = self._names[self._offset :]
        self.after = self._offset + len(page)
        answer: dict[str, Any] = {"total_count": len(self._names)}
        return answer | ({"files": page} if page else {}) | ({"truncated": True} if self.full else {})


class Counts:
    """How many lines match in each file, from the first file on."""

    def __init__(self, limit: int, offset: int, room: int) -> None:
        self.wanted = self.after = limit + offset
        self.full = False
        self._room = room
        self._counts: dict[str, int] = {}

    def take(self, rows: list[Row]) -> None:
        """As ``Collected`` has it."""
        for row in rows:
            if len(self._counts) >= self.wanted or self._room < 0:
                self.full = True
                return
            path = row.path.decode(errors="replace")
            self._counts[path] = row.number
            self._room -= _length(path)

    def answer(self) -> dict[str, Any]:
        """As ``Collected`` has it."""
        answer: dict[str, Any] = {"total_count": sum(self._counts.values())}
        return answer | ({"counts": self._counts} if self._counts else {}) | ({"truncated": True} if self.full else {})


def _length(value: Any) -> int:
    """What it takes in an answer, with what comes between."""
    return len(json.dumps(value)) + len(", ")


def _follows(row: Row, last: Row) -> bool:
    return row.path == last.path and row.number == last.number + 1
