"""Texts by lines: merged from two sides, and compared to be read.

Pure. Changes of the two sides that touch are a conflict, as in diff3 and git; no markers. What no screen shows as it
is, such as control characters and marks that turn the direction of a line round, is written out for the reader.
"""

import difflib
import re

# Comparing this many pairs of lines takes about a second: a larger text counts as a conflict.
_LINE_PAIRS = 20_000_000

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")

_Change = tuple[int, int, list[str]]
"""Lines of the base from, to (exclusive), and what stands there instead."""


def merge_lines(base: str, ours: str, theirs: str) -> str | None:
    """Both sides' changes of a text, or None if they touch: the rule of diff3 and git."""
    if ours == theirs or theirs == base:
        return ours
    if ours == base:
        return theirs
    lines = base.splitlines(keepends=True)
    changes = _changes(lines, ours), _changes(lines, theirs)
    if changes[0] is None or changes[1] is None:
        return None
    merged: list[str] = []
    done = 0
    previous: _Change | None = None
    for start, end, text in sorted((*changes[0], *changes[1])):
        if (start, end, text) == previous:
            continue
        if previous is not None and start <= previous[1]:
            return None
        merged += [*lines[done:start], *text]
        done, previous = end, (start, end, text)
    result = [*merged, *lines[done:]]
    # A last line without its newline that is no longer the last one would swallow the next.
    return "".join(result) if all(line.endswith(("\n", "\r")) for line in result[:-1]) else None


def line_changes(old: str, new: str) -> list[str]:
    """From one text to the other, as a unified diff without its heading."""
    before, after = lines_of(old), lines_of(new)
    if len(before) * len(after) > _LINE_PAIRS:
        return [f"(changed: {len(before):,} lines are now {len(after):,}, too many to compare)"]
    return [visible(line) for line in list(difflib.unified_diff(before, after, lineterm=""))[2:]]


def lines_of(text: str) -> list[str]:
    """Whatever else may end a line is shown in it."""
    return text.split("\n") if text else []


def visible(line: str) -> str:
    """The line with what is not seen in it written as an escape."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), line)


def _changes(base: list[str], side: str) -> list[_Change] | None:
    lines = side.splitlines(keepends=True)
    if len(base) * len(lines) > _LINE_PAIRS:
        return None
    matcher = difflib.SequenceMatcher(None, base, lines, autojunk=False)
    return [(i, j, lines[a:b]) for tag, i, j, a, b in matcher.get_opcodes() if tag != "equal"]
