"""Transcripts in the documentation: calls with their answers, made again to see that they are true.

A fenced block that opens with ``> `` holds steps. Lines with ``> `` are a call, written as Python would
call it; the lines below are the text of its answer. A line ``...`` stands for any lines. Times, and the
ids of cells and executions, are the reader's own and differ each time; an id means the same one throughout a page.
"""

import ast
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import TextContent

from tests.environments import REPOSITORY

DATA = REPOSITORY / "mcp_notebook" / "data" / "seattle-weather.csv"

_BLOCK = re.compile(r"^```[a-z]*\n(> .*?)^```$", re.MULTILINE | re.DOTALL)
_STEP = re.compile(r"((?:^> .*\n)+)((?:^(?!> ).*\n)*)", re.MULTILINE)
_TIME = re.compile(r"\b\d+(?:\.\d+)? s\b")
_ID = re.compile(r"(?<=cell=)[0-9a-f]{8}\b|\be-[0-9a-f]{8}\b")
WORKSPACE = "/path/to/project"
"""How pages call the workspace."""


@dataclass(frozen=True)
class Step:
    """One call and the answer that the page shows."""

    tool: str
    arguments: dict[str, Any]
    answer: str


@dataclass
class Ids:
    """The ids of one side, by the order in which they were first seen."""

    seen: list[str] = field(default_factory=list)

    def named(self, text: str) -> str:
        """``text`` with each id replaced by its number, and no times."""
        return _ID.sub(self._number, _TIME.sub("? s", text)).strip()

    def _number(self, found: re.Match[str]) -> str:
        if found[0] not in self.seen:
            self.seen.append(found[0])
        return f"#{self.seen.index(found[0])}"


def steps_of(page: str) -> list[Step]:
    """Every step of every transcript of the page, in order."""
    return [_step(call, answer) for block in _BLOCK.findall(page) for call, answer in _STEP.findall(block)]


def _step(call: str, answer: str) -> Step:
    source = "\n".join(line.removeprefix("> ") for line in call.splitlines())
    node = ast.parse(source, mode="eval").body
    assert isinstance(node, ast.Call), source
    assert isinstance(node.func, ast.Name), source
    arguments = {word.arg: ast.literal_eval(word.value) for word in node.keywords if word.arg}
    return Step(node.func.id, arguments, answer)


async def differences(steps: Sequence[Step], workspace: Path, home: Path) -> list[str]:
    """Make the calls on a real server whose workspace holds the data; what came otherwise than shown."""
    shutil.copy(DATA, workspace)
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_notebook", "--embedded", "--workspace", str(workspace)],
        env={"MCP_NOTEBOOK_HOME": str(home)},
    )
    found, shown, real = [], Ids(), Ids()
    async with Client(server) as client:
        for step in steps:
            arguments = {
                name: real.seen[shown.seen.index(value)] if value in shown.seen else value
                for name, value in step.arguments.items()
            }
            result = await client.call_tool(step.tool, arguments)
            text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
            answer = real.named(text.replace(str(workspace), WORKSPACE))
            expected = shown.named(step.answer)
            if not _pattern(expected).fullmatch(answer):
                found.append(f"{step.tool}({arguments}) answered\n{answer}\nand not\n{expected}")
    return found


def _pattern(expected: str) -> re.Pattern[str]:
    lines = [".*" if line == "..." else re.escape(line.rstrip()) + " *" for line in expected.splitlines()]
    return re.compile("\n".join(lines), re.DOTALL)
