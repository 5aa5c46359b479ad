"""The tool notebook_pr through a real client, on each forge's published API and a real git server."""

import json
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from mcp import Client
from mcp.server import MCPServer

from mcp_notebook.server import arriving, open_server
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.calls import call, refused
from tests.environments import REPOSITORY
from tests.publishing import Site, client_in, executed_copy, site
from tests.repositories import SECRET
from tests.standins.git_server import TOKEN, Server, serving

pytestmark = pytest.mark.anyio

BRANCH = "analysis/health"
PROPOSAL = {"branch": BRANCH, "title": "Fleet health", "description": "Is the *fleet* well?"}


@pytest.fixture(scope="module")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A git server that wants a token."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def forge(git_server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Site]:
    """A Gitea, unless a test asks for others."""
    with site(tmp_path, git_server, getattr(request, "param", "gitea")) as made:
        yield made


@pytest.fixture
async def agent(server: MCPServer[Connection], forge: Site) -> AsyncIterator[Client]:
    """A client that has committed a notebook to a branch."""
    async with client_in(server, forge.work) as client:
        forge.work.write("notebooks/health.py", "# %%\nload = 42\n\n# %%\nprint('the load is', load)\n")
        await call(client, "notebook_commit", path="notebooks/health.py", message="Check it", branch=BRANCH)
        yield client


@pytest.mark.parametrize("forge", ["gitea", "forgejo", "github"], indirect=True)
async def test_a_branch_is_proposed_once_and_what_is_said_is_read_back(agent: Client, forge: Site) -> None:
    """The text has the changes by cell and the run; the copy that it links to is there, with its outputs."""
    copy = forge.work.write("executions/health-1.ipynb", executed_copy(forge.work.path / "notebooks/health.ipynb"))
    before = forge.work.state()
    text = await call(agent, "notebook_pr", **PROPOSAL)
    assert forge.work.state() == before
    [pull] = forge.project.pulls
    assert text.startswith(
        f"Opened pull request #1, {BRANCH} -> main: {forge.server.url}/ada/{forge.project.name}/pull"
    )
    assert "Notebooks: notebooks/health.py." in text
    assert "CI: nothing has looked at its last commit yet." in text
    assert (pull.title, pull.head, pull.base) == ("Fleet health", BRANCH, "main")
    for part in (
        "Is the *fleet* well?\n\n",
        "Ran to its end in 1 min 23 s, 2 cells.",
        "| `threshold` | `0.1` |",
        "+load = 42",
        "## Changes of `notebooks/health.py`",
    ):
        assert part in pull.body
    commit = forge.project.commit(f"reports/{BRANCH}")
    assert f"{commit}/executions/health-1.ipynb>)" in pull.body
    assert json.loads(forge.project.git("show", f"{commit}:executions/health-1.ipynb")) == json.loads(copy.read_text())

    forge.review("changes requested", "Nearly.\nOne thing:", line="Which host?")
    forge.status("failure")
    again = await call(agent, "notebook_pr", **PROPOSAL)
    assert "It is there already, and its text is left as it is: pull request #1" in again
    assert "CI: failure.\n- notebook-ci failure: the notebooks" in again
    assert "), changes requested: Nearly.\n  One thing:" in again
    assert "at notebooks/health.py:1: Which host?" in again
    assert len(forge.project.pulls) == 1
    assert forge.project.commit(f"reports/{BRANCH}") == commit


async def test_no_run_is_claimed_that_was_not(agent: Client, forge: Site) -> None:
    """A copy of an earlier version, one of another notebook, one elsewhere, and what is none prove nothing."""
    ipynb = forge.work.path / "notebooks/health.ipynb"
    other = executed_copy(ipynb).replace("load = 42", "load = 41")
    forge.work.write("executions/health-1.ipynb", other)
    forge.work.write("executions/health-2.ipynb", "{")
    forge.work.write("executions/healthy.ipynb", executed_copy(ipynb))
    forge.work.write("executions/health-3.ipynb", executed_copy(ipynb, end_time=None))
    outside = forge.work.write("../outside.ipynb", executed_copy(ipynb))
    (forge.work.path / "executions/health-4.ipynb").symlink_to(outside)
    os.mkfifo(forge.work.path / "executions/health-5.ipynb")
    text = await call(agent, "notebook_pr", **PROPOSAL)
    assert "No executed copy has the cells of notebooks/health.py as they are proposed: notebook_execute" in text
    assert "Run of" not in forge.project.pulls[0].body
    assert forge.project.commit(f"reports/{BRANCH}") is None


