"""The MCP Inspector's command line as a judge: our schemas, our lists and a call, over stdio and HTTP, in both eras."""

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from mcp_notebook.server import open_server
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.clients.conftest import Server, finished
from tests.environments import environment
from tests.listening import TOKEN, listening

ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])
"""As the Inspector calls them."""
PREFIX = "[mcp-inspector]"
"""Lines that begin so tell where it keeps secrets; a fault in a schema is told in lines without."""


class Inspector:
    """It, configured for one server."""

    def __init__(self, place: Path, entry: dict[str, Any], era: str) -> None:
        self._place = place
        self._config = place / "inspector.json"
        self._config.write_text(json.dumps({"mcpServers": {"notebook": entry | {"protocolEra": era}}}))

    def __call__(self, method: str, *arguments: str) -> Any:
        """What the server answers; anything that it complains of fails the test."""
        programs = environment("node") / "node_modules" / ".bin"
        inspector = [programs / "mcp-inspector", "--cli", "--config", self._config, "--server", "notebook"]
        done = finished(
            [*inspector, "--method", method, *arguments],
            PATH=f"{programs}:/usr/bin:/bin",
            HOME=str(self._place),
            MCP_INSPECTOR_SECRET_STORE="memory",
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert [line for line in done.stderr.splitlines() if not line.startswith(PREFIX)] == []
        return json.loads(done.stdout)


def judge(inspector: Inspector, session: str | None = None) -> None:
    """All that it can do with a server of tools and resources; over stateless HTTP calls name their session."""
    names = [tool["name"] for tool in inspector("tools/list", "--strict")["tools"]]
    assert {"open_session", "execute_cell", "control_kernel"} <= set(names)
    named = ["--tool-arg", f"session={session}"] if session else []
    called = inspector("tools/call", "--tool-name", "execute_cell", "--tool-arg", "source=print(6*7)", *named)
    assert not called.get("isError")
    assert called["content"][0]["text"].endswith("\n42")
    templates = inspector("resources/templates/list")["resourceTemplates"]
    assert "notebook://{session}" in [template["uriTemplate"] for template in templates]
    assert "resources" in inspector("resources/list")


@ERAS
def test_over_stdio(server: Server, era: str, tmp_path: Path) -> None:
    """Behind a relay and in one process."""
    entry = {"type": "stdio", "command": server.command, "args": list(server.args), "env": server.environment}
    judge(Inspector(tmp_path, entry, era))


@ERAS
@pytest.mark.anyio
async def test_over_http(settings: Settings, sessions: Sessions, era: str, tmp_path: Path) -> None:
    """With the token; the notebook of the session is read too."""
    session = (await sessions.open(Connection(principal="local", handles_only=True))).session
    async with open_server(settings, sessions) as server, listening(server, settings) as http:
        entry = {"type": "http", "url": http.url, "headers": {"Authorization": f"Bearer {TOKEN}"}}
        inspector = Inspector(tmp_path, entry, era)
        await anyio.to_thread.run_sync(judge, inspector, session.handle)
        read = await anyio.to_thread.run_sync(inspector, "resources/read", "--uri", f"notebook://{session.handle}")
    assert "print(6*7)" in read["contents"][0]["text"]
    await sessions.end(session)
