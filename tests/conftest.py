"""What many tests stand on: settings in a directory of their own, a server in memory, clients of both eras."""

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from mcp import Client
from mcp.server import MCPServer

from mcp_notebook.server import open_server
from mcp_notebook.sessions import LOCAL, Connection, Sessions
from mcp_notebook.settings import Settings, load
from tests.listening import Listening, listening

ERAS = ("legacy", "auto")
"""How ``mcp.Client`` is told which era of MCP to speak."""


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """The ZMQ sockets of the kernels want asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Settings of a user who has nothing but an empty home and an empty workspace."""
    base = tmp_path_factory.mktemp("user")
    workspace = base / "workspace"
    workspace.mkdir()
    settings = load(environment_of(base), workspace=workspace)
    yield settings
    shutil.rmtree(settings.sockets, ignore_errors=True)


@pytest.fixture(scope="session")
async def sessions(settings: Settings, anyio_backend: str) -> AsyncIterator[Sessions]:
    """The sessions behind ``server``."""
    async with Sessions(settings) as sessions:
        yield sessions


@pytest.fixture(scope="session")
async def server(settings: Settings, sessions: Sessions, anyio_backend: str) -> AsyncIterator[MCPServer[Connection]]:
    """One warm server for all tests: what a client does concerns its own connection only."""
    async with open_server(settings, sessions) as server:
        yield server


@pytest.fixture
def era(request: pytest.FixtureRequest) -> str:
    """The newest era of MCP, unless a test asks for each of ``ERAS``."""
    return str(getattr(request, "param", ERAS[-1]))


@pytest.fixture
async def client(
    server: MCPServer[Connection], sessions: Sessions, era: str, anyio_backend: str
) -> AsyncIterator[Client]:
    """A client with a connection of its own; the sessions that it opened end with it."""
    async with Client(server, mode=era, cache=None) as client:
        yield client
        listed = await client.call_tool("list_sessions", {})
        assert listed.structured_content is not None
        for each in listed.structured_content["sessions"]:
            await sessions.end(sessions.find(each["session"]))


@pytest.fixture
async def http(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions, anyio_backend: str
) -> AsyncIterator[Listening]:
    """The server over HTTP; the sessions that were opened there end with it."""
    async with listening(server, settings) as http:
        yield http
    for session in sessions.of(Connection(principal=LOCAL, handles_only=True)):
        await sessions.end(session)


def environment_of(base: Path) -> dict[str, str]:
    """The environment of a user whose files all lie below ``base``."""
    home = base / "home"
    home.mkdir(exist_ok=True)
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "MCP_NOTEBOOK_HOME": str(base / "state"),
    }
