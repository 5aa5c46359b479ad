"""What the stand-ins of Gitea, Forgejo and GitHub share: pull requests between branches of a real repository.

Stateful, and with no knowledge of anybody's JSON. Branches and commits are asked of git each time, so that a push
changes what a pull request shows.
"""

import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

WHEN = "2026-01-01T00:00:{:02d}Z"
PEOPLE = {"a-token-of-the-tests-0123456789": "ada", "token-of-bob-0123456789": "bob", "token-of-eve-0123456789": "eve"}
"""Eve may read and nothing else."""


@dataclass
class Said:
    """A comment, a review, or a line of one."""

    number: int
    author: str
    body: str
    when: str
    verdict: str = ""
    path: str = ""
    line: int = 0
    lines: "list[Said]" = field(default_factory=list)


@dataclass
class Pull:
    """A pull request."""

    number: int
    title: str
    body: str
    head: str
    base: str
    author: str
    last: str
    """The commit of its head, as last seen."""
    state: Literal["open", "closed"] = "open"
    merge_commit: str | None = None
    comments: list[Said] = field(default_factory=list)
    reviews: list[Said] = field(default_factory=list)


@dataclass
class Status:
    """What a program says of a commit."""

    number: int
    commit: str
    context: str
    state: str
    description: str
    url: str
    when: str


@dataclass
class Project:
    """One repository with its pull requests."""

    bare: Path
    owner: str = "ada"
    pulls: list[Pull] = field(default_factory=list)
    statuses: list[Status] = field(default_factory=list)
    is_archived: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)
    _count: int = 0

    @property
    def name(self) -> str:
        """Of the repository."""
        return self.bare.name.removesuffix(".git")

    def next(self) -> tuple[int, str]:
        """A number that nothing has yet, and a time after all others."""
        self._count += 1
        return self._count, WHEN.format(self._count % 60)

    def git(self, *arguments: str, code: int | None = 0) -> str:
        """git in the repository."""
        user = ("-c", "user.name=forge", "-c", "user.email=forge@example.org")
        done = subprocess.run(["git", *user, *arguments], cwd=self.bare, capture_output=True, text=True, check=False)
        assert code is None or done.returncode == code, done.stderr
        return done.stdout.strip() if done.returncode == 0 else ""

    def commit(self, branch: str) -> str | None:
        """Of a branch, or a commit itself."""
        return self.git("rev-parse", "--verify", "--quiet", f"{branch}^{{commit}}", code=None) or None

    def between(self, head: str, base: str) -> Pull | None:
        """The latest pull request between these branches."""
        return next((p for p in reversed(self.pulls) if (p.head, p.base) == (head, base)), None)

    def open(self, title: str, body: str, head: str, base: str, author: str) -> Pull:
        """A new pull request."""
        commit = self.commit(f"refs/heads/{head}")
        assert commit is not None
        pull = Pull(self.next()[0], title, body, head, base, author, commit)
        self.pulls.append(pull)
        return pull

    def pull(self, number: str) -> Pull | None:
        """By its number."""
        return next((pull for pull in self.pulls if str(pull.number) == number), None)

    def head(self, pull: Pull) -> str:
        """The commit that a pull request is at; the last one of a branch that is gone."""
        if pull.state == "open":
            pull.last = self.commit(f"refs/heads/{pull.head}") or pull.last
        return pull.last

    def merge(self, pull: Pull) -> bool:
        """With a merge commit, as a forge does; False if there are conflicts."""
        ours, theirs = self.commit(f"refs/heads/{pull.base}") or "", self.head(pull)
        tree = self.git("merge-tree", "--write-tree", ours, theirs, code=None)
        if not tree:
            return False
        made = self.git("commit-tree", tree, "-p", ours, "-p", theirs, "-m", f"Merge {pull.title!r}")
        self.git("update-ref", f"refs/heads/{pull.base}", made, ours)
        pull.state, pull.merge_commit = "closed", made
        return True
