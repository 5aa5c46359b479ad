"""A branch is sent to its remote, by the user's own git and credentials; what went wrong is told in a sentence.

A push that is refused changes nothing here: the commit stays where it is.
"""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mcp_notebook.errors import CommitRefused, GitFailed
from mcp_notebook.forges.git import Done, in_one_line
from mcp_notebook.workflow.repository import NOTHING_DONE, Repository

PUSH_S = 300.0
_MOST_WORDS_CHARS = 800


async def remote_for(repository: Repository, branch: str, named: str | None) -> str | None:
    """The remote that the branch goes to: the one named, git's own choice, the only one, or origin; None without any.

    Raises:
        CommitRefused: there is none of that name, or no way to tell which of several.
    """
    git = repository.git
    remotes = (await git.text("remote")).splitlines()
    if named is not None:
        if named not in remotes:
            known = f"The remotes are {', '.join(remotes)}." if remotes else "There is none."
            raise CommitRefused(f"There is no remote {named!r}. {known} {NOTHING_DONE}")
        return named
    for key in (f"branch.{branch}.pushRemote", "remote.pushDefault", f"branch.{branch}.remote"):
        chosen = await git.maybe("config", "--get", key)
        if chosen in remotes:
            return chosen
    if len(remotes) <= 1 or "origin" in remotes:
        return "origin" if "origin" in remotes else next(iter(remotes), None)
    raise CommitRefused(
        f"There are several remotes ({', '.join(remotes)}) and none is the default. {NOTHING_DONE} Name one, or set "
        "it: git config remote.pushDefault NAME."
    )


async def push(repository: Repository, remote: str, branch: str, names: Sequence[str] = ()) -> str | None:
    """Send the branch; None if it arrived, else what happened and what to do.

    ``names`` are the files that were to be committed.
    """
    upstream = await repository.git.maybe("config", "--get", f"branch.{branch}.remote")
    options = () if upstream else ("--set-upstream",)
    is_here = await repository.branch() == branch
    way = "" if is_here else _way_to(branch, names)
    return await _push(repository, remote, f"refs/heads/{branch}", branch, options, way)


async def push_commit(repository: Repository, remote: str, commit: str, branch: str) -> str | None:
    """Send a commit as ``branch``, which there is at the remote only; the answer is that of ``push``."""
    return await _push(repository, remote, commit, branch)


async def _push(
    repository: Repository, remote: str, source: str, branch: str, options: tuple[str, ...] = (), way: str = ""
) -> str | None:
    git = await repository.git.over_network()
    try:
        done = await git.run(
            "push", "--porcelain", *options, "--", remote, f"{source}:refs/heads/{branch}", timeout_s=PUSH_S
        )
    except GitFailed as exc:
        return f"It is not known to have been pushed: {exc}"
    if done.code == 0:
        return None
    refused = Refused(remote, branch, done, way)
    for applies, says in _REASONS:
        if applies(refused):
            return f"Not pushed: {says(refused)}"
    return f"Not pushed to {remote}: {refused.words} Mend it, then commit again: what is committed is then pushed."


def _way_to(branch: str, names: Sequence[str]) -> str:
    """What is committed would be in the way of a checkout as long as it lies there, with its outputs, too."""
    files = " ".join(shlex.quote(name) for name in names)
    put_away = f"git stash push --include-untracked -- {files} && " if files else ""
    return f"{put_away}git switch {shlex.quote(branch)} && "


@dataclass(frozen=True)
class Refused:
    """A push that did not arrive."""

    remote: str
    branch: str
    done: Done
    way: str = ""
    """The commands that check the branch out, if it is not."""

    @property
    def all(self) -> str:
        """All that git said."""
        return f"{self.done.stdout}\n{self.done.stderr}"

    @property
    def words(self) -> str:
        """What the remote, or a hook, or git said, in one line."""
        lines = [line.strip() for line in self.done.stderr.splitlines()]
        told = [line.removeprefix("remote:").strip() for line in lines if line.startswith("remote:")]
        chosen = told or [line for line in lines if not line.startswith(("hint:", "To "))]
        words = in_one_line(" ".join(filter(None, chosen)))[:_MOST_WORDS_CHARS]
        return words or f"git ended with {self.done.code} and said nothing."

    def says(self, *parts: str) -> bool:
        """Whether one of these is among it."""
        return any(part.lower() in self.all.lower() for part in parts)


def _is_protected(refused: Refused) -> bool:
    return refused.says("[remote rejected]") and refused.says("protected", "GH006", "GH013")


def _protected(refused: Refused) -> str:
    return (
        f"{refused.branch} is protected on {refused.remote} ({refused.words}). The commit is on your branch "
        f"{refused.branch}. Commit again with another branch: it is made from here, pushed, and can become a pull "
        f"request. Then take the commit off this one: git branch --force {refused.branch} "
        f"{refused.remote}/{refused.branch}, or git reset --keep if it is checked out."
    )


def _diverged(refused: Refused) -> str:
    remote, branch = refused.remote, refused.branch
    return (
        f"{remote} has commits on {branch} that are not here. The commit is on your branch {branch}. Take theirs in: "
        f"{refused.way}git pull --no-rebase {remote} {branch} (`mcp-notebook git-setup` makes git merge notebooks by "
        "cell). Then commit again: what is committed is then pushed."
    )


def _unknown_user(refused: Refused) -> str:
    return (
        f"{refused.remote} does not know you, or does not let you write ({refused.words}). Store a credential for git "
        "(git credential approve, gh auth login, or an ssh key in the agent), then commit again."
    )


def _unreachable(refused: Refused) -> str:
    return f"{refused.remote} cannot be reached ({refused.words}). Commit again when it can: it is then pushed."


def _absent(refused: Refused) -> str:
    return (
        f"{refused.remote} has no such repository, or none that you may see ({refused.words}). Check its URL: git "
        "remote -v."
    )


def _declined(refused: Refused) -> str:
    return f"{refused.remote} refused it: {refused.words} Do what it says, then commit again."


def _hooked(refused: Refused) -> str:
    return (
        f"git gave up before anything was sent, as it does when its pre-push hook fails: {refused.words} Do what it "
        "says, then commit again."
    )


def _any(*parts: str) -> Callable[[Refused], bool]:
    return lambda refused: refused.says(*parts)


_REASONS: tuple[tuple[Callable[[Refused], bool], Callable[[Refused], str]], ...] = (
    (_is_protected, _protected),
    (_any("(fetch first)", "(non-fast-forward)", "(stale info)"), _diverged),
    (_any("[remote rejected]"), _declined),
    (
        _any(
            "could not read Username", "could not read Password", "Authentication failed", "Permission denied",
            "Host key verification failed", "error: 403", "error: 401", "terminal prompts disabled",
        ),
        _unknown_user,
    ),
    (
        _any(
            "Could not resolve host", "Failed to connect", "Connection refused", "Connection timed out",
            "Network is unreachable", "Connection reset", "Could not connect", "Operation timed out",
        ),
        _unreachable,
    ),
    (_any("not found", "does not appear to be a git repository", "does not exist"), _absent),
    (lambda refused: refused.done.stderr.rstrip().splitlines()[-1:] != [] and "!" not in refused.done.stdout, _hooked),
)  # fmt: skip