async def test_odd_names_are_proposed(agent: Client, forge: Site) -> None:
    """With letters at which a line could be thought to end, and one that is no UTF-8."""
    names = ["line\u2028separator.py", "return\r.py", b"caf\xe9.py".decode(errors="surrogateescape")]
    forge.work.git("clean", "--quiet", "--force", "-d")
    forge.work.git("switch", "--quiet", BRANCH)
    for name in names:
        forge.work.write(name, f"# %%\nprint({names.index(name)})\n")
    forge.work.git("add", "--all")
    forge.work.git("commit", "--quiet", "-m", "Add them")
    forge.work.git("push", "--quiet", "origin", BRANCH)
    assert "caf?.py" in await call(agent, "notebook_pr", **PROPOSAL)
    assert [f"+print({number})" in forge.project.pulls[0].body for number in range(3)] == [True] * 3


async def test_a_run_that_failed_is_told(agent: Client, forge: Site) -> None:
    """With the cell."""
    copy = json.loads(executed_copy(forge.work.path / "notebooks/health.ipynb", exception=True))
    copy["cells"][2]["metadata"]["papermill"]["exception"] = True
    forge.work.write("executions/health-1.ipynb", json.dumps(copy))
    await call(agent, "notebook_pr", **PROPOSAL)
    assert f"Ended as **error** in cell `{copy['cells'][2]['id']}`" in forge.project.pulls[0].body


async def test_outputs_with_a_secret_are_not_published(
    server: MCPServer[Connection], forge: Site, agent: Client
) -> None:
    """The pull request is opened all the same; neither its text nor the answer has it."""
    forge.work.environment["DB_PASSWORD"] = SECRET
    copy = executed_copy(
        forge.work.path / "notebooks/health.ipynb", output=f"{SECRET}\n", parameters={"password": SECRET}
    )
    forge.work.write("executions/health-1.ipynb", copy)
    async with client_in(server, forge.work) as client:
        text = await call(client, "notebook_pr", **PROPOSAL)
        told = await refused(client, "notebook_pr", **PROPOSAL | {"description": f"It uses {SECRET}"})
    assert "is not published: there is a secret in executions/health-1.ipynb metadata line" in text
    assert "[masked: DB_PASSWORD]" in forge.project.pulls[0].body
    assert "the description (DB_PASSWORD)" in told
    assert SECRET not in text + told + forge.project.pulls[0].body
    assert forge.project.commit(f"reports/{BRANCH}") is None


async def test_what_cannot_be_proposed_is_refused(agent: Client, forge: Site) -> None:
    """With what to do; no pull request is there, and nothing was published for one."""
    forge.work.write("executions/health-1.ipynb", executed_copy(forge.work.path / "notebooks/health.ipynb"))
    for changed, says in (
        ({"branch": "missing"}, "origin has no branch missing. No pull request was opened. Push it (git push), or"),
        ({"base": "missing"}, "origin has no branch missing. No pull request was opened. Push it (git push), or name"),
        ({"branch": "main"}, "from main to itself"),
        ({"branch": "--force"}, "cannot be the name of a branch"),
        ({"title": " "}, "a title of one line"),
        ({"title": "x" * 256}, "255 is the most"),
        ({"title": "one\rtwo"}, "a title of one line"),
        ({"description": "x" * 20_001}, "20000 is the most"),
    ):
        assert says in await refused(agent, "notebook_pr", **PROPOSAL | changed)
    forge.work.git("remote", "set-url", "--push", "origin", "/srv/git/project.git")
    assert "is on no forge" in await refused(agent, "notebook_pr", **PROPOSAL)
    forge.work.git("remote", "remove", "origin")
    assert "git remote add origin URL" in await refused(agent, "notebook_pr", **PROPOSAL)
    assert forge.project.pulls == []
    assert forge.project.commit(f"reports/{BRANCH}") is None


