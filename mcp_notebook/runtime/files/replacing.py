"""One text in another replaced: exactly, else with allowance for spaces and tabs only.

The allowances, in this order: lines may differ in the white space at their ends, as when the caller
indents by two and the file by four; and runs of spaces and tabs may differ in length. What is put in
is then indented as the place where it goes. No text is guessed by likeness.
"""

import re
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher

from mcp_notebook.errors import BadRequest
from mcp_notebook.runtime.files.texts import newline_of, shown, with_newlines

Span = tuple[int, int]

NOT_FOUND = "Could not find a match for old_string in the file"
# Looking for likely lines takes time with the square of what is compared.
_COMPARED_CHARS = 20_000_000
_LONGEST_LINE = 500
_SUGGESTED = 3
_AROUND = 2


def replace(text: str, old: str, new: str, *, everywhere: bool = False) -> str:
    """The text with ``old``, which must be there once, made ``new``.

    Raises:
        BadRequest: ``old`` is not there, or more than once and not to be replaced ``everywhere``.
    """
    if not old:
        raise BadRequest("old_string cannot be empty")
    if old == new:
        raise BadRequest("old_string and new_string are identical")
    newline = newline_of(text)
    new = with_newlines(new, newline)
    spans, exact = _found(text, old, with_newlines(old, newline))
    if not spans:
        raise BadRequest(NOT_FOUND + likely(text, old))
    if len(spans) > 1 and not everywhere:
        raise BadRequest(
            f"Found {len(spans)} matches for old_string. "
            "Provide more context to make it unique, or use replace_all=True."
        )
    pieces: list[str] = []
    end = 0
    for begin, after in spans:
        pieces += [text[end:begin], new if exact else _indented(text[begin:after], old, new)]
        end = after
    return "".join([*pieces, text[end:]])


def likely(text: str, old: str) -> str:
    """The sections of the text that most resemble the first line of what was not found, to be added to the error."""
    wanted = next((line.strip() for line in old.splitlines() if line.strip()), "")
    if not wanted or len(wanted) > _LONGEST_LINE or len(wanted) * len(text) > _COMPARED_CHARS:
        return ""
    lines = text.splitlines()
    scored = sorted(_likenesses(wanted, lines), key=lambda pair: -pair[0])[:_SUGGESTED]
    height = len(old.splitlines()) + _AROUND
    sections = [(max(0, at - _AROUND), min(len(lines), at + height)) for _, at in scored]
    told = [
        "\n".join(f"{number + 1:4d}| {shown(lines[number])}" for number in range(begin, end))
        for begin, end in dict.fromkeys(sections)
    ]
    return "\n\nDid you mean one of these sections?\n" + "\n---\n".join(told) if told else ""


def _likenesses(wanted: str, lines: list[str]) -> Iterator[tuple[float, int]]:
    for number, line in enumerate(lines):
        line = line.strip()
        if not line or len(line) > _LONGEST_LINE:
            continue
        matcher = SequenceMatcher(None, wanted, line)
        # The quick ratios are upper bounds.
        if matcher.real_quick_ratio() > 0.3 and matcher.quick_ratio() > 0.3 and (ratio := matcher.ratio()) > 0.3:
            yield ratio, number


def _found(text: str, old: str, ended: str) -> tuple[list[Span], bool]:
    """Where ``old`` is, and whether exactly so; ``ended`` is the same with the line ends of the text."""
    for wanted in (old, ended):
        if spans := list(_exact(text, wanted)):
            return spans, True
    if not old.strip():
        return [], False
    allowances: tuple[Callable[[str, str], Iterator[Span]], ...] = (_trimmed, _spaced)
    for allowing in allowances:
        if spans := list(allowing(text, old)):
            return spans, False
    return [], False


def _exact(text: str, old: str) -> Iterator[Span]:
    at = text.find(old)
    while at != -1:
        yield at, at + len(old)
        at = text.find(old, at + len(old))


def _trimmed(text: str, old: str) -> Iterator[Span]:
    """Whole lines that are equal but for white space at their ends."""
    wanted = [line.strip() for line in old.split("\n")]
    lines = text.split("\n")
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line) + 1)
    number = 0
    while number + len(wanted) <= len(lines):
        after = number + len(wanted)
        if lines[number].strip() == wanted[0] and [line.strip() for line in lines[number:after]] == wanted:
            yield begins[number], begins[after] - 1 - lines[after - 1].endswith("\r")
            number = after
        else:
            number += 1


def _spaced(text: str, old: str) -> Iterator[Span]:
    """The same words, with any spaces and tabs where the wanted text has some."""
    words = [re.escape(word) for word in re.split(r"[ \t]+", old)]
    # Long runs would be tried from each of their characters otherwise.
    from_a_start = "" if words[0] else r"(?<![ \t])"
    for match in re.finditer(from_a_start + r"[ \t]+".join(words), text):
        yield match.span()


def _indented(place: str, old: str, new: str) -> str:
    """The new text, indented by what the place has where the old text has its own indentation."""
    here, there = _indentation(place), _indentation(old)
    if here is None or there is None or here == there:
        return new
    lines = []
    for line in new.split("\n"):
        if not line.strip():
            lines.append(line)
        elif line.startswith(there):
            lines.append(here + line[len(there) :])
        else:
            lines.append(here + line.lstrip(" \t"))
    return "\n".join(lines)


def _indentation(text: str) -> str | None:
    """Of the first line that has anything; None if none has."""
    for line in text.split("\n"):
        if line.strip():
            return line[: len(line) - len(line.lstrip(" \t"))]
    return None
