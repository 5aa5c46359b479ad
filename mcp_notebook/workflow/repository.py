"""The user's repository as it is before a commit: where it is, on which branch, and what forbids one."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp_notebook.errors import CommitRefused, GitFailed
from mcp_notebook.forges.git import Git

NOTHING_DONE = "Nothing was committed."
_BRANCHES = "refs/heads/"
_IN_PROGRESS = {
    "MERGE_HEAD": ("A merge", "git merge --continue", "git merge --abort"),
    "rebase-apply/applying": ("A `git am`", "git am --continue", "git am --abort"),
    "rebase-merge": ("A rebase", "git rebase --continue", "git rebase --abort"),
    "rebase-apply": ("A rebase", "git rebase --continue", "git rebase --abort"),
    "CHERRY_PICK_HEAD": ("A cherry-pick", "git cherry-pick --continue", "git cherry-pick --abort"),
    "REVERT_HEAD": ("A revert", "git revert --continue", "git revert --abort"),
}


@dataclass(frozen=True)
class Repository:
    """One work tree of a repository."""

    git: Git
    """In the top directory of the work tree."""
    directory: Path
    """The git directory of this work tree."""
    common: Path
    """That of the repository, which all its work trees share."""

    @property
    def top(self) -> Path:
        """The top directory of the work tree."""
        return self.git.directory

    async def branch(self) -> str | None:
        """The branch that is checked out, also one without commits; None if HEAD is detached."""
        head = await self.git.maybe("symbolic-ref", "--quiet", "HEAD")  # in short it is not the name beside such a tag
        return head.removeprefix(_BRANCHES) if head is not None and head.startswith(_BRANCHES) else None

    async def commit_of(self, ref: str) -> str | None:
        """Of a ref; None if there is none."""
        return await self.git.maybe("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")


async def find(directory: Path, environment: Mapping[str, str], consequence: str = NOTHING_DONE) -> Repository:
    """The repository around ``directory``; ``consequence`` is what is said if there is none.

    Raises:
        CommitRefused: there is none, it has no work tree, git does not trust it, or cannot say where it is.
    """
    git = Git.of(directory, environment)
    found = []
    for asked in ("--show-toplevel", "--git-dir", "--git-common-dir"):  # one by one: a path may have line ends in it
        done = await git.run("rev-parse", "--path-format=absolute", asked)
        if done.code:
            raise CommitRefused(f"{_no_repository(directory, done.words)} {consequence}")
        if done.stdout.startswith("--"):
            raise CommitRefused(f"git is older than 2.31, which is needed here. {consequence} Install a newer one.")
        found.append(Path(done.stdout.removesuffix("\n")))
    top, own, common = found
    return Repository(Git(top, git.environment), own, common)


def _no_repository(directory: Path, words: str) -> str:
    if "dubious ownership" in words:
        return f"git does not trust the repository of {directory}, which is another user's: {words}"
    if "must be run in a work tree" in words:
        return f"{directory} is inside of a repository without a work tree."
    if "not a git repository" in words:
        return f"{directory} is in no git repository. Make one (git init), or go to one."
    return f"git cannot use the repository of {directory}: {words}"


async def refuse_unfinished(repository: Repository, names: Sequence[str]) -> None:
    """Raises CommitRefused while a merge or the like is in progress, or a named file has conflicts."""
    for mark, (what, go_on, give_up) in _IN_PROGRESS.items():
        if (repository.directory / mark).exists():
            raise CommitRefused(
                f"{what} is in progress in {repository.top}, which a commit would end. {NOTHING_DONE} Resolve its "
                f"conflicts and end it yourself ({go_on}), or give it up ({give_up})."
            )
    unmerged = await repository.git.text("--literal-pathspecs", "ls-files", "--unmerged", "-z", "--", *names)
    if unmerged:
        names = sorted({entry.partition("\t")[2] for entry in unmerged.split("\0") if entry})
        raise CommitRefused(
            f"{', '.join(names)}: there are conflicts. {NOTHING_DONE} Resolve them, then `git add` these files."
        )


async def check(paths: Sequence[Path], environment: Mapping[str, str]) -> None:
    """Raises CommitRefused for what forbids a commit of these files, as long as nobody has touched them for it."""
    directory = next(each for each in paths[0].parents if each.is_dir())  # a new notebook's is made when it is saved
    repository = await find(directory, environment)
    there = _names(repository, [path for path in paths if path.exists()])
    await refuse_unfinished(repository, tuple(there))


async def refuse_nobody(git: Git) -> None:
    """Raises CommitRefused if the user has not told git who he is; git would make up a name."""
    for role in ("AUTHOR", "COMMITTER"):
        done = await git.run("-c", "user.useConfigOnly=true", "var", f"GIT_{role}_IDENT")
        if done.code:
            raise CommitRefused(
                f"git does not know who commits. {NOTHING_DONE} Tell it: git config --global user.name 'NAME' and "
                "git config --global user.email 'ADDRESS'."
            )


async def check_branch_name(git: Git, branch: str) -> None:
    """Raises CommitRefused if no branch can be called so."""
    # git would make a branch refs/heads/refs/heads/main, or @, which is another name of HEAD.
    valid = not branch.startswith(("-", "refs/")) and branch not in ("HEAD", "@") and branch.isprintable()
    if not valid or (await git.run("check-ref-format", f"refs/heads/{branch}")).code:
        raise CommitRefused(f"{branch!r} cannot be the name of a branch. {NOTHING_DONE} Name another.")


def _names(repository: Repository, paths: Sequence[Path]) -> dict[str, Path]:
    top = _real(repository.top)
    found = {}
    for path in paths:
        real = _real(path)
        if not real.is_file():
            raise CommitRefused(f"{path} is not there. {NOTHING_DONE} Save the notebook first.")
        if not real.is_relative_to(top):
            raise CommitRefused(f"{path} is outside of the repository {top}. {NOTHING_DONE}")
        found[real.relative_to(top).as_posix()] = real
    return found


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


async def _refuse_others(repository: Repository, directories: Iterable[Path]) -> None:
    """Raises CommitRefused for those of a repository inside of this one, such as a submodule."""
    for directory in directories:
        inner = await find(directory, repository.git.environment)
        if inner.top != repository.top:
            raise CommitRefused(f"{directory} is in another repository, {inner.top}. {NOTHING_DONE}")


async def names_in(repository: Repository, paths: Sequence[Path]) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The files by their names in the repository, and those that git is told to ignore.

    Raises:
        CommitRefused: a file is not there, or in another repository.
    """
    found = _names(repository, paths)
    await _refuse_others(repository, {path.parent for path in found.values()} - {_real(paths[0].parent)})
    asked = "".join(f"./{name}\0" for name in found).encode(errors="surrogateescape")  # a colon first would be magic
    done = await repository.git.run("check-ignore", "-z", "--stdin", stdin=asked)
    if done.code not in (0, 1):
        raise GitFailed(f"git cannot say what it ignores: {done.words} {NOTHING_DONE}")
    ignored = tuple(name.removeprefix("./") for name in done.stdout.split("\0") if name)
    if len(ignored) == len(found):
        raise CommitRefused(
            f"git ignores {', '.join(ignored)}. {NOTHING_DONE} Change .gitignore (git check-ignore -v shows the line), "
            "or `git add -f` the file once."
        )
    return {name: path for name, path in found.items() if name not in ignored}, ignored
