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


class _NotInstalled(Exception):
    """The library that parses this is absent."""


def _python(text: str) -> None:
    ast.parse(text)


def _yaml(text: str) -> None:
    # Jupytext brings it; we do not require it.
    try:
        import yaml
    except ImportError as exc:
        raise _NotInstalled from exc
    for _ in yaml.parse(text):
        pass


PARSERS: dict[str, tuple[Callable[[str], object], int]] = {
    ".py": (_python, 1_000_000),
    ".json": (json.loads, 20_000_000),
    ".yaml": (_yaml, 200_000),
    ".yml": (_yaml, 200_000),
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
    except _NotInstalled:
        return None
    if not problem:
        return None
    return (
        f"Refusing to write '{name}': candidate content fails {suffix} syntax validation ({problem}). "
        "The file was NOT created or modified. Fix the content and retry."
    )


def verdict(name: str, text: str, before: Callable[[], str | None] = lambda: None) -> dict[str, Any]:
    """The ``lint`` of an answer; what was wrong in the text ``before`` is told apart."""
    suffix = suffix_of(name)
    if suffix not in PARSERS:
        return {"status": "skipped", "message": f"No linter for {suffix} files"}
    if len(text) > PARSERS[suffix][1]:
        return {"status": "skipped", "message": f"Too long to check: more than {PARSERS[suffix][1]:,} characters"}
    try:
        problem = _problem(suffix, text)
    except _NotInstalled:
        return {"status": "skipped", "message": f"No linter available for {suffix} (missing dependency)"}
    if not problem:
        return {"status": "ok", "output": ""}
    earlier = before()
    old = set(_lines(_problem(suffix, earlier))) if earlier is not None else set()
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


def _problem(suffix: str, text: str) -> str:
    """What the parser says; empty if nothing, or if the text is too long for it."""
    parse, longest = PARSERS[suffix]
    if len(text) > longest:
        return ""
    try:
        parse(text)
    except _NotInstalled:
        raise
    except json.JSONDecodeError as exc:
        return f"JSONDecodeError: {exc.msg} (line {exc.lineno}, column {exc.colno})"
    except SyntaxError as exc:
        where = f" (line {exc.lineno}, column {exc.offset})" if exc.lineno else ""
        return f"{type(exc).__name__}: {exc.msg}{where}"
    # Whatever a parser raises says that it cannot read this: nesting that is too deep, a lone surrogate.
    except Exception as exc:
        kind = "YAMLError" if type(exc).__module__.startswith("yaml") else type(exc).__name__
        return f"{kind}: {exc}"
    return ""
