"""A user's repository at a forge, and an MCP client that works in it with that user's environment."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.server import MCPServer

from mcp_notebook.server import arriving
from mcp_notebook.sessions import Connection
from tests.repositories import Work, repository
from tests.standins.forge import Project, Said, Status
from tests.standins.git_server import TOKEN, Server
from tests.standins.gitea import GiteaStandIn
from tests.standins.github import GitHubStandIn


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


@dataclass
class Site:
    """One forge with one repository of ada's, in which main has a README."""

    kind: str
    server: Server
    project: Project
    work: Work

    def review(self, verdict: str, body: str, line: str = "") -> None:
        """Bob looks at the first pull request; with ``line`` he says that of the notebook's first line."""
        [pull, *_] = self.project.pulls
        number, when = self.project.next()
        verdicts = {"changes requested": "CHANGES_REQUESTED" if self.kind == "github" else "REQUEST_CHANGES"}
        review = Said(number, "bob", body, when, verdicts.get(verdict, verdict))
        if line:
            at, later = self.project.next()
            review.lines.append(Said(at, "bob", line, later, path="notebooks/health.py", line=1))
        pull.reviews.append(review)

    def status(self, state: str, context: str = "notebook-ci") -> None:
        """CI has looked at the branch of the first pull request."""
        number, when = self.project.next()
        commit = self.project.head(self.project.pulls[0])
        self.project.statuses = [Status(number, commit, context, state, "the notebooks", "", when)]


@contextmanager
def site(base: Path, server: Server, kind: str) -> Iterator[Site]:
    """A repository at a forge of this kind; at the end nothing was against its published API."""
    standin = (
        GitHubStandIn(server) if kind == "github" else GiteaStandIn(server, "forgejo" if kind == "forgejo" else "gitea")
    )
    where = "/api/v3" if kind == "github" else "/api/v1"
    project = standin.project(base.name)
    server.rooms[where] = standin
    work = cloned(base, server, project.name)
    work.environment["GH_TOKEN" if kind == "github" else "GITEA_TOKEN"] = TOKEN
    yield Site(kind, server, project, work)
    del server.rooms[where]
    assert standin.violations == []


def executed_copy(pair: Path, *, output: str = "the load is 42\n", **papermill: Any) -> str:
    """The .ipynb at ``pair`` as a run leaves it: with an injected cell, outputs, and what papermill writes down."""
    notebook = json.loads(pair.read_text())
    cells = notebook["cells"]
    for cell in cells:
        cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": [output]}]
        cell["metadata"]["papermill"] = {"exception": False, "status": "completed"}
    injected = {"tags": ["injected-parameters"], "papermill": {"exception": False, "status": "completed"}}
    cells.insert(1, {**cells[0], "id": "injected", "metadata": injected, "source": ["threshold = 0.1"]})
    notebook["metadata"]["papermill"] = {
        "parameters": {"threshold": 0.1},
        "duration": 83.4,
        "start_time": "2026-01-01T00:00:00+00:00",
        "end_time": "2026-01-01T00:01:23+00:00",
        "exception": None,
        "version": "2.7.0",
    } | papermill
    return json.dumps(notebook)
