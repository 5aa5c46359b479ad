"""The whole way of a notebook: written, committed, proposed, changed by somebody else too, merged.

By a real git over HTTP with a token, and an API that is held to Gitea's and Forgejo's published specifications. That is
conformance to what is published, and not a run against Gitea or Forgejo themselves.
"""

import json
from pathlib import Path

import anyio.to_thread
import pytest

from mcp_notebook.files import locate, read, write
from mcp_notebook.forges import Draft, Forge, Git, find_forge
from mcp_notebook.forges.remotes import parse
from mcp_notebook.workflow import Change, Run, describe
from mcp_notebook.workflow.git_setup import set_up
from tests.forges.conftest import fill
from tests.repositories import Work, user
from tests.standins.forge import Project
from tests.standins.git_server import TOKEN, Server
from tests.standins.gitea import GiteaStandIn
from tests.standins.person import Person

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(400)]  # each git on a notebook starts Python

BRANCH = "analysis/health"


def clone(server: Server, project: Project, base: Path, name: str) -> Work:
    """A clone of a user who has stored the token with git."""
    work = Work(base / name, user(base, name))
    (Path(work.environment["HOME"]) / ".git-credentials").write_text(f"http://{name}:{TOKEN}@{server.site}\n")
    work.path.mkdir()
    work.git("config", "--global", "credential.helper", "store")
    work.git("clone", "--quiet", f"{server.url}/ada/{project.name}.git", ".")
    return work


def save(work: Work, *sources: str) -> list[Path]:
    """The notebook as a session saves it: ids of cells that are there already stay."""
    pair = locate("notebooks/health.py", work.path)
    text = "\n".join(f"# %%\n{source}\n" for source in sources)
    work.write("notebooks/health.py", text)
    found = read(pair)
    write(pair, found.notebook, found)
    return list(pair.paths)


def cells(work: Work, ref: str) -> tuple[list[str], list[str]]:
    """The sources of the notebook in a commit: by its text, and by its .ipynb, which has no outputs."""
    text = work.git("show", f"{ref}:notebooks/health.py")
    notebook = json.loads(work.git("show", f"{ref}:notebooks/health.ipynb"))
    assert all(not cell.get("outputs") for cell in notebook["cells"])
    parts = [part.split("\n", 1)[1].strip() for part in text.split("# %%")[1:]]
    return parts, ["".join(cell["source"]) for cell in notebook["cells"]]


async def test_a_notebook_from_its_first_commit_to_its_merge(
    server: Server, standin: GiteaStandIn, tmp_path: Path
) -> None:
    """Somebody else's commit on the branch is taken in by cell; main ends with both, in both halves of the pair."""
    project = standin.project(tmp_path.name)
    fill(project)
    ada, bob = clone(server, project, tmp_path, "ada"), clone(server, project, tmp_path, "bob")
    ada.environment["GITEA_TOKEN"] = TOKEN
    await set_up(ada.path, ada.environment)

    paths = save(ada, "threshold = 0.1", "load = 0.05", "load < threshold")
    done = await ada.commit(paths, "Check the fleet's health", branch=BRANCH, push=True)
    assert done.is_pushed, done.summary
    remote = parse(ada.git("remote", "get-url", "origin"))
    async with find_forge(remote, Git.of(ada.path, ada.environment), environment=ada.environment) as forge:
        number = await proposed(forge, project)
        ada.git("switch", "--quiet", "--force", BRANCH)
        await bobs_commit(bob, standin, project, number)
        await adas_second_commit(ada)
        await merged(forge, standin, project, number)
    ada.git("fetch", "--quiet")
    expected = ["threshold = 0.1", "load = 0.07  # measured by bob", "load < threshold  # for each host"]
    assert cells(ada, "origin/main") == (expected, expected)
    for contract in standin.contracts:
        assert len(contract.seen) >= 9


async def proposed(forge: Forge, project: Project) -> int:
    """The pull request is opened once, with what reviewers want to know."""
    run = Run(parameters={"threshold": 0.1}, duration_s=1.5, cells=3)
    body = describe("Is the fleet well?", [Change("notebooks/health.py", "added cell", run)])
    draft = Draft(BRANCH, (await forge.home()).default_branch, "Fleet health", body)
    opened, again = await forge.open(draft), await forge.open(draft)
    assert (opened.is_new, again.is_new, len(project.pulls)) == (True, False, 1)
    assert project.pulls[0].body == body
    return opened.pull_request.number


async def bobs_commit(bob: Work, standin: GiteaStandIn, project: Project, number: int) -> None:
    """He measures, pushes, and reviews; CI is content."""
    bob.git("fetch", "--quiet")
    bob.git("switch", "--quiet", BRANCH)
    paths = save(bob, "threshold = 0.1", "load = 0.07  # measured by bob", "load < threshold")
    done = await bob.commit(paths, "Measure the load", push=True)
    assert done.is_pushed, done.summary
    person = Person(standin.server)
    path = f"/api/v1/repos/ada/{project.name}"
    line = {"path": "notebooks/health.py", "body": "For which host?", "new_position": 8}
    review = {"event": "REQUEST_CHANGES", "body": "Nearly", "comments": [line]}
    await anyio.to_thread.run_sync(lambda: person.post(f"{path}/pulls/{number}/reviews", **review))
    status = {"context": "notebook-ci", "state": "success"}
    await anyio.to_thread.run_sync(lambda: person.post(f"{path}/statuses/{done.commit}", **status))


async def adas_second_commit(ada: Work) -> None:
    """She has not seen his; the remote refuses, she takes his in as the answer says, and commits again."""
    paths = save(ada, "threshold = 0.1", "load = 0.05", "load < threshold  # for each host")
    refused = await ada.commit(paths, "Say for which host", push=True)
    assert refused.commit is not None
    assert not refused.is_pushed
    assert f"git pull --no-rebase origin {BRANCH}" in refused.summary
    ada.git("pull", "--quiet", "--no-rebase", "--no-edit", "origin", BRANCH)
    again = await ada.commit(paths, "Nothing more", push=True)
    assert (again.commit, again.is_pushed) == (None, True), again.summary


async def merged(forge: Forge, standin: GiteaStandIn, project: Project, number: int) -> None:
    """What bob and CI said is read back; then he merges, which is not ours to do."""
    said = await forge.comments(number)
    assert [(each.body, each.verdict, each.line) for each in said] == [
        ("Nearly", "changes requested", None),
        ("For which host?", None, 8),
    ]
    found = await forge.find(BRANCH, "main")
    assert found is not None
    assert found.commit == project.commit(BRANCH)
    assert (await forge.checks(found.commit)).state == "none"
    bobs = project.git("rev-parse", f"{found.commit}^2")
    assert (await forge.checks(bobs)).state == "success"
    do = "Do" if standin.flavour == "forgejo" else "do"
    merge = f"/api/v1/repos/ada/{project.name}/pulls/{number}/merge"
    await anyio.to_thread.run_sync(lambda: Person(standin.server).post(merge, **{do: "merge"}))
    assert await forge.find(BRANCH, "main") is None
