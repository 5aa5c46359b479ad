"""The commands commit, pr, git-setup and ci-setup from a terminal: what they do, and errors in a line."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import hearing_interrupts
from tests.publishing import Site, site
from tests.repositories import SECRET, Work, repository
from tests.standins.git_server import TOKEN, Server, serving

BRANCH = "analysis/health"


@pytest.fixture(scope="module")
def git_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A git server that wants a token."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def forge(git_server: Server, tmp_path: Path) -> Iterator[Site]:
    """A Gitea with ada's repository."""
    with site(tmp_path, git_server, "gitea") as made:
        yield made


def said(work: Work, *arguments: str) -> tuple[int, str, str]:
    """How the command ends, and what it says on stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "mcp_notebook", *arguments],
        cwd=work.path,
        env=work.environment | {"MCP_NOTEBOOK_HOME": str(work.path.parent / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout, done.stderr


def test_a_notebook_is_committed_and_proposed(forge: Site) -> None:
    """With the same answers as the tools'; the .ipynb is made of the text."""
    forge.work.write("health.py", "# %%\nload = 42\n")
    code, out, _ = said(forge.work, "commit", "health.py", "-m", "Check the load", "-b", BRANCH)
    assert (code, f"Committed health.ipynb, health.py to {BRANCH}" in out) == (0, True)
    assert f"{BRANCH} is pushed to origin" in out
    proposal = ("pr", BRANCH, "-t", "Fleet health", "-d", "Is it well?")
    code, out, _ = said(forge.work, *proposal)
    assert (code, out.startswith(f"Opened pull request #1, {BRANCH} -> main: http")) == (0, True)
    forge.review("changes requested", "Nearly")
    code, out, _ = said(forge.work, *proposal)
    assert (code, "bob" in out, "Nearly" in out) == (0, True, True)


def test_a_push_that_fails_is_an_exit_code(forge: Site) -> None:
    """The commit is kept and told; without a push nothing is tried."""
    forge.work.write("health.py", "# %%\nload = 42\n")
    forge.work.git("remote", "set-url", "origin", "http://127.0.0.1:9/ada/none.git")
    code, out, err = said(forge.work, "commit", "health.py", "-m", "Check")
    assert (code, err) == (1, "")
    assert "Committed health.ipynb, health.py to main" in out
    assert "origin cannot be reached" in out
    code, out, _ = said(forge.work, "commit", "health.py", "-m", "Check", "--no-push")
    assert (code, out) == (0, "Nothing to commit: the files are there as they are here.\n")


def test_errors_are_a_line_that_says_what_to_do(tmp_path: Path) -> None:
    """On stderr, with exit code 1, and 2 for wrong usage; no secret is repeated."""
    work = repository(tmp_path)
    work.environment["DB_PASSWORD"] = SECRET
    work.write("bad.py", f"# %%\nconnect('{SECRET}')\n")
    work.write("good.py", "# %%\nx = 1\n")
    for arguments, code, says in (
        (("commit", "bad.py", "-m", "Add it"), 1, "bad.py line 2 (DB_PASSWORD)"),
        (("commit", "missing.py", "-m", "Add it"), 1, "There is no missing.py"),
        (("commit", "../outside.py", "-m", "Add it"), 1, "outside the workspace"),
        (("commit", "good.py", "-m", " "), 1, "needs a message"),
        (("commit", "good.py"), 2, "--message"),
        (("pr", "main", "-t", "Title"), 1, "git remote add origin URL"),
        (("pr", "main"), 2, "--title"),
        (("ci-setup", "--workspace", str(tmp_path)), 1, "git init"),
        (("git-setup", "--workspace", str(tmp_path)), 1, "git init"),
    ):
        ended, out, err = said(work, *arguments)
        assert (ended, out, len(err.splitlines())) == (code, "", 1), (arguments, err)
        assert says in err, err
        assert SECRET not in err
    assert work.git("log", "--format=%s") == "Begin"


def test_ci_setup_writes_two_workflows(tmp_path: Path) -> None:
    """And says how to commit them; one that was changed is left, which is an exit code."""
    work = repository(tmp_path)
    code, out, _ = said(work, "ci-setup")
    assert (code, out.splitlines()[0]) == (0, "Wrote .gitea/workflows/notebook-ci.yml.")
    subprocess.run(["bash", "-ec", out.splitlines()[2].removeprefix("Commit them: ")], cwd=work.path,
                   env=work.environment, check=True, capture_output=True)  # fmt: skip
    assert work.git("status", "--porcelain") == ""
    with (work.path / ".github/workflows/notebook-ci.yml").open("a") as file:
        file.write("# ours\n")
    code, out, _ = said(work, "ci-setup")
    assert (code, "somebody has changed it" in out) == (1, True)


def test_a_commit_that_is_interrupted_takes_back_what_it_began(tmp_path: Path) -> None:
    """Ctrl-C in a terminal, while a hook runs."""
    work = repository(tmp_path)
    work.write("a.py", "# %%\nx = 1\n")
    reached = tmp_path / "reached"
    os.mkfifo(reached)
    work.hook("pre-commit", f"echo now >{reached}; exec sleep 300")
    with hearing_interrupts():
        process = subprocess.Popen(
            [sys.executable, "-m", "mcp_notebook", "commit", "a.py", "-m", "Add it"],
            cwd=work.path,
            env=work.environment | {"MCP_NOTEBOOK_HOME": str(tmp_path / "state")},
            stderr=subprocess.PIPE,
        )
    reached.read_text()
    process.send_signal(2)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, b"Traceback" in err) == (130, False)
    assert work.git("ls-files") == "README.md"
    assert work.git("log", "--format=%s") == "Begin"
    assert TOKEN.encode() not in err
