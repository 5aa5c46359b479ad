"""Printed text as a terminal would show it: carriage returns, backspaces, escape sequences.

Pure; a terminal of one line. Carriage return and backspace move the cursor, what is printed then
overwrites character by character (as JupyterLab does), ``\\r\\n`` is a newline, and "erase in line"
erases. Every other movement of the cursor is left alone. Escape sequences are those of ECMA-48,
https://ecma-international.org/publications-and-standards/standards/ecma-48/.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache

LINE_CHARS = 100_000
"""A longer unfinished line is given out as it is: no carriage return reaches back into it."""
COMPACT_OVER_CHARS = 4_096
PARTIAL_ESCAPE_CHARS = 256

_ESCAPE = (
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # control sequences: colours, erasing, movements
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # operating system commands: titles, links
    r"|\x1b[PX^_][^\x1b\n]*\x1b\\"  # other strings for the device
    r"|\x1b[ -/]*[0-OQ-WYZ\\`-~]"  # two characters: save the cursor, choose a character set
)
_ESCAPES = re.compile(_ESCAPE)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What is not shown, or begins what is not; newlines and tabs are."""
INVISIBLE = re.compile(f"{_ESCAPE}|{CONTROLS.pattern}")
_COLOUR = re.compile(r"(?:\x1b\[|\x9b)([0-9;:]*)m")
_ERASE_IN_LINE = re.compile(r"(?:\x1b\[|\x9b)([012]?)K")
_TOKENS = re.compile(rf"[^\r\b\x1b\x9b]+|[\r\b]|{_ESCAPE}|[\x1b\x9b]")

Style = tuple[str, ...]
"""The colours and attributes in force, as parameters of "select graphic rendition"."""


def plain(text: str) -> str:
    """The characters that a terminal would show, newlines and tabs among them, without colours."""
    if not CONTROLS.search(text):
        return text
    return CONTROLS.sub("", _ESCAPES.sub("", resolve(text)))


def without_escapes(text: str) -> str:
    """``text`` without colours, cursor movements and the like; carriage returns stay."""
    return _ESCAPES.sub("", text)


def resolve(text: str) -> str:
    """``text`` without carriage returns and backspaces, overwritten where they led to; colours stay."""
    if not _moves(text):
        return text
    terminal = TerminalText()
    return terminal.feed(text) + terminal.current


class TerminalText:
    """Printed text that arrives in chunks, cut anywhere.

    Lines are given out once, when they are complete. Of the unfinished one the raw text is held,
    so that what comes next can still overwrite it; it is rewritten when overwriting made it long.
    """

    def __init__(self) -> None:
        self._raw: list[str] = []
        self._raw_chars = 0
        self._compact_over = COMPACT_OVER_CHARS
        self._style: Style = ()  # at the start of the unfinished line

    def feed(self, chunk: str) -> str:
        """Add ``chunk``; returns the lines that it completed, each with its newline."""
        lines, newline, rest = chunk.rpartition("\n")
        complete = ""
        if newline:
            complete = self._finished("".join((*self._raw, lines, newline)))
            self._hold("")
        self._raw.append(rest)
        self._raw_chars += len(rest)
        if self._raw_chars > self._compact_over:
            complete += self._compact()
        return complete

    @property
    def current(self) -> str:
        """The unfinished line as it looks now."""
        raw = self._joined()
        return _Row.of(raw, self._style).shown(self._style) if _moves(raw) else raw

    def _joined(self) -> str:
        if len(self._raw) > 1:
            self._raw = ["".join(self._raw)]
        return self._raw[0] if self._raw else ""

    def _hold(self, raw: str) -> None:
        self._raw, self._raw_chars = [raw], len(raw)
        self._compact_over = max(COMPACT_OVER_CHARS, 2 * len(raw))

    def _finished(self, text: str) -> str:
        text = text.replace("\r\n", "\n")
        if _moves(text):
            return "\n".join([self._finished_line(line) for line in text.split("\n")])
        return self._unmoved(text)

    def _finished_line(self, raw: str) -> str:
        if not _moves(raw):
            return self._unmoved(raw)
        row = _Row.of(raw, self._style)
        shown = row.shown(self._style)
        self._style = row.style
        return shown

    def _unmoved(self, text: str) -> str:
        self._style = _style_after(text, self._style)
        return text

    def _compact(self) -> str:
        """Rewrite the unfinished line as the shortest text of the same effect; give out an endless one."""
        raw, partial = _split_partial_escape(self._joined())
        if _moves(raw):
            row = _Row.of(raw, self._style)
            if len(row.chars) <= LINE_CHARS:
                self._hold(row.raw(self._style) + partial)
                return ""
        elif len(raw) <= LINE_CHARS:
            self._compact_over = 2 * self._raw_chars
            return ""
        self._hold(partial)
        return self._finished_line(raw)


