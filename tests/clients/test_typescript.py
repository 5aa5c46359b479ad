"""Clients in TypeScript: both generations of the SDK, and the Inspector as the judge of our schemas."""

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from mcp_notebook.server import open_server
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.clients.conftest import Server, finished, outcome
from tests.environments import environment
from tests.listening import TOKEN, listening

RUNNER = Path(__file__).with_name("run_typescript.mjs")


SDKS = pytest.mark.parametrize(
    ("sdk", "protocol"),
    [
        (["sdk"], None),
        (["client", "legacy"], "2025-11-25"),
        (["client", "auto"], "2026-07-28"),
    ],
    ids=["first SDK", "second SDK, handshake", "second SDK, 2026-07-28"],
)


def node_program(name: str) -> Path:
    """A command of the Node environment, ``node`` itself among them."""
    return environment("node") / "node_modules" / ".bin" / name


def runs(server: str, sdk: list[str], *sources: str) -> Any:
    """What a TypeScript client has of the tools and of these cells; ``server`` is JSON."""
    packages = environment("node") / "package.json"
    command = [node_program("node"), RUNNER, packages, server, json.dumps(sources), *sdk]
    return outcome(command)


@SDKS
def test_runs_cells_over_stdio(server: Server, sdk: list[str], protocol: str | None) -> None:
    """Each SDK, in each era that it speaks, runs cells that share a kernel, and gets an image."""
    show = "from IPython.display import Image; Image(data=__import__('base64').b64decode(PNG), format='png')"
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
    told = runs(server.as_json(), sdk, f"PNG = {pixel!r}", "print(len(PNG), 'characters')", show)
    assert told["protocol"] == protocol
    assert "execute_cell" in told["tools"]
    first, second, third = told["answers"]
    assert first["text"].startswith("[1] ok")
    assert "96 characters" in second["text"]
    assert third["images"] == ["image/png"]


@SDKS
@pytest.mark.anyio
async def test_runs_cells_over_http(
    settings: Settings, sessions: Sessions, sdk: list[str], protocol: str | None
) -> None:
    """Each SDK, in each era that it speaks, shows the token and runs cells that share a kernel."""
    async with open_server(settings, sessions) as server, listening(server, settings) as http:
        entry = json.dumps({"url": http.url, "headers": {"Authorization": f"Bearer {TOKEN}"}})
        told = await anyio.to_thread.run_sync(runs, entry, sdk, "kept = 41", "kept + 1")
    assert told["protocol"] == protocol
    assert told["answers"][1]["text"].endswith("42")


def test_inspector_finds_no_fault_in_the_schemas(server: Server, tmp_path: Path) -> None:
    """The Inspector's strict check of every tool's schema, for portability between models, passes."""
    config = tmp_path / "inspector.json"
    entry = {"type": "stdio", "command": server.command, "args": server.args, "env": server.environment}
    config.write_text(json.dumps({"mcpServers": {"notebook": entry}}))
    inspector = [node_program("mcp-inspector"), "--cli", "--config", config, "--server", "notebook"]
    done = finished(
        [*inspector, "--method", "tools/list", "--strict"],
        PATH=f"{node_program('node').parent}:/usr/bin:/bin",
        HOME=str(tmp_path),
        MCP_INSPECTOR_SECRET_STORE="memory",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "execute_cell" in done.stdout
    # Lines with its own name tell where it keeps secrets; a fault in a schema has none.
    assert [line for line in done.stderr.splitlines() if not line.startswith("[mcp-inspector]")] == []
