"""A server with a real git and the API of each forge in turn."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mcp_notebook.forges import Forge, Git, find_forge
from mcp_notebook.forges.remotes import parse
from tests.repositories import user
from tests.standins.forge import Project
from tests.standins.git_server import TOKEN, Server, serving
from tests.standins.gitea import GiteaStandIn


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server; each test has a repository of its own."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(params=["gitea", "forgejo"])
def standin(server: Server, request: pytest.FixtureRequest) -> Iterator[GiteaStandIn]:
    """Gitea's API, then Forgejo's; at the end nothing was against the specifications."""
    standin = GiteaStandIn(server, request.param)
    server.rooms["/api/v1"] = standin
    yield standin
    del server.rooms["/api/v1"]
    assert standin.violations == []


@pytest.fixture
def environment(tmp_path: Path, server: Server) -> dict[str, str]:
    """Of a client whose user has a token for the server."""
    return user(tmp_path) | {"GITEA_TOKEN": TOKEN}


@pytest.fixture
def project(standin: GiteaStandIn, tmp_path: Path) -> Project:
    """A repository of the forge, with main and two branches."""
    project = standin.project(tmp_path.name)
    fill(project)
    return project


def fill(project: Project) -> None:
    """Branches ``main``, ``work`` and ``other/work``, a commit each."""
    tree = project.git("hash-object", "-t", "tree", "-w", "/dev/null")
    first = project.git("commit-tree", tree, "-m", "Begin")
    project.git("update-ref", "refs/heads/main", first)
    for branch in ("work", "other/work"):
        commit = project.git("commit-tree", tree, "-p", first, "-m", f"Work on {branch}")
        project.git("update-ref", f"refs/heads/{branch}", commit)


@pytest.fixture
async def forge(
    standin: GiteaStandIn, project: Project, environment: dict[str, str], tmp_path: Path
) -> AsyncIterator[Forge]:
    """As ada sees it."""
    remote = parse(f"{standin.server.url}/ada/{project.name}.git")
    async with find_forge(remote, Git.of(tmp_path, environment), environment=environment) as forge:
        yield forge
