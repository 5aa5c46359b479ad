"""Find a pattern in the lines of standard input. Run as a program of its own.

A regular expression can take for ever, and Python's ``re`` holds the interpreter's lock meanwhile:
only a process can be stopped. Standard library only; ``searching.py`` starts it.

Input: one line of JSON {pattern, first_line, chars, size}, then the text. Output: one JSON object, either
{error} or {found: [[line number from 1, line]], matching, lines, next}.
"""

import json
import re
import sys
from typing import IO, Any

LINE_CHARS = 400
"""Of one line in the answer, around the match."""


def search(text: IO[str], pattern: str, first_line: int, chars: int, size: int) -> dict[str, Any]:
    """Lines that match from ``first_line`` on, until ``chars`` or ``size`` bytes are full; all are counted."""
    try:
        expression = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as exc:
        return {"error": str(exc)}
    found: list[tuple[int, str]] = []
    following: int | None = None
    matching = number = 0
    for number, line in enumerate(text, 1):
        match = expression.search(line.removesuffix("\n"))
        if match is None:
            continue
        matching += 1
        if number < first_line or following is not None:
            continue
        shown = around(line.removesuffix("\n"), match.start())
        if found and (len(shown) > chars or len(shown.encode()) > size):
            following = number
            continue
        found.append((number, shown))
        chars -= len(shown) + 10
        size -= len(shown.encode()) + 10
    return {"found": found, "matching": matching, "lines": number, "next": following}


def around(line: str, at: int) -> str:
    """At most ``LINE_CHARS`` of the line with the place ``at`` in it."""
    start = max(0, min(at - LINE_CHARS // 4, len(line) - LINE_CHARS))
    before = "..." if start else ""
    after = "..." if start + LINE_CHARS < len(line) else ""
    return f"{before}{line[start : start + LINE_CHARS]}{after}"


if __name__ == "__main__":
    with open(0, encoding="utf-8", errors="replace", newline="\n") as stdin:
        json.dump(search(stdin, **json.loads(stdin.readline())), sys.stdout)
