"""A user's repository, and an MCP client that works in it with that user's environment."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import Client
from mcp.server import MCPServer

from mcp_notebook.server import arriving
from mcp_notebook.sessions import Connection
from tests.repositories import Work, repository
from tests.standins.git_server import TOKEN, Server


@asynccontextmanager
async def client_in(server: MCPServer[Connection], work: Work, agent: str = "agent") -> AsyncIterator[Client]:
    """A client whose workspace and environment are those of ``work``."""
    with arriving(Connection(workspace=work.path, environment=work.environment, agent=agent)):
        async with Client(server, cache=None) as client:
            yield client


def cloned(base: Path, server: Server, name: str) -> Work:
    """A repository of a user whose git has stored the token, and whose main is at the server as ``ada/NAME``."""
    work = repository(base)
    store_token(work, server)
    work.git("remote", "add", "origin", f"{server.url}/ada/{name}.git")
    work.git("push", "--quiet", "--set-upstream", "origin", "main")
    return work


def store_token(work: Work, server: Server, token: str = TOKEN) -> None:
    """As git's own helper keeps it."""
    (Path(work.environment["HOME"]) / ".git-credentials").write_text(f"http://ada:{token}@{server.site}\n")
    work.git("config", "--global", "credential.helper", "store")
