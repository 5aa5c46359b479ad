"""Real git repositories for tests, of a user who has nothing else, and the notebooks in them."""

import json
import os
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mcp_notebook.workflow import Committed, Wanted, commit

SECRET = "hunter2-" + "hunter2"
"""What ``find_secrets`` finds."""
TEXT = "# %%\nx = 1\n\n# %%\nprint(x)\n"


def find_secrets(text: str) -> list[tuple[int, int, str]]:
    """One secret is known to it."""
    at = text.find(SECRET)
    return [] if at < 0 else [(at, at + len(SECRET), "the password")]


def ipynb(*sources: str, output: str = "1\n", ids: Iterable[str] = ()) -> str:
    """A notebook that ran: each cell has an output, a count, times and our own marks."""
    names = list(ids) or [f"cell-{number}" for number in range(len(sources))]
    cells = [
        {
            "cell_type": "code",
            "id": name,
            "metadata": {"execution": {"iopub.execute_input": "2026-01-01T00:00:00Z"}, "mcp_notebook": {"ran": "x"}},
            "execution_count": count,
            "outputs": [{"output_type": "stream", "name": "stdout", "text": [output]}],
            "source": source.splitlines(keepends=True),
        }
        for count, (name, source) in enumerate(zip(names, sources, strict=True), 1)
    ]
    kernelspec = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {
        "kernelspec": kernelspec,
        "language_info": {"name": "python", "version": "3.11.7"},
        "mcp_notebook": {"pair": {"text": "0"}},
        "papermill": {"duration": 1.5},
    }
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"


@dataclass
class Work:
    """A work tree, and the environment of its user."""

    path: Path
    environment: dict[str, str]

    def git(self, *arguments: str, code: int | None = 0) -> str:
        """What git prints; it must end with ``code``, if that is not None."""
        done = subprocess.run(
            ["git", *arguments], cwd=self.path, env=self.environment, capture_output=True, text=True, check=False
        )
        assert code is None or done.returncode == code, f"git {arguments}: {done.returncode} {done.stdout}{done.stderr}"
        return done.stdout.rstrip("\n") if done.returncode == 0 else f"{done.stdout}{done.stderr}"

    def write(self, name: str, text: str) -> Path:
        """A file of the work tree."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def notebook(self, name: str, *sources: str, output: str = "1\n") -> list[Path]:
        """A pair of files, the .ipynb with outputs."""
        text = "\n".join(f"# %%\n{source}\n" for source in sources)
        return [self.write(f"{name}.py", text), self.write(f"{name}.ipynb", ipynb(*sources, output=output))]

    def hook(self, name: str, script: str) -> None:
        """A hook of this repository, in sh."""
        path = self.path / ".git" / "hooks" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def committed(self, name: str, ref: str = "HEAD") -> str:
        """The text of a file in a commit."""
        return self.git("show", f"{ref}:{name}") + "\n"

    def state(self) -> dict[str, str]:
        """All that a commit must leave alone: HEAD, the index, branches, and every file with its bytes."""
        files = {
            str(path.relative_to(self.path)): path.read_bytes().hex()
            for path in sorted(self.path.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(self.path).parts
        }
        head = (self.path / ".git" / "HEAD").read_text()
        trees = str(len(self.git("worktree", "list").splitlines()))
        return files | {"HEAD": head, "index": self.git("ls-files", "--stage"), "trees": trees}

    async def commit(
        self, paths: list[Path], message: str = "Change it", *, branch: str | None = None, push: bool = False
    ) -> Committed:
        """What the product does."""
        wanted = Wanted(paths, message, branch=branch, push=push)
        return await commit(wanted, environment=self.environment, find_secrets=find_secrets)


def user(base: Path, name: str = "Ada") -> dict[str, str]:
    """The environment of a user whose home lies below ``base``."""
    home = base / f"home-{name}"
    home.mkdir(parents=True, exist_ok=True)
    lines = (f"[user]\n\tname = {name}\n\temail = {name}@example.org", "[init]\n\tdefaultBranch = main")
    (home / ".gitconfig").write_text("\n".join(lines) + "\n")
    return {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "GIT_CONFIG_NOSYSTEM": "1"}


def repository(base: Path, name: str = "work") -> Work:
    """With one commit, which has a README, and Ada at work in it."""
    work = Work(base / name, user(base))
    work.path.mkdir(parents=True)
    work.git("init", "--quiet")
    work.write("README.md", "# A project\n")
    work.git("add", "README.md")
    work.git("commit", "--quiet", "-m", "Begin")
    return work
