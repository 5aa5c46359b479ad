"""A question about 2,000 files, answered by tool calls alone and by code in one cell; what the model reads and writes.

Both use the same MCP server of the filesystem, from npm. Without code the text of every file goes through the
model; what it makes of that is worked out here, to see that it was enough. Characters are the same each time.
"""

import ast
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client
from mcp_types import TextContent

PACKAGES, MODULES = 40, 50
WORST = 5
_TIME = re.compile(r"\d+\.\d\d s")


@dataclass
class Cost:
    """What passes between a model and its tools, in characters."""

    calls: int = 0
    arguments: int = 0
    results: int = 0
    answer: object = None
    """What was found out."""

    @property
    def characters(self) -> int:
        """Of both directions."""
        return self.arguments + self.results

    async def of(self, client: Client, tool: str, **arguments: Any) -> str:
        """Make a call, and count it."""
        result = await client.call_tool(tool, arguments)
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        assert not result.is_error, text
        self.calls += 1
        self.arguments += len(json.dumps(arguments, ensure_ascii=False))
        self.results += len(_TIME.sub("0.00 s", text))
        return text


def write_modules(workspace: Path) -> None:
    """2,000 small modules in 40 packages; which functions lack a docstring follows from their numbers."""
    for package in range(PACKAGES):
        directory = workspace / "packages" / f"package_{package:02}"
        directory.mkdir(parents=True)
        for module in range(MODULES):
            (directory / f"module_{module:02}.py").write_text(_module(package, module))


def _module(package: int, module: int) -> str:
    functions = [_function(package, module, number) for number in range(3 + (package + module) % 3)]
    return f'"""Part {module} of package {package}."""\n\nimport math\n\n\n' + "\n\n".join(functions)


def _function(package: int, module: int, number: int) -> str:
    documented = (7 * package + 5 * module + 3 * number) % 11 > package % 8
    docstring = f'    """Return value {number}, scaled by the module\'s own factor."""\n' if documented else ""
    return (
        f"def value_{number}(x: float, scale: float = {module + 1}.0) -> float:\n{docstring}"
        f"    if x < {number}:\n        return 0.0\n    return math.sqrt(x - {number}) * scale\n"
    )


async def by_tool_calls(files: Client) -> Cost:
    """As a model does it that has the server's tools and nothing else: list each package, and read it in one call."""
    cost, undocumented = Cost(), Counter[str]()
    for package in _named(await cost.of(files, "list_directory", path="packages")):
        directory = f"packages/{package}"
        paths = [f"{directory}/{name}" for name in _named(await cost.of(files, "list_directory", path=directory))]
        text = await cost.of(files, "read_multiple_files", paths=paths)
        undocumented[package] = sum(_undocumented(each.partition(":\n")[2]) for each in text.split("\n---\n"))
    cost.answer = undocumented.most_common(WORST)
    return cost


async def by_one_cell(notebook: Client, source: str) -> Cost:
    """By a cell that shows what it found as its only output."""
    cost = Cost()
    header, _, shown = (await cost.of(notebook, "execute_cell", source=source)).partition("\n")
    assert " ok " in header, shown
    cost.answer = ast.literal_eval(shown)
    return cost


def table(without_code: Cost, with_code: Cost) -> str:
    """As the documentation shows it."""
    rows = [("by tool calls", without_code), ("by one cell", with_code)]
    lines = [f"| {name} | {c.calls} | {c.arguments:,} | {c.results:,} | {c.characters:,} |" for name, c in rows]
    head = ["| | calls of the model | characters that it writes | that it reads | both |", "|---|---|---|---|---|"]
    return "\n".join([*head, *lines])


def _named(listing: str) -> list[str]:
    return sorted(line.partition("] ")[2] for line in listing.splitlines())


def _undocumented(source: str) -> int:
    functions = [each for each in ast.walk(ast.parse(source)) if isinstance(each, ast.FunctionDef)]
    return sum(ast.get_docstring(each) is None for each in functions)
