"""Hermes's answers beside ours: what is compared, and where the two are meant to differ.

An answer is a dict. Two are the same if their keys and values are, but for the workspace's path and for the
order of what is found in several files. ``differences`` lists where they are meant to differ. Whoever answers
the calls in another way, through a kernel say, needs another ``Answer`` only.
"""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.runtime.differences import MEANT
from tests.runtime.hermes_calls import Call

LINE = re.compile(r"bash: line \d+:")
"""The line of the script that a command is put into, whose length nobody promises."""
Answer = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""Makes a call by the name of its function and gives what it returned."""


async def ours(calls: list[Call], answer: Answer, workspace: Path) -> dict[str, dict[str, Any]]:
    """What the calls return, one after the other."""
    return {what: told(await answer(tool, arguments), workspace) for what, tool, arguments in calls}


def hermes(lines: list[str], workspace: Path) -> dict[str, dict[str, Any]]:
    """The same of the lines that ``run_hermes_calls.py`` printed."""
    calls = [json.loads(line) for line in lines if line.startswith('{"call": ')]
    return {call["call"]: told(_parsed(call["answer"]), workspace) for call in calls}


def differing(left: dict[str, Any], right: dict[str, Any]) -> frozenset[str]:
    """The keys whose values are not the same."""
    absent = object()
    return frozenset(
        key for key in left.keys() | right.keys() if _plain(left.get(key, absent)) != _plain(right.get(key, absent))
    )


def meant(group: str, call: str) -> frozenset[str]:
    """The keys that differ on purpose."""
    return frozenset(key for each in MEANT if (group, call) in each.calls for key in each.keys)


def told(answer: dict[str, Any], workspace: Path) -> dict[str, Any]:
    """The answer without the workspace's path."""
    if isinstance(answer.get("output"), str):
        answer = answer | {"output": LINE.sub("bash: line N:", answer["output"])}
    text = json.dumps(answer).replace(json.dumps(str(workspace))[1:-1], "/WORKSPACE")
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _parsed(text: str) -> dict[str, Any]:
    answer, end = json.JSONDecoder().raw_decode(text)
    parsed: dict[str, Any] = answer
    if hint := re.fullmatch(r"\s*\[Hint: (.*)\]", text[end:]):
        parsed |= {"hint": hint[1], "text-after-the-JSON": True}
    if parsed.get("error"):
        # Newer releases of ripgrep say who complains.
        parsed["error"] = parsed["error"].replace("Search failed: rg: ", "Search failed: ")
    if "matches_text" in parsed:
        parsed["matches"] = _matches(parsed.pop("matches_text"))
    return parsed


def _matches(text: str) -> list[dict[str, Any]]:
    """The list that Hermes makes into a text when it is long."""
    matches: list[dict[str, Any]] = []
    path = ""
    for line in text.split("\n"):
        if row := re.fullmatch(r"  (\d+): (.*)", line):
            matches.append({"path": path, "line": int(row[1]), "content": row[2]})
        else:
            path = line
    return matches


def _plain(value: Any) -> Any:
    """Without what Hermes leaves to chance: the order of files and of what is found in several of them."""
    if not isinstance(value, list):
        return value
    rows = [
        row | {"content": row["content"].rstrip()} if isinstance(row, dict) and "content" in row else row
        for row in value
    ]
    return sorted(rows, key=json.dumps)
