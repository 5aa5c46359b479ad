"""The tool notebook_commit through a real client: a notebook of a session, or of the disk, goes into git."""

import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from mcp import Client
from mcp.server import MCPServer

from mcp_notebook.sessions import Connection, Sessions
from tests.calls import call, refused, structured
from tests.live import lives
from tests.publishing import client_in, cloned
from tests.repositories import Work, ipynb, repository
from tests.standins.git_server import Server, serving

pytestmark = pytest.mark.anyio


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A repository with one commit, without a remote."""
    return repository(tmp_path)


@pytest.fixture(scope="module")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A git server that wants a token."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
async def agent(server: MCPServer[Connection], sessions: Sessions, work: Work) -> AsyncIterator[Client]:
    """A client of the user whose repository it is."""
    async with client_in(server, work) as client:
        yield client
        for each in (await structured(client, "list_sessions"))["sessions"]:
            await sessions.end(sessions.find(each["session"]))


async def test_a_live_notebook_is_saved_committed_and_pushed(
    server: MCPServer[Connection], sessions: Sessions, git_server: Server, tmp_path: Path
) -> None:
    """What ran and was not saved is in the commit, without its outputs; the branch that is checked out stays."""
    bare = git_server.bare("ada/live")
    work = cloned(tmp_path, git_server, "live")
    async with client_in(server, work) as client:
        opened = await structured(client, "open_session", notebook="notebooks/health.py")
        await call(client, "execute_cell", source="print('the load is', 6 * 7)")
        text = await call(
            client, "notebook_commit", path="notebooks/health.py", message="Check the load", branch="analysis/health"
        )
        await sessions.end(sessions.find(opened["session"]))
    assert "Committed notebooks/health.ipynb, notebooks/health.py to analysis/health" in text
    assert "analysis/health is pushed to origin" in text
    assert 'notebook_pr(branch="analysis/health"' in text
    there = json.loads(work.git("show", "origin/analysis/health:notebooks/health.ipynb"))
    here = json.loads((work.path / "notebooks/health.ipynb").read_text())
    assert [cell["id"] for cell in there["cells"]] == [cell["id"] for cell in here["cells"]]
    assert [cell["outputs"] for cell in there["cells"]] == [[]]
    assert "the load is 42" in json.dumps(here["cells"])
    assert (bare / "refs/heads/analysis/health").read_text().strip() == work.git("rev-parse", "analysis/health")
    assert work.git("branch", "--show-current") == "main"


async def test_the_ipynb_is_made_of_its_text(agent: Client, work: Work) -> None:
    """A text that an editor changed: known cells keep their ids, no session is opened, and no remote is said."""
    work.notebook("a", "x = 1", "print(x)")
    (work.path / "a.py").write_text("# %%\nx = 1\n\n# %%\ny = 2\n\n# %%\nprint(x)\n")
    text = await call(agent, "notebook_commit", path="a.py", message="Add y")
    assert "git remote add origin URL" in text
    cells = json.loads(work.committed("a.ipynb"))["cells"]
    assert [cell["source"] for cell in cells] == [["x = 1"], ["y = 2"], ["print(x)"]]
    assert [cells[0]["id"], cells[2]["id"]] == ["cell-0", "cell-1"]
    assert work.committed("a.py") == (work.path / "a.py").read_text()
    assert (await structured(agent, "list_sessions"))["sessions"] == []


async def test_a_lone_ipynb_stays_one(agent: Client, work: Work) -> None:
    """Its outputs are on disk, and not in git."""
    work.write("a.ipynb", ipynb("x = 1"))
    await call(agent, "notebook_commit", path="a.ipynb", message="Add it")
    assert work.git("ls-files").splitlines() == ["README.md", "a.ipynb"]
    assert json.loads(work.committed("a.ipynb"))["cells"][0]["outputs"] == []
    assert json.loads((work.path / "a.ipynb").read_text())["cells"][0]["outputs"] != []


async def test_what_cannot_be_committed_is_refused(agent: Client, work: Work) -> None:
    """With what to do; nothing is written."""
    work.write("script.py", "print(1)\n")
    (work.path / "out.py").symlink_to(work.path.parent / "elsewhere.py")
    before = work.state()
    for path, says in (
        ("../outside.py", "outside"),
        ("out.py", "outside"),
        ("missing.py", "There is no missing.py + missing.ipynb. Nothing was committed. Save the notebook first"),
        ("script.py", "is a script, not a notebook"),
        ("", "The path is empty"),
        (".git/config", "inside of git's own directory"),
    ):
        assert says in await refused(agent, "notebook_commit", path=path, message="Add it")
    assert work.state() == before


async def test_nothing_is_written_while_a_merge_is_in_progress(agent: Client, work: Work) -> None:
    """The .ipynb is not made anew of a text that has conflicts."""
    work.notebook("a", "x = 1")
    work.git("add", ".")
    work.git("commit", "--quiet", "-m", "A notebook")
    for branch, source in (("theirs", "x = 2"), ("main", "x = 3")):
        work.git("switch", "--quiet", *(["--create"] if branch != "main" else []), branch)
        work.write("a.py", f"# %%\n{source}\n")
        work.git("commit", "--quiet", "-am", branch)
    work.git("merge", "theirs", code=1)
    before = work.state()
    text = await refused(agent, "notebook_commit", path="a.py", message="Change it")
    assert "A merge is in progress" in text
    assert work.state() == before


async def test_a_secret_of_the_clients_environment_is_refused(
    server: MCPServer[Connection], work: Work, tmp_path: Path
) -> None:
    """By its name and place, also where outputs are not masked; in the message too."""
    work.environment["DB_PASSWORD"] = "Corr3ct-h0rse-battery"
    work.write("a.py", "# %%\nconnect('Corr3ct-h0rse-battery')\n")
    work.write("b.py", "# %%\nx = 1\n")
    async with client_in(server, work) as client:
        text = await refused(client, "notebook_commit", path="a.py", message="Add it")
        in_message = await refused(client, "notebook_commit", path="b.py", message="Use Corr3ct-h0rse-battery")
    assert "a.py line 2 (DB_PASSWORD); a.ipynb cell" in text
    assert "the message (DB_PASSWORD)" in in_message
    assert "Corr3ct" not in text + in_message
    assert work.git("log", "--format=%s") == "Begin"


@pytest.mark.parametrize("code", [0, 1])
async def test_what_a_hook_prints_is_masked(
    server: MCPServer[Connection], work: Work, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    """Whether the commit is refused or only its push; nor do the words end up in a log, or move a cursor."""
    work.environment["DB_PASSWORD"] = "Corr3ct-h0rse-battery"
    work.git("remote", "add", "origin", str(work.path / "nowhere"))
    says = 'printf "\\033[31m%s\\n" "connecting with $DB_PASSWORD" >&2'
    work.hook("pre-commit", f"{says}; exit {code}")
    work.hook("pre-push", f"{says}; exit 1")
    work.write("a.py", "# %%\nx = 1\n")
    answer = call if code == 0 else refused
    async with client_in(server, work) as client:
        work.git("init", "--quiet", "--bare", "nowhere")
        text = await answer(client, "notebook_commit", path="a.py", message="Add it")
    assert "connecting with [masked: DB_PASSWORD]" in text
    assert "\x1b" not in text
    assert "Corr3ct" not in text + caplog.text


async def test_what_another_session_has_not_saved_is_said(
    server: MCPServer[Connection], agent: Client, work: Work
) -> None:
    """Its unsaved cells are its own: what is on disk is committed."""
    work.write("a.py", "# %%\nx = 1\n")
    opened = await structured(agent, "open_session", notebook="a.py")
    await call(agent, "execute_cell", source="y = 2")
    async with client_in(server, work, agent="another") as other:
        text = await call(other, "notebook_commit", path="a.py", message="Add it")
    assert f"is open in the session {opened['session']}" in text
    assert "y = 2" not in work.committed("a.py")


async def test_two_calls_at_once_make_one_commit_each(agent: Client, work: Work) -> None:
    """Of the same notebook to two branches, and of another one; what is there already is no commit."""
    work.hook("pre-commit", "sleep 0.1")  # so that they would meet
    for name in ("a", "b"):
        work.write(f"{name}.py", f"# %%\n{name} = 1\n")
    said: list[str] = []

    async def one(path: str, branch: str) -> None:
        said.append(await call(agent, "notebook_commit", path=path, message=f"Add {path}", branch=branch))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for path, branch in (("a.py", "one"), ("a.py", "two"), ("b.py", "one"), ("a.py", "one")):
                group.start_soon(one, path, branch)
    assert sum("Committed" in text for text in said) == 3
    assert sum("Nothing to commit" in text for text in said) == 1
    assert work.git("ls-tree", "--name-only", "one").split() == ["README.md", "a.ipynb", "a.py", "b.ipynb", "b.py"]
    assert work.git("ls-tree", "--name-only", "two").split() == ["README.md", "a.ipynb", "a.py"]


async def test_a_cancelled_call_takes_back_what_it_began(agent: Client, work: Work) -> None:
    """The hook ends with the call, others are answered meanwhile, and the next commit is made."""
    work.write("a.py", "# %%\nx = 1\n")
    reached = work.path.parent / "reached"
    os.mkfifo(reached)
    work.hook("pre-commit", f"echo $$ >{reached}; exec sleep 300")
    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: agent.call_tool("notebook_commit", {"path": "a.py", "message": "Add it"}))
            hook = int(await anyio.to_thread.run_sync(reached.read_text))
            assert (await structured(agent, "list_sessions"))["sessions"] == []
            group.cancel_scope.cancel()
        while lives(hook):
            await anyio.lowlevel.checkpoint()
    work.hook("pre-commit", "exit 0")
    text = await call(agent, "notebook_commit", path="a.py", message="Add it")
    assert "Committed a.ipynb, a.py to main" in text
    assert work.git("rev-list", "--count", "main") == "2"
