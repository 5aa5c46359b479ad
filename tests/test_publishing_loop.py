"""The whole way of a notebook through a real client: created, edited, run, committed, proposed, reviewed, merged.

By a real git over HTTP with a token, and APIs that are held to what Gitea, Forgejo and GitHub have published. That is
conformance to the published API, and not a run against those forges themselves.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jupytext
import pytest

from tests.daemons import user
from tests.publishing import Site, site
from tests.relays import Relay, relays
from tests.repositories import Work
from tests.repositories import user as person
from tests.standins.git_server import TOKEN, Server, serving

pytestmark = pytest.mark.timeout(400)  # each git on a notebook starts Python

BRANCH = "analysis/health"
NOTEBOOK = "notebooks/health.py"


@pytest.fixture(scope="module")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A git server that wants a token."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@dataclass
class Ada:
    """The user whose agent it is: a clone of the repository is the workspace."""

    work: Work
    client: Relay

    def call(self, tool: str, **arguments: object) -> str:
        """The answer to her agent."""
        return self.client.call(tool, **arguments)

    def ids(self) -> dict[str, str]:
        """The ids of the notebook's cells, by their sources."""
        cells = json.loads((self.work.path / NOTEBOOK).with_suffix(".ipynb").read_text())["cells"]
        return {"".join(cell["source"]): cell["id"] for cell in cells}


@pytest.mark.parametrize("kind", ["gitea", "forgejo", "github"])
def test_a_notebook_from_its_creation_to_its_merge(git_server: Server, tmp_path: Path, kind: str) -> None:
    """Somebody else's commit on the branch is taken in by cell; main ends with both, in both halves of the pair."""
    with (
        site(tmp_path / tmp_path.name, git_server, kind) as forge,
        user(tmp_path, **tokens(kind)) as me,
        relays(me) as started,
    ):
        work = clone(forge, me.workspace, me.environment)
        ada = Ada(work, started.start())
        command(work, "git-setup")
        create(ada)
        execute(ada)
        propose(ada, forge)
        bobs_commit(clone(forge, tmp_path / "bob", person(tmp_path, "bob")), forge)
        adas_second_commit(ada)
        what_was_said(ada)
        merged(ada, forge)


def tokens(kind: str) -> dict[str, str]:
    """Of the client's environment."""
    return {"GH_TOKEN" if kind == "github" else "GITEA_TOKEN": TOKEN}


def clone(forge: Site, path: Path, environment: dict[str, str]) -> Work:
    """Of somebody who has stored the token with git."""
    home = Path(environment["HOME"])
    name = path.name
    (home / ".git-credentials").write_text(f"http://ada:{TOKEN}@{forge.server.site}\n")
    work = Work(path, environment)
    path.mkdir(exist_ok=True)
    for key, value in (("user.name", name), ("user.email", f"{name}@example.org"), ("credential.helper", "store")):
        work.git("config", "--global", key, value)
    work.git("clone", "--quiet", forge.work.git("remote", "get-url", "origin"), ".")
    return work


