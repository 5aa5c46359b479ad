"""The whole text of an execution's outputs as one string that is never in memory as a whole."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from mcp_notebook.errors import BadRequest
from mcp_notebook.outputs import Output
from mcp_notebook.render import output_text
from mcp_notebook.spill import SpilledText
from mcp_notebook.terminal import plain

PAGE_BYTES = 55_000
"""Of UTF-8 in one page, headings not counted."""
CELL = "cell:"
"""Begins the key of a cell whose outputs come from the notebook's file."""
READ_CHARS = 1 << 18
LONGEST_LINE_CHARS = 1 << 22
"""A longer line is passed on in parts."""


@dataclass(frozen=True)
class Piece:
    """The text of one output; the last character is a newline wherever another piece follows."""

    chars: int
    read: Callable[[int, int], str]


@dataclass(frozen=True)
class Page:
    """``text`` is ``[start, end)`` of ``total`` characters."""

    text: str
    start: int
    end: int
    total: int


@dataclass(frozen=True)
class Shown:
    """Outputs as they were at one moment: those of a running cell are changed by the event loop alone."""

    key: str
    """What a cursor into them begins with."""
    header: str
    outputs: Sequence[Output]
    spilled: Mapping[int, SpilledText] = field(default_factory=dict)
    """The whole text of each output that is too long for the document, by the output's index."""


class OutputText:
    """What ``outputs_text`` shows of some outputs, with the long ones read from their files."""

    def __init__(self, shown: Shown) -> None:
        self._pieces: list[Piece] = []
        for index, output in enumerate(shown.outputs):
            self._start_line()
            if index in shown.spilled:
                long_text = shown.spilled[index]
                self._pieces.append(Piece(long_text.chars, long_text.read))
            else:
                self._append(output_text(output))
        self.chars = sum(piece.chars for piece in self._pieces)

    def page(self, start: int, chars: int) -> Page:
        """At most ``chars`` (and 55 KB) from ``start`` on, ending with a line where one ends near."""
        start = min(start, self.chars)
        text = self._read(start, chars)
        cut = text.encode("utf-8", "replace")[:PAGE_BYTES].decode("utf-8", "ignore")
        end = start + len(cut)
        if end < self.chars and (newline := cut.rfind("\n")) > len(cut) // 2:
            end = start + newline + 1
        return Page(plain(text[: end - start]), start, end, self.chars)

    def chunks(self) -> Iterator[str]:
        """All of it as it is shown, some lines at a time."""
        held: list[str] = []
        held_chars = 0
        for piece in self._pieces:
            for start in range(0, piece.chars, READ_CHARS):
                held.append(piece.read(start, READ_CHARS))
                held_chars += len(held[-1])
                if held_chars < READ_CHARS:
                    continue
                text = "".join(held)
                # A colour's code may be cut in two, but never across lines.
                end = text.rfind("\n") + 1 or (len(text) if len(text) > LONGEST_LINE_CHARS else 0)
                yield plain(text[:end])
                held, held_chars = [text[end:]], len(text) - end
        yield plain("".join(held))

    def _append(self, text: str) -> None:
        if text:
            self._pieces.append(Piece(len(text), lambda start, chars: text[start : start + chars]))

    def _start_line(self) -> None:
        if self._pieces and (last := self._pieces[-1]).read(last.chars - 1, 1) != "\n":
            self._append("\n")

    def _read(self, start: int, chars: int) -> str:
        parts: list[str] = []
        for piece in self._pieces:
            if chars <= 0:
                break
            if start < piece.chars:
                parts.append(piece.read(start, chars))
                chars -= len(parts[-1])
            start = max(0, start - piece.chars)
        return "".join(parts)


@dataclass(frozen=True)
class Cursor:
    """Where a page begins: a character, or with ``search`` a line."""

    key: str
    """An execution's id, or ``CELL`` and a cell's id."""
    offset: int

    def __str__(self) -> str:
        return f"{self.key}@{self.offset}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Raises BadRequest for what is no cursor of ours."""
        key, _, offset = text.rpartition("@")
        if not key or not offset.isdecimal() or len(offset) > 15:
            raise BadRequest(
                f"{text!r} is not a cursor. Pass the one that get_output gave, unchanged, or leave it out "
                "and pass execution_id."
            )
        return cls(key, int(offset))
