"""Three-way merge of a text by lines.

Pure. Changes of the two sides that touch are a conflict, as in diff3 and git; no markers.
"""

import difflib

# Comparing this many pairs of lines takes about a second: a larger text counts as a conflict.
_LINE_PAIRS = 20_000_000

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


def _changes(base: list[str], side: str) -> list[_Change] | None:
    lines = side.splitlines(keepends=True)
    if len(base) * len(lines) > _LINE_PAIRS:
        return None
    matcher = difflib.SequenceMatcher(None, base, lines, autojunk=False)
    return [(i, j, lines[a:b]) for tag, i, j, a, b in matcher.get_opcodes() if tag != "equal"]