def command(work: Work, *arguments: str, code: int = 0) -> str:
    """What a command of ours says in a terminal there."""
    done = subprocess.run(
        [sys.executable, "-m", "mcp_notebook", *arguments],
        cwd=work.path,
        env=work.environment | {"MCP_NOTEBOOK_HOME": str(work.path.parent / "state")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def create(ada: Ada) -> None:
    """A notebook from the template, in which a file's cell is edited and others are written where they are run."""
    task = "Check the health of the fleet"
    said = ada.call("notebook_create", task_description=task, path=NOTEBOOK, parameters={"threshold": 0.8})
    assert f"Created {NOTEBOOK}" in said
    ada.call("notebook_edit", path=NOTEBOOK, cell_index=3, new_source="import json")
    ada.call("open_session", notebook=NOTEBOOK)
    assert "failed" not in ada.call("control_kernel", action="run_all")
    ada.call("execute_cell", source="load = 0.5")
    ada.call("execute_cell", source="print('the load is', 42, load < threshold)")
    ada.call("save_notebook")
    ada.call("execute_cell", cell_id=ada.ids()["load = 0.5"], source="load = 0.05")


def execute(ada: Ada) -> None:
    """A run with a parameter, of which a copy stays; the source is as it was."""
    ada.call("save_notebook")
    before = (ada.work.path / NOTEBOOK).read_bytes()
    said = ada.call("notebook_execute", path=NOTEBOOK, parameters={"threshold": 0.1}, wait_s=100)
    assert "ok:" in said, said
    assert (ada.work.path / NOTEBOOK).read_bytes() == before


def propose(ada: Ada, forge: Site) -> None:
    """Committed to a new branch and pushed; the pull request is opened once, with what reviewers want to know."""
    said = ada.call("notebook_commit", path=NOTEBOOK, message="Check the fleet's health", branch=BRANCH)
    assert f"Committed notebooks/health.ipynb, {NOTEBOOK} to {BRANCH}" in said
    assert f"{BRANCH} is pushed to origin" in said
    about = {"branch": BRANCH, "title": "Fleet health", "description": "Is the fleet well?"}
    assert ada.call("notebook_pr", **about).startswith("Opened pull request #1")
    assert "It is there already" in ada.call("notebook_pr", **about)
    [pull] = forge.project.pulls
    for part in (
        "Is the fleet well?",
        "+load = 0.05",
        "| `threshold` | `0.1` |",
        "+import json",
        "Ran to its end in",
        "python",
        "| `kernel` |",
    ):
        assert part in pull.body
    [link] = re.findall(r"Executed copy: \[[^]]*\]\(<(\S+)>\)", pull.body)
    commit, path = re.search(r"/(?:src/commit|blob)/([0-9a-f]{40})/(.*)", link).groups()  # type: ignore[union-attr]
    assert "the load is 42" in forge.project.git("show", f"{commit}:{path}")


def bobs_commit(bob: Work, forge: Site) -> None:
    """He measures, in an editor, commits by the command line, and reviews; CI is content."""
    bob.git("switch", "--quiet", BRANCH)
    text = (bob.path / NOTEBOOK).read_text()
    bob.write(NOTEBOOK, text.replace("load = 0.05", "load = 0.07  # measured by bob"))
    said = command(bob, "commit", NOTEBOOK, "-m", "Measure the load")
    assert f"{BRANCH} is pushed to origin" in said
    forge.review("changes requested", "Nearly", line="For which host?")
    forge.status("success")


def adas_second_commit(ada: Ada) -> None:
    """Her agent has not seen his: the remote refuses, it does what the answer says, and commits again."""
    [last] = [cell_id for source, cell_id in ada.ids().items() if source.startswith("print")]
    ada.call("edit_cell", cell_id=last, source="print(load < threshold)  # for each host")
    about = {"path": NOTEBOOK, "branch": BRANCH}
    refused = ada.call("notebook_commit", **about, message="Say for which host")
    assert "Committed notebooks/health.ipynb, notebooks/health.py" in refused
    [way] = re.findall(rf"Take theirs in: (.*git pull --no-rebase origin {BRANCH}) ", refused)
    subprocess.run(["bash", "-ec", way], cwd=ada.work.path, env=ada.work.environment, check=True, capture_output=True)
    again = ada.call("notebook_commit", **about, message="Nothing more")
    assert f"{BRANCH} is pushed to origin" in again, again


def what_was_said(ada: Ada) -> None:
    """Of the commit that CI has not seen yet, nothing; what bob wrote stays."""
    said = ada.call("notebook_pr", branch=BRANCH, title="Fleet health", description="")
    assert "changes requested: Nearly" in said
    assert "at notebooks/health.py:1: For which host?" in said
    assert "CI: nothing has looked at its last commit yet." in said


def merged(ada: Ada, forge: Site) -> None:
    """Bob merges, which is not ours to do: main has both halves, the one made of the other, without outputs."""
    [pull] = forge.project.pulls
    assert forge.project.merge(pull)
    text = forge.project.git("show", f"main:{NOTEBOOK}")
    for part in (
        "threshold = 0.8",
        "import json",
        "load = 0.07  # measured by bob",
        "print(load < threshold)  # for each",
    ):
        assert part in text
    cells = json.loads(forge.project.git("show", "main:notebooks/health.ipynb"))["cells"]
    said = jupytext.reads(text, "py:percent").cells
    assert ["".join(cell["source"]) for cell in cells] == [cell["source"] for cell in said]
    assert [cell["outputs"] for cell in cells if cell["cell_type"] == "code"] == [[]] * 7
    assert [cell["id"] for cell in cells] == list(ada.ids().values())
