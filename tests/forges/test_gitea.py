"""Pull requests on Gitea and on Forgejo, by an API that is held to both published specifications."""

from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges import Check, Draft, Forge, Git, Opened, find_forge
from mcp_notebook.forges.remotes import parse
from tests.standins.contract import Contract
from tests.standins.forge import Project
from tests.standins.git_server import Asked, Given
from tests.standins.gitea import GiteaStandIn
from tests.standins.person import Person

pytestmark = pytest.mark.anyio

DRAFT = Draft("work", "main", "A notebook", "What it does: ä, `code` and\n\n| a | table |")


async def test_a_pull_request_is_opened(forge: Forge, standin: GiteaStandIn, project: Project) -> None:
    """With what it was to say; what is found out about it is what the forge shows."""
    opened = await forge.open(DRAFT)
    made = opened.pull_request
    assert opened.is_new
    assert (made.title, made.state, made.is_merged) == ("A notebook", "open", False)
    assert (made.head, made.base, made.commit) == ("work", "main", project.commit("work"))
    assert made.url == f"{standin.server.url}/ada/{project.name}/pulls/{made.number}"
    assert [(pull.body, pull.author) for pull in project.pulls] == [(DRAFT.body, "ada")]
    assert forge.kind == standin.flavour


async def test_opening_it_twice_finds_it(forge: Forge, project: Project) -> None:
    """It is left as it is: somebody may have edited it meanwhile."""
    first = await forge.open(DRAFT)
    project.pulls[0].title = "A better title"
    second = await forge.open(DRAFT)
    assert second.pull_request.number == first.pull_request.number
    assert (second.is_new, second.pull_request.title) == (False, "A better title")
    assert len(project.pulls) == 1


async def test_opening_it_at_once_makes_one(forge: Forge, project: Project) -> None:
    """The forge decides who was first."""
    opened: list[Opened] = []

    async def open_one() -> None:
        opened.append(await forge.open(DRAFT))

    async with anyio.create_task_group() as group:
        for _ in range(5):
            group.start_soon(open_one)
    assert [each.is_new for each in opened].count(True) == 1
    assert {each.pull_request.number for each in opened} == {project.pulls[0].number}


async def test_a_branch_with_slashes_is_one_branch(forge: Forge) -> None:
    """Also in a path of the API."""
    draft = Draft("other/work", "main", "Other work")
    first = await forge.open(draft)
    assert await forge.find("other/work", "main") == first.pull_request
    assert (await forge.open(draft)).is_new is False


async def test_a_closed_one_is_no_open_one(forge: Forge, project: Project) -> None:
    """A new one is opened; an older one that is still open is found beside it."""
    await forge.open(DRAFT)
    project.pulls[0].state = "closed"
    assert await forge.find("work", "main") is None
    assert (await forge.open(DRAFT)).is_new
    project.pulls.reverse()
    found = await forge.find("work", "main")
    assert found is not None
    assert found.state == "open"


async def test_what_was_said_is_read_back(forge: Forge, standin: GiteaStandIn, project: Project) -> None:
    """Conversation, reviews and lines, in the order in which they were written."""
    number = (await forge.open(DRAFT)).pull_request.number
    path = f"/api/v1/repos/ada/{project.name}"
    bob = Person(standin.server)
    await anyio.to_thread.run_sync(lambda: bob.post(f"{path}/issues/{number}/comments", body="Looks *good*"))
    line = {"path": "a.py", "body": "Why 0.1?", "new_position": 7}
    review = {"event": "REQUEST_CHANGES", "body": "One question", "comments": [line]}
    await anyio.to_thread.run_sync(lambda: bob.post(f"{path}/pulls/{number}/reviews", **review))
    await anyio.to_thread.run_sync(lambda: bob.post(f"{path}/pulls/{number}/reviews", event="APPROVED"))
    comments = await forge.comments(number)
    assert [(each.author, each.body, each.verdict, each.path, each.line) for each in comments] == [
        ("bob", "Looks *good*", None, None, None),
        ("bob", "One question", "changes requested", None, None),
        ("bob", "Why 0.1?", None, "a.py", 7),
        ("bob", "", "approved", None, None),
    ]
    assert all(each.url and each.created_at for each in comments)


