"""The workflows that ci-setup writes: valid by their published schema, renewed and never overwritten, run for real."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mcp_notebook.errors import GitFailed
from mcp_notebook.workflow.ci_setup import WORKFLOWS, set_up
from tests.repositories import Work, repository

pytestmark = pytest.mark.anyio

GITEA, GITHUB = WORKFLOWS


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A repository with one commit."""
    return repository(tmp_path)


async def test_both_are_written_and_valid(work: Work) -> None:
    """By GitHub's published schema of workflows, which Gitea's and Forgejo's follow; each has its own upload."""
    report = await set_up(work.path, work.environment)
    assert report.is_good
    assert report.lines[:2] == (f"Wrote {GITEA}.", f"Wrote {GITHUB}.")
    check = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows"]
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        [*check, GITEA, GITHUB], cwd=work.path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    gitea, github = (loaded(work.path / name) for name in WORKFLOWS)
    assert gitea["jobs"]["notebooks"]["steps"][-1]["uses"] == "actions/upload-artifact@v3"
    github["jobs"]["notebooks"]["steps"][-1]["uses"] = "actions/upload-artifact@v3"
    assert gitea == github


async def test_what_somebody_changed_is_left(work: Work) -> None:
    """The other one is renewed, if it is one of ours; twice is once."""
    await set_up(work.path, work.environment)
    again = await set_up(work.path, work.environment)
    assert (again.is_good, again.lines[0]) == (True, f"{GITEA} is there already.")
    changed = (work.path / GITEA).read_text().replace("ubuntu-latest", "our-runner")
    work.write(GITEA, changed)
    older = (work.path / GITHUB).read_text().partition("\n")[2].replace("timeout-minutes: 60", "timeout-minutes: 30")
    work.write(GITHUB, signed(older))
    report = await set_up(work.path, work.environment)
    assert not report.is_good
    assert "was left as it is, since somebody has changed it" in report.lines[0]
    assert report.lines[1] == f"Renewed {GITHUB}."
    assert (work.path / GITEA).read_text() == changed
    assert "timeout-minutes: 60" in (work.path / GITHUB).read_text()


async def test_what_cannot_be_written_is_told(work: Work, tmp_path: Path) -> None:
    """A link that leads out, a file where a directory should be, and no repository."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (work.path / ".gitea").symlink_to(outside)
    with pytest.raises(GitFailed, match=r"leads to .* outside"):
        await set_up(work.path, work.environment)
    assert list(outside.iterdir()) == []
    (work.path / ".gitea").unlink()
    work.write(".gitea", "")
    with pytest.raises(GitFailed, match="was not written"):
        await set_up(work.path, work.environment)
    with pytest.raises(GitFailed, match="git init"):
        await set_up(tmp_path, work.environment)


async def test_its_steps_run_what_a_pull_request_changes(work: Work, tmp_path: Path) -> None:
    """A pair is run from its text, a lone .ipynb as it is; scripts, and what did not change, are not run."""
    await set_up(work.path, work.environment)
    work.notebook("notebooks/same", "raise SystemError")
    work.write("script.py", "raise SystemError\n")
    work.git("add", ".")
    work.git("commit", "--quiet", "-m", "What is there")
    base = work.git("rev-parse", "HEAD")
    work.write("notebooks/new.py", "# %%\nprint('it is', 6 * 7)\n")
    work.write("notebooks/a b/lone.ipynb", "{}")
    work.write("-x.py", "#%%\n")
    work.write("script.py", "raise SystemError('again')\n")
    work.write("executions/old.ipynb", "{}")
    work.git("rm", "--quiet", "notebooks/same.ipynb")
    work.git("add", ".")
    work.git("commit", "--quiet", "-m", "What is proposed")
    runner = Runner(work, tmp_path, BASE=base)
    assert runner.run("Find the notebooks that changed").stdout.splitlines() == [
        "-x.py",
        "notebooks/a b/lone.ipynb",
        "notebooks/new.py",
    ]


async def test_its_steps_run_and_verify_notebooks(work: Work, tmp_path: Path) -> None:
    """Each beside its own files; one that fails is no hindrance to the others, and is the job's failure."""
    await set_up(work.path, work.environment)
    work.write("notebooks/data.txt", "42")
    work.write("notebooks/good.py", "# %%\nprint('it is', open('data.txt').read())\n")
    work.git("add", ".")
    work.git("commit", "--quiet", "-m", "A notebook")
    base = work.git("rev-parse", "HEAD~1")
    runner = Runner(work, tmp_path, BASE=base, MCP_NOTEBOOK_HOME=str(tmp_path / "state"))
    runner.run("Find the notebooks that changed")
    runner.run("Run and verify them")
    assert "it is 42" in (runner.place / "executions/notebooks/good.ipynb").read_text()
    (runner.place / "notebooks/bad.py").write_text("# %%\nraise ValueError('no')\n")
    (tmp_path / "temporary/notebooks").write_text("notebooks/bad.py\0notebooks/good.py\0")
    said = runner.run("Run and verify them", code=1).stdout
    assert "ValueError: no" in said
    assert (runner.place / "executions/notebooks/bad.ipynb").exists()
    assert said.index("bad.py") < said.index("good.py")


def signed(text: str) -> str:
    """As an earlier version of ours would have written it."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return (
        f"# Written by `mcp-notebook ci-setup`, which renews it unless somebody has changed it: sha256 {digest}\n{text}"
    )


def loaded(path: Path) -> Any:
    """The workflow as data."""
    return yaml.safe_load(path.read_text())


class Runner:
    """Runs the shell steps of the workflow as a forge's runner does: in a clone of the repository, by bash."""

    def __init__(self, work: Work, base: Path, **variables: str) -> None:
        [job] = loaded(work.path / GITEA)["jobs"].values()
        self._steps = {step["name"]: step for step in job["steps"] if "run" in step}
        self.place = base / "runner"
        work.git("clone", "--quiet", str(work.path), str(self.place))
        (base / "temporary").mkdir()
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.environment = work.environment | {"PATH": programs, "RUNNER_TEMP": str(base / "temporary")} | variables

    def run(self, name: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
        """One step."""
        bash = shutil.which("bash") or "bash"
        done = subprocess.run(
            [bash, "--noprofile", "--norc", "-eo", "pipefail", "-c", self._steps[name]["run"]],
            cwd=self.place,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done
