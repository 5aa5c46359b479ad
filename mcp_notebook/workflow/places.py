"""Where a commit is made: in the work tree's own git directory, or in one for another branch.

Neither checks anything out. git runs its hooks in the user's work tree, with an index that has the commit's tree.
"""

import contextlib
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from mcp_notebook.errors import CommitRefused, GitFailed
from mcp_notebook.forges.git import Git
from mcp_notebook.lock import Lock
from mcp_notebook.workflow.repository import NOTHING_DONE, Repository

ROOM = "mcp-notebook"
"""The directory below git's own in which we keep what lives for the time of a commit."""
OTHERS_S = 180.0
"""So long another commit of ours, with its push, is waited for."""
_LOOKS_EVERY_S = 0.1


@dataclass(frozen=True)
class Place:
    """A git whose HEAD is the branch, and whose index is its own, with the branch's tree."""

    git: Git
    branch: str
    before: str | None
    """The branch's commit; None if it has none yet."""


@asynccontextmanager
async def alone(repository: Repository) -> AsyncIterator[None]:
    """One commit at a time in a repository, whichever process makes it.

    Raises:
        CommitRefused: another one does not end, or the repository cannot be written.
    """
    room = repository.common / ROOM
    try:
        room.mkdir(exist_ok=True)
        with anyio.move_on_after(OTHERS_S):
            while (lock := Lock.take(room / "lock")) is None:  # noqa: ASYNC110 - other processes tell nothing
                await anyio.sleep(_LOOKS_EVERY_S)
    except OSError as exc:
        raise CommitRefused(f"{room} cannot be written ({exc.strerror}). {NOTHING_DONE} Mend its permissions.") from exc
    if lock is None:
        raise CommitRefused(f"Another commit in {repository.top} does not end. {NOTHING_DONE} Try again later.")
    try:
        yield
    finally:
        lock.release()


@asynccontextmanager
async def here(repository: Repository, branch: str) -> AsyncIterator[Place]:
    """The branch that is checked out: its HEAD, with an index of our own."""
    before = await repository.commit_of("HEAD")
    with temporary(repository) as room:
        index = room / "index"
        git = repository.git.having(GIT_INDEX_FILE=str(index))
        await _fill(git, repository, index, before)
        yield Place(git, branch, before)


@asynccontextmanager
async def elsewhere(repository: Repository, branch: str, *, begin: str, track: bool) -> AsyncIterator[Place]:
    """Another branch, which begins at ``begin`` if it is new; without a commit a new one is removed again.

    Raises:
        CommitRefused: the branch is checked out in another work tree, or cannot be made.
    """
    is_new = await repository.commit_of(f"refs/heads/{branch}") is None
    with temporary(repository) as room:
        tree = room / "tree"
        new = ("-b", branch, "--track" if track else "--no-track") if is_new else ()
        done = await repository.git.run(
            "worktree", "add", "--no-checkout", *new, str(tree), begin if is_new else branch
        )
        if done.code:
            raise CommitRefused(_why_not(branch, done.words))
        try:
            own = Path(await Git(tree, repository.git.environment).text("rev-parse", "--absolute-git-dir"))
            git = repository.git.having(GIT_DIR=str(own), GIT_WORK_TREE=str(repository.top))
            before = await git.text("rev-parse", "HEAD")
            await _fill(git, repository, own / "index", before)
            yield Place(git, branch, before)
        finally:
            with anyio.CancelScope(shield=True), contextlib.suppress(GitFailed):  # the next commit clears up
                await repository.git.run("worktree", "remove", "--force", "--force", str(tree))
                if is_new and await _has_nothing_new(repository, branch, begin):
                    await repository.git.run("branch", "--delete", "--force", branch)


async def _fill(git: Git, repository: Repository, index: Path, before: str | None) -> None:
    """The commit's tree, with what the user's index knows of the files' times: git need not read them all."""
    with contextlib.suppress(OSError):  # it only makes it faster
        await anyio.to_thread.run_sync(shutil.copyfile, repository.directory / "index", index)
    how = ("--reset", before) if before else ("--empty",)
    done = await git.run("read-tree", *how)
    if done.code:  # one that is split has its other half where git does not look for it
        await anyio.Path(index).unlink(missing_ok=True)
        done = await git.run("read-tree", *how)
    if done.code:
        raise GitFailed(f"git cannot read the tree of {before or 'nothing'}: {done.words} {NOTHING_DONE}")


async def _has_nothing_new(repository: Repository, branch: str, begin: str) -> bool:
    return await repository.commit_of(f"refs/heads/{branch}") == await repository.commit_of(begin)


async def clear(repository: Repository) -> None:
    """Remove what commits that were killed have left: their branches would be taken for checked out."""
    room = repository.common / ROOM
    left = [path for path in room.iterdir() if path.is_dir()]
    if not left:
        return
    listed = await repository.git.text("worktree", "list", "--porcelain")
    for field in listed.split("\n"):
        path = Path(field.removeprefix("worktree "))
        if field.startswith("worktree ") and path.is_relative_to(room):
            await repository.git.run("worktree", "remove", "--force", "--force", str(path))
    for path in left:
        await anyio.to_thread.run_sync(partial(shutil.rmtree, path, ignore_errors=True))


@contextlib.contextmanager
def temporary(repository: Repository) -> Iterator[Path]:
    """A directory of its own, as long as the block lasts; hold ``alone``, or the next commit takes it away."""
    room = repository.common / ROOM / secrets.token_hex(8)
    try:
        room.mkdir(parents=True)
    except OSError as exc:
        raise CommitRefused(
            f"{room.parent} cannot be written ({exc.strerror}). {NOTHING_DONE} Make room there."
        ) from exc
    try:
        yield room
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _why_not(branch: str, words: str) -> str:
    if "already" in words and ("checked out" in words or "used by" in words):
        return (
            f"The branch {branch} is checked out in another work tree, whose files would no longer fit to it. "
            f"{NOTHING_DONE} Commit there, or to another branch. git says: {words}"
        )
    return f"The branch {branch} cannot be used. {NOTHING_DONE} git says: {words}"