async def test_what_ci_says_is_read_back(forge: Forge, standin: GiteaStandIn, project: Project) -> None:
    """None, while it runs, and how it ended; the latest word of each check counts."""
    commit = (await forge.open(DRAFT)).pull_request.commit
    assert (await forge.checks(commit)).state == "none"
    ci = Person(standin.server)
    states = []
    for context, state in (("notebook", "pending"), ("lint", "success"), ("notebook", "success"), ("lint", "error")):
        said = {"context": context, "state": state, "description": f"{context} is {state}"}
        await anyio.to_thread.run_sync(partial(ci.post, f"/api/v1/repos/ada/{project.name}/statuses/{commit}", **said))
        states.append((await forge.checks(commit)).state)
    assert states == ["pending", "pending", "success", "failure"]
    assert (await forge.checks(commit)).checks[-1] == Check("lint", "failure", "", "lint is error")


async def test_the_default_branch_is_asked_for(forge: Forge) -> None:
    """It is where pull requests go."""
    assert (await forge.home()).default_branch == "main"


@pytest.mark.parametrize(
    ("draft", "says"),
    [
        (Draft("gone", "main", "A title"), r"no such repository, branch .* \(404\)"),
        (Draft("work", "work", "A title"), "from work to itself"),
        (Draft("work", "main", " "), "a title of one line"),
        (Draft("work", "main", "x" * 300), "300 characters"),
    ],
)
async def test_what_cannot_be_opened_is_told(forge: Forge, draft: Draft, says: str) -> None:
    """By the forge, or before it is asked."""
    with pytest.raises(ForgeFailed, match=says):
        await forge.open(draft)


async def test_an_archive_is_told(forge: Forge, project: Project) -> None:
    """It says what has to be done first."""
    project.is_archived = True
    with pytest.raises(ForgeFailed, match=r"unarchived.*\(423\).* is archived"):
        await forge.open(DRAFT)


@pytest.mark.parametrize(
    ("token", "says"), [("nobody-0123456789", r"\(401\)"), ("token-of-eve-0123456789", r"\(40[34]\)")]
)
async def test_a_token_that_does_not_do_is_told(
    standin: GiteaStandIn, project: Project, environment: dict[str, str], tmp_path: Path, token: str, says: str
) -> None:
    """Where it is from is said, and what it lacks; it is not repeated."""
    environment["GITEA_TOKEN"] = environment["FORGEJO_TOKEN"] = token
    remote = parse(f"{standin.server.url}/ada/{project.name}.git")
    async with find_forge(remote, Git.of(tmp_path, environment), environment=environment) as forge:
        with pytest.raises(ForgeFailed, match=f"the token from (GITEA|FORGEJO)_TOKEN.*{says}") as refused:
            await forge.open(DRAFT)
    assert token not in str(refused.value)


def test_the_judge_finds_what_is_wrong(standin: GiteaStandIn) -> None:
    """A path, a parameter, a field, a value and a status that are in no specification."""
    contract = Contract(standin.flavour)
    json = {"content-type": "application/json"}
    pulls = "/api/v1/repos/a/b/pulls"
    for asked, given in (
        (Asked("GET", "/api/v1/nowhere", "", {}, b""), Given(200, {})),
        (Asked("GET", pulls, "unknown=1", {}, b""), Given(200, {}, b"[]")),
        (Asked("GET", pulls, "state=ajar", {}, b""), Given(200, {}, b"[]")),
        (Asked("POST", pulls, "", json, b'{"titel": "x"}'), Given(201, {}, b"{}")),
        (Asked("POST", pulls, "", json, b'{"title": 1}'), Given(201, {}, b"{}")),
        (Asked("POST", pulls, "", json, b"{}"), Given(201, {}, b'{"number": "one"}')),
        (Asked("POST", pulls, "", json, b"{}"), Given(418, {}, b"{}")),
    ):
        before = len(contract.violations)
        contract.check("/api/v1", asked, given)
        assert len(contract.violations) == before + 1, asked
