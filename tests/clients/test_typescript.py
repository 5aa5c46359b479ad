"""Clients in TypeScript: both generations of the SDK."""

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from mcp_notebook.server import open_server
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.clients.conftest import Server, outcome
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