@dataclass
class _Row:
    """One line of a terminal: a character and a style in each column, and the cursor."""

    style: Style
    chars: list[str] = field(default_factory=list)
    styles: list[Style] = field(default_factory=list)
    cursor: int = 0

    @classmethod
    def of(cls, raw: str, style: Style) -> "_Row":
        row = cls(style)
        for token in _TOKENS.findall(raw):
            row._take(token)
        return row

    def _take(self, token: str) -> None:
        if token == "\r":
            self.cursor = 0
        elif token == "\b":
            self.cursor = max(0, self.cursor - 1)
        elif token[0] not in "\x1b\x9b":
            self._write(token)
        elif colour := _COLOUR.fullmatch(token):
            self.style = _restyled(self.style, colour[1])
        elif erase := _ERASE_IN_LINE.fullmatch(token):
            self._erase(erase[1] or "0")

    def _write(self, text: str) -> None:
        blanks = self.cursor - len(self.chars)  # above 0 only in an erased line
        self.chars += " " * blanks
        self.styles += [()] * blanks
        end = self.cursor + len(text)
        self.chars[self.cursor : end] = text
        self.styles[self.cursor : end] = [self.style] * len(text)
        self.cursor = end

    def _erase(self, part: str) -> None:
        if part == "2" or (part == "1" and self.cursor >= len(self.chars)):
            self.chars, self.styles = [], []
        elif part == "1":
            self.chars[: self.cursor] = " " * self.cursor
            self.styles[: self.cursor] = [()] * self.cursor
        else:
            del self.chars[self.cursor :], self.styles[self.cursor :]

    def shown(self, style: Style, columns: int | None = None) -> str:
        """The columns as text to be printed where ``style`` is in force; leaves the row's own in force."""
        parts, end = [], len(self.chars) if columns is None else columns
        start = 0
        for column in range(1, end + 1):
            if column == end or self.styles[column] != self.styles[start]:
                parts += [_change(style, self.styles[start]), *self.chars[start:column]]
                style, start = self.styles[start], column
        return "".join((*parts, _change(style, self.style)))

    def raw(self, style: Style) -> str:
        """The shortest text that brings a terminal with ``style`` in force to this very state."""
        shown = self.shown(style)
        if self.cursor == len(self.chars):
            return shown
        if not self.chars:
            return f"{shown}{' ' * self.cursor}\x1b[2K"
        return f"{shown}\r{self.shown(self.style, self.cursor)}"


def _moves(text: str) -> bool:
    return "\r" in text or "\b" in text or "\x1b[1K" in text or "\x1b[2K" in text


def _split_partial_escape(raw: str) -> tuple[str, str]:
    start = raw.rfind("\x1b", max(0, len(raw) - PARTIAL_ESCAPE_CHARS))
    if start < 0 or _ESCAPES.match(raw, start):
        return raw, ""
    return raw[:start], raw[start:]


def _change(old: Style, new: Style) -> str:
    if old == new:
        return ""
    reset = "\x1b[0m" if set(old) - set(new) else ""
    missing = new if reset else [code for code in new if code not in old]
    return reset + "".join(f"\x1b[{code}m" for code in missing)


def _style_after(text: str, style: Style) -> Style:
    if "\x1b" not in text and "\x9b" not in text:
        return style
    last_reset = max(text.rfind("\x1b[0m"), text.rfind("\x1b[m"), 0)
    for colour in _COLOUR.finditer(text, last_reset):
        style = _restyled(style, colour[1])
    return style


@lru_cache(maxsize=1024)  # programs use few colours, and use them all the time
def _restyled(style: Style, parameters: str) -> Style:
    attributes = {_attribute(code): code for code in style}
    codes = iter(parameters.split(";"))
    for code in codes:
        if code in ("38", "48"):  # a colour of the palette (;5;n) or of its own (;2;r;g;b)
            kind = next(codes, "")
            code = ";".join([code, kind, *(next(codes, "") for _ in range(3 if kind == "2" else 1))])
        if code.lstrip("0") == "":
            attributes.clear()
        elif code in _OFF:
            attributes.pop(_OFF[code], None)
        else:
            attributes[_attribute(code)] = code
    return tuple(attributes.values())


_OFF = {"22": "1", "23": "3", "24": "4", "25": "5", "27": "7", "28": "8", "29": "9", "39": "30", "49": "40"}
_SAME = {"2": "1", "6": "5", "21": "4"}


def _attribute(code: str) -> str:
    """The code that stands for all those of which only one can be in force."""
    number = re.split("[;:]", code)[0]
    if len(number) > 1 and number[:-1] in ("3", "9"):
        return "30"
    if len(number) > 1 and number[:-1] in ("4", "10"):
        return "40"
    return _SAME.get(number, number)