async def test_without_a_token_it_says_where_one_is_set(
    server: MCPServer[Connection], agent: Client, forge: Site
) -> None:
    """git's own credential does as well; one that is wrong is not repeated."""
    del forge.work.environment["GITEA_TOKEN"]
    async with client_in(server, forge.work) as client:
        assert "Opened pull request" in await call(client, "notebook_pr", **PROPOSAL)
        forge.work.git("config", "--global", "--unset", "credential.helper")
        told = await refused(client, "notebook_pr", **PROPOSAL)
    assert "Set GITEA_TOKEN or FORGEJO_TOKEN in the environment of the MCP client" in told
    assert TOKEN not in told


async def test_commits_that_are_not_pushed_are_told(agent: Client, forge: Site) -> None:
    """The pull request shows what the remote has."""
    tree = forge.work.git("rev-parse", f"{BRANCH}^{{tree}}")
    commit = forge.work.git("commit-tree", tree, "-p", BRANCH, "-m", "More")
    forge.work.git("update-ref", f"refs/heads/{BRANCH}", commit)
    assert f"{BRANCH} has 1 commits here that origin has not: push them." in await call(
        agent, "notebook_pr", **PROPOSAL
    )


async def test_the_servers_own_tokens_are_not_lent(settings: Settings, forge: Site, agent: Client) -> None:
    """Another principal over HTTP has no environment of his own, and gets the server's without what is secret."""
    environment = {**forge.work.environment, "HOME": str(forge.work.path.parent)}
    mine = replace(settings, environment=environment, forge_tokens=(f"{forge.server.site}={TOKEN}",))
    async with Sessions(mine) as sessions, open_server(mine, sessions) as server:
        with arriving(Connection(workspace=forge.work.path, principal="bob")):
            async with Client(server, cache=None) as client:
                told = await refused(client, "notebook_pr", **PROPOSAL)
    assert "cannot be asked for its branches" in told or "There is no token for" in told
    assert forge.project.pulls == []
    assert TOKEN not in told


async def test_the_example_is_run_and_proposed(server: MCPServer[Connection], forge: Site) -> None:
    """docs/examples/agent_task_system_health.py: its parameters are in the pull request, its plot and scraps in the
    executed copy that this links to."""
    name = "agent_task_system_health"
    example = (REPOSITORY / "docs" / "examples" / f"{name}.py").read_text()
    forge.work.write(f"notebooks/{name}.py", example)
    parameters = {"threshold": 0.1, "hostname": "forge-vps-01"}
    path = f"notebooks/{name}.py"
    async with client_in(server, forge.work) as client:
        ran = await call(client, "notebook_execute", path=path, parameters=parameters, wait_s=100)
        await call(client, "notebook_commit", path=path, message="Check the fleet's health", branch=BRANCH)
        await call(client, "notebook_pr", **PROPOSAL)
    assert '"hostname": "forge-vps-01"' in ran
    [pull] = forge.project.pulls
    assert "| `hostname` | `'forge-vps-01'` |\n| `threshold` | `0.1` |" in pull.body
    [commit] = re.findall(rf"([0-9a-f]{{40}})/executions/{name}-", pull.body)
    [copy] = forge.project.git("ls-tree", "-r", "--name-only", commit).splitlines()
    outputs = [
        output
        for cell in json.loads(forge.project.git("show", f"{commit}:{copy}"))["cells"]
        for output in cell.get("outputs", [])
    ]
    mimes = {mime for output in outputs for mime in output.get("data", {})}
    assert {"image/png", "application/scrapbook.scrap.json+json"} <= mimes
    assert forge.project.git("show", f"{BRANCH}:{path}") == example.rstrip("\n")
