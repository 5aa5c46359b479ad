"""Whether a file's new text still parses, found without running any program.

Python, JSON, YAML and TOML are checked, each up to a length that takes a second or so.
"""

import ast
import json
import os
import tomllib
from collections.abc import Callable
from typing import Any

NEW_ONLY = "New lint errors introduced by this edit (pre-existing errors filtered out):\n"
OLD_ONLY = "Pre-existing lint errors — this edit didn't introduce new ones but the file is still broken."
DEEPEST_YAML = 500


class _Unchecked(Exception):
    """Nothing can be said of the text; the message says why."""


def _json(text: str) -> None:
    # A long number is good JSON, though Python would make no int of it.
    json.loads(text, parse_int=str)


def _yaml(text: str) -> None:
    # Jupytext brings it; we do not require it.
    try:
        import yaml
    except ImportError as exc:
        raise _Unchecked("No linter available for YAML (missing dependency)") from exc
    # Its time grows with the square of the brackets that are open.
    depth = 0
    for char in text:
        depth += (char in "[{") - (char in "]}")
        if depth > DEEPEST_YAML:
            raise _Unchecked("Too deeply nested to check")
    for _ in yaml.parse(text):
        pass


PARSERS: dict[str, tuple[Callable[[str], object], int]] = {
    ".py": (ast.parse, 500_000),
    ".json": (_json, 20_000_000),
    ".yaml": (_yaml, 100_000),
    ".yml": (_yaml, 100_000),
    ".toml": (tomllib.loads, 500_000),
}
"""By suffix: what raises if the text does not parse, and the longest text that it is given."""

REFUSED = frozenset((".json", ".yaml", ".yml", ".toml"))
"""Data that does not parse is not written at all; code may be broken for a while."""


def refusal(name: str, text: str) -> str | None:
    """Why this must not be written, if it must not."""
    suffix = suffix_of(name)
    if suffix not in REFUSED:
        return None
    try:
        problem = _problem(suffix, text)
    except _Unchecked:
        return None
    if not problem:
        return None
    return (
        f"Refusing to write '{name}': candidate content fails {suffix} syntax validation ({problem}). "
        "The file was NOT created or modified. Fix the content and retry."
    )


def verdict(name: str, text: str, before: str | None = None) -> dict[str, Any]:
    """The ``lint`` of an answer; what was wrong with the text ``before`` is told apart."""
    suffix = suffix_of(name)
    if suffix not in PARSERS:
        return {"status": "skipped", "message": f"No linter for {suffix} files"}
    try:
        problem = _problem(suffix, text)
    except _Unchecked as exc:
        return {"status": "skipped", "message": str(exc)}
    if not problem:
        return {"status": "ok", "output": ""}
    old = _lines(_problem_before(suffix, before)) if before is not None else []
    new = [line for line in problem.splitlines() if line.strip() and line.strip() not in old]
    if not old:
        return {"status": "error", "output": problem}
    if not new:
        return {"status": "error", "output": problem, "message": OLD_ONLY}
    return {"status": "error", "output": NEW_ONLY + "\n".join(new)}


def suffix_of(name: str) -> str:
    """The suffix that decides who parses a file."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122  # also of the two names of a moved file


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _problem_before(suffix: str, text: str) -> str:
    try:
        return _problem(suffix, text)
    except _Unchecked:
        return ""


def _problem(suffix: str, text: str) -> str:
    """What the parser says; empty if nothing."""
    parse, longest = PARSERS[suffix]
    if len(text) > longest:
        raise _Unchecked(f"Too long to check: more than {longest:,} characters")
    try:
        parse(text)
    except _Unchecked:
        raise
    except (RecursionError, MemoryError) as exc:
        raise _Unchecked("Too deeply nested to check") from exc
    except json.JSONDecodeError as exc:
        return f"JSONDecodeError: {exc.msg} (line {exc.lineno}, column {exc.colno})"
    except SyntaxError as exc:
        where = f" (line {exc.lineno}, column {exc.offset})" if exc.lineno else ""
        return f"{type(exc).__name__}: {exc.msg}{where}"
    # Parsers have errors of their own; whatever it is, it says that they cannot read this.
    except Exception as exc:
        kind = "YAMLError" if type(exc).__module__.startswith("yaml") else type(exc).__name__
        return f"{kind}: {exc}"
    return ""
