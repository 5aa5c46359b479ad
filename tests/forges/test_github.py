"""Pull requests on GitHub, by an API that is held to GitHub's published description."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges import Check, Draft, Forge, Git, find_forge
from mcp_notebook.forges.remotes import parse
from tests.forges.conftest import fill
from tests.repositories import user
from tests.standins.forge import Project, Said, Status
from tests.standins.git_server import TOKEN, Server
from tests.standins.github import BASE, GitHubStandIn

pytestmark = pytest.mark.anyio

DRAFT = Draft("work", "main", "A notebook", "What it does")


@pytest.fixture
def github(server: Server) -> Iterator[GitHubStandIn]:
    """GitHub's API; at the end nothing was against its description."""
    github = GitHubStandIn(server)
    server.rooms[BASE] = github
    yield github
    del server.rooms[BASE]
    assert github.contract.violations == []


@pytest.fixture
def project(github: GitHubStandIn, tmp_path: Path) -> Project:
    """A repository with main and two branches."""
    project = github.project(tmp_path.name)
    fill(project)
    return project


@pytest.fixture
async def forge(github: GitHubStandIn, project: Project, tmp_path: Path) -> AsyncIterator[Forge]:
    """As ada sees it."""
    environment = user(tmp_path) | {"GH_TOKEN": TOKEN}
    remote = parse(f"{github.server.url}/ada/{project.name}.git")
    forges = [f"{github.server.site}=github {github.server.url}{BASE}"]
    async with find_forge(remote, Git.of(tmp_path, environment), environment=environment, forges=forges) as forge:
        yield forge


async def test_a_pull_request_is_opened_and_found(forge: Forge, github: GitHubStandIn, project: Project) -> None:
    """Once; the second time it is the same."""
    first, second = await forge.open(DRAFT), await forge.open(DRAFT)
    assert (first.is_new, second.is_new) == (True, False)
    assert first.pull_request == second.pull_request
    made = first.pull_request
    assert (made.title, made.state, made.is_merged, made.head, made.base) == (
        "A notebook",
        "open",
        False,
        "work",
        "main",
    )
    assert made.commit == project.commit("work")
    assert made.url == f"{github.server.url}/ada/{project.name}/pull/{made.number}"
    assert await forge.find("other/work", "main") is None
    assert (await forge.home()).default_branch == "main"


async def test_a_branch_that_is_not_there_is_named(forge: Forge) -> None:
    """GitHub says of it only that a field is invalid."""
    with pytest.raises(ForgeFailed, match="There is no such branch: head"):
        await forge.open(Draft("gone", "main", "A title"))


async def test_what_was_said_is_read_back(forge: Forge, project: Project) -> None:
    """More than a page of it, in the order in which it was written."""
    number = (await forge.open(DRAFT)).pull_request.number
    pull = project.pulls[0]
    pull.comments += [Said(n, "bob", f"Number {n}", f"2026-01-02T00:{n:02d}:00Z") for n in range(60)]
    line = Said(901, "bob", "Why 0.1?", "2026-01-03T00:00:02Z", path="a.py", line=7)
    pull.reviews.append(Said(900, "bob", "One question", "2026-01-03T00:00:01Z", "CHANGES_REQUESTED", lines=[line]))
    pull.reviews.append(Said(902, "bob", "", "2026-01-03T00:00:03Z", "APPROVED"))
    comments = await forge.comments(number)
    assert [each.body for each in comments[:60]] == [f"Number {n}" for n in range(60)]
    assert [(each.body, each.verdict, each.path, each.line) for each in comments[60:]] == [
        ("One question", "changes requested", None, None),
        ("Why 0.1?", None, "a.py", 7),
        ("", "approved", None, None),
    ]


async def test_what_ci_says_is_read_back(forge: Forge, github: GitHubStandIn, project: Project) -> None:
    """Check runs and statuses together."""
    commit = (await forge.open(DRAFT)).pull_request.commit
    assert (await forge.checks(commit)).state == "none"
    github.runs.append({"commit": commit, "name": "notebook", "status": "in_progress", "conclusion": None})
    assert (await forge.checks(commit)).state == "pending"
    github.runs[0] |= {"status": "completed", "conclusion": "success"}
    assert (await forge.checks(commit)).state == "success"
    project.statuses.append(Status(1, commit, "lint", "error", "broken", "", "2026-01-01T00:00:00Z"))
    checks = await forge.checks(commit)
    assert checks.state == "failure"
    assert [(check.name, check.state) for check in checks.checks] == [("notebook", "success"), ("lint", "failure")]
    assert isinstance(checks.checks[0], Check)


async def test_a_token_that_may_only_read_is_told(github: GitHubStandIn, project: Project, tmp_path: Path) -> None:
    """With what it needs."""
    environment = user(tmp_path) | {"GH_TOKEN": "token-of-eve-0123456789"}
    remote = parse(f"{github.server.url}/ada/{project.name}.git")
    forges = [f"{github.server.site}=github {github.server.url}{BASE}"]
    async with find_forge(remote, Git.of(tmp_path, environment), environment=environment, forges=forges) as forge:
        with pytest.raises(ForgeFailed, match=r"GH_TOKEN.*Pull requests: write.*\(403\)"):
            await forge.open(DRAFT)
