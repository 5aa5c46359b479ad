"""Searches files by regular expression where ripgrep is not installed, in a process of its own.

Run as a script: an expression can take for ever, and only a process can be stopped then. The
arguments are ``lines`` or ``count``, the lines of context, the expression and the files. What is printed
is what ``rg --null`` prints: path, NUL, number, colon (a hyphen for context), line.
"""

import io
import re
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_MARKS = {b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_BOM = "\ufeff"
Printed = tuple[int, str, str]


def main(mode: str, context: str, expression: str, *paths: str) -> int:
    """Search every file; 2 if the expression is none or a file could not be read, as ripgrep has it."""
    try:
        pattern = re.compile(expression)
    except (re.error, RecursionError, OverflowError) as exc:
        sys.stderr.write(f"regex parse error: {exc}\n")
        return 2
    status = 0
    for path in paths:
        try:
            with Path(path).open("rb") as file:
                _search(path, file, pattern, mode, int(context))
        except OSError as exc:
            sys.stderr.write(f"{path}: {exc.strerror}\n")
            status = 2
    return status


def _search(path: str, file: BinaryIO, pattern: re.Pattern[str], mode: str, context: int) -> None:
    found = _with_context(_lines(file), pattern, context)
    if mode == "count":
        if count := sum(1 for _ in found):
            _write(path, f"{count}")
        return
    for number, sign, line in found:
        _write(path, f"{number}{sign}{line}")


def _lines(file: BinaryIO) -> Iterator[str]:
    head = file.read(2)
    file.seek(0)
    encoding = _MARKS.get(head, "utf-8")
    errors = "surrogateescape" if encoding == "utf-8" else "replace"
    with io.TextIOWrapper(file, encoding, errors, newline="\n") as text:
        for number, line in enumerate(text):
            yield (line.removeprefix(_BOM) if number == 0 else line).removesuffix("\n")


def _with_context(lines: Iterator[str], pattern: re.Pattern[str], context: int) -> Iterator[Printed]:
    before: deque[Printed] = deque(maxlen=context)
    after = 0
    for number, line in enumerate(lines, start=1):
        if pattern.search(line):
            yield from before
            before.clear()
            yield number, ":", line
            after = context
        elif after:
            yield number, "-", line
            after -= 1
        else:
            before.append((number, "-", line))


def _write(path: str, text: str) -> None:
    sys.stdout.buffer.write(path.encode(errors="surrogateescape") + b"\0" + text.encode(errors="surrogateescape"))
    sys.stdout.buffer.write(b"\n")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
