"""A page's blocks, and the session in which its examples run: a client, a workspace, servers, a web of our own."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from tests.environments import environment

ADDRESS = "http://127.0.0.1:8888"
"""How pages call the SearXNG of whoever reads them."""
WORKSPACE = "/path/to/project"
"""How they call the workspace."""
APP = {
    "app/main.py": 'import os\n\nDEBUG = True\n\n\ndef main():\n    print("hello", os.getpid())\n',
    "app/settings.py": "DEBUG = False\n",
    "sales.csv": "year,sum\n2023,120\n2024,170\n",
}
ANSWERS: Mapping[str, Any] = {"integer": 3, "boolean": True, "number": 2.5, "string": "2024"}
"""Of the user who is asked, by type."""
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the output that the page shows below it."""

    language: str
    text: str
    shown: str | None


def blocks_of(page: str, language: str) -> list[Block]:
    """Those of one language, in the page's order."""
    found = [Block(match[1], match[2], match[3]) for match in _BLOCK.finditer(page)]
    return [block for block in found if block.language == language]


def agrees(shown: str, real: str) -> bool:
    """Whether the output is the one that is shown, where ``...`` stands for anything."""
    pattern = ".*?".join(map(re.escape, shown.strip().split("...")))
    return re.fullmatch(pattern, real.strip(), re.DOTALL) is not None


def prepare(workspace: Path, servers: str) -> None:
    """The files that the examples speak of; ``servers`` is the configuration that the page shows."""
    for name, text in APP.items():
        (workspace / name).parent.mkdir(parents=True, exist_ok=True)
        (workspace / name).write_text(text)
    (workspace / ".mcp.json").write_text(servers)
    for command in ("init -q", "add app sales.csv", "-c user.name=A -c user.email=a@b.c commit -qm First"):
        subprocess.run(["git", *command.split()], cwd=workspace, check=True)


@asynccontextmanager
async def notebook(base: Path, settings: str) -> AsyncIterator[Client]:
    """A client of a server of its own, whose workspace is ``base / "project"``. Its user answers questions."""
    home = base / "home"
    home.mkdir()
    (home / "settings.toml").write_text(settings)
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_notebook", "--embedded", "--workspace", str(base / "project")],
        env=_environment(home),
    )
    async with Client(server, mode="legacy", elicitation_callback=_answered) as client:
        yield client


@asynccontextmanager
async def filesystem(workspace: Path) -> AsyncIterator[Client]:
    """A client of the server that the page configures as ``files``."""
    command = shutil.which("mcp-server-filesystem", path=_path())
    assert command is not None
    server = StdioServerParameters(command=command, args=[str(workspace)], env={"PATH": _path()}, cwd=workspace)
    async with Client(server) as client:
        yield client


async def run(client: Client, source: str) -> tuple[str, str]:
    """The first line of a cell's answer, and what it gave."""
    result = await client.call_tool("execute_cell", {"source": source})
    header, _, rest = "\n".join(getattr(block, "text", "") for block in result.content).partition("\n")
    return header, rest


async def _answered(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
    schema: dict[str, Any] = params.requested_schema["properties"]["answer"]  # type: ignore[union-attr]
    answer = schema["enum"][-1] if "enum" in schema else ANSWERS[schema["type"]]
    return ElicitResult(action="accept", content={"answer": answer})


def _environment(home: Path) -> dict[str, str]:
    return {"MCP_NOTEBOOK_HOME": str(home), "HOME": str(home), "PATH": _path()} | _own_package()


def _own_package() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}


def _path() -> str:
    """As that of a user who has installed the servers."""
    programs: Sequence[Path] = (environment("node") / "node_modules" / ".bin", environment("servers") / "bin")
    return os.pathsep.join([*map(str, programs), os.environ["PATH"]])
