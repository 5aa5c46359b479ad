"""The text of one output: whole, or beyond a limit its head, a note and its tail, and the whole outside.

Pure: where the whole is kept is the business of who hands in ``OpenLongText``.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

KEPT_CHARS = 50_000
"""Of a long text the document keeps as much of its beginning, and as much of its end."""

_NOTE = re.compile(r"\n\[mcp-notebook\] ([\d,]+) of [\d,]+ characters .*\n")


class LongText(Protocol):
    """Where the text of one output is kept whole, once it is too long for the document."""

    def append(self, text: str) -> None: ...

    def remove(self) -> None:
        """The output it belongs to is gone."""
        ...

    @property
    def chars(self) -> int:
        """How many characters are kept, from the first on."""
        ...


OpenLongText = Callable[[int], LongText]
"""Makes an empty one for the output of this index; again when another output has taken its place."""

Cut = Callable[[str], str]
"""Shortens the text of one output for the document, if it is too long for it."""


@dataclass(frozen=True)
class Spilling:
    """Which outputs' texts are kept outside, and how another one gets there."""

    limit_chars: int
    open_long_text: OpenLongText | None
    spilled: dict[int, LongText] = field(default_factory=dict)

    def text(self, index: int) -> "Text":
        """An empty text for the output of this index."""
        replaced = self.spilled.pop(index, None)
        if replaced is not None:
            replaced.remove()
        return Text(self, index)

    def clear(self) -> None:
        for text in self.spilled.values():
            text.remove()
        self.spilled.clear()

    def cut(self, index: int, whole: str) -> str:
        text = self.text(index)
        text.append(whole)
        return text.shown()


class Text:
    """The text of one output: whole, or beyond the limit its head and tail, and the whole outside."""

    def __init__(self, spilling: Spilling, index: int) -> None:
        self._spilling = spilling
        self._index = index
        self._keep_chars = max(1, min(KEPT_CHARS, spilling.limit_chars // 2))
        self._chars = 0
        self._head = ""
        self._pieces: list[str] = []  # of the whole text, or of its end
        self._held_chars = 0
        self._outside: LongText | None = None

    def append(self, text: str) -> None:
        self._chars += len(text)
        if self._outside is None:
            self._pieces.append(text)
            if self.is_long():
                self._move_outside(self._spilling.open_long_text)
        else:
            self._outside.append(text)
            self._hold_end(text)

    def is_long(self, more_chars: int = 0) -> bool:
        return self._chars + more_chars > self._spilling.limit_chars

    def shown(self, unfinished: str = "") -> str:
        """The text for the document, ending in ``unfinished``."""
        end = "".join(self._pieces)
        self._pieces = [end]
        if self._outside is None:
            return end + unfinished
        end = (end + unfinished)[-self._keep_chars :]
        total = self._chars + len(unfinished)
        note = _spill_note(total - len(self._head) - len(end), total, self._chars - self._outside.chars)
        return f"{self._head}{note}{end}"

    def _move_outside(self, open_long_text: OpenLongText | None) -> None:
        if open_long_text is None:
            return
        whole = "".join(self._pieces)
        self._outside = self._spilling.spilled[self._index] = open_long_text(self._index)
        self._outside.append(whole)
        self._head, self._pieces = whole[: self._keep_chars], []
        self._hold_end(whole)

    def _hold_end(self, text: str) -> None:
        self._pieces.append(text[-self._keep_chars :])
        self._held_chars += len(self._pieces[-1])
        if self._held_chars > 3 * self._keep_chars:
            self._pieces = ["".join(self._pieces)[-self._keep_chars :]]
            self._held_chars = self._keep_chars


def kept_outside(text: str) -> int:
    """How many characters the notes in ``text`` stand for, less those of the notes themselves."""
    return sum(int(note[1].replace(",", "")) - len(note[0]) for note in _NOTE.finditer(text))


def _spill_note(hidden: int, total: int, lost: int) -> str:
    where = "are kept outside the document: get_output pages and searches them"
    if lost:
        where = f"are not shown, and {lost:,} could not be written: get_output pages and searches the others"
    return f"\n[mcp-notebook] {hidden:,} of {total:,} characters {where}.\n"


def ends_of(text: str) -> str:
    """The ends of a text that is found whole elsewhere."""
    hidden = len(text) - 2 * KEPT_CHARS
    if hidden <= 0:
        return text
    return text[:KEPT_CHARS] + _spill_note(hidden, len(text), 0) + text[-KEPT_CHARS:]
