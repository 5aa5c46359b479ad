"""A notebook's files are committed as they belong into git, and their branch is pushed.

The files on disk keep their outputs, and the user's branch, index and other changes stay as they are. git itself makes
the commit, so its hooks, its signature and its settings hold. What cannot be done is refused before anything changed;
after the commit nothing is undone: the answer says what was not.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.to_thread

from mcp_notebook.errors import CommitRefused, GitFailed
from mcp_notebook.forges.git import in_one_line
from mcp_notebook.workflow import earlier, entries, places, pushing
from mcp_notebook.workflow.entries import Entries, Entry
from mcp_notebook.workflow.places import Place
from mcp_notebook.workflow.repository import (
    NOTHING_DONE,
    Repository,
    check_branch_name,
    find,
    names_in,
    refuse_nobody,
    refuse_unfinished,
)
from mcp_notebook.workflow.screening import FindSecrets, refuse_secrets
from mcp_notebook.workflow.stripping import stripped

HOOKS_S = 600.0


@dataclass(frozen=True)
class Wanted:
    """What is to be committed, where, and whether it is pushed."""

    paths: Sequence[Path]
    message: str
    branch: str | None = None
    """None: the one that is checked out. A new one begins at the remote's of that name, else at HEAD."""
    remote: str | None = None
    push: bool = True


@dataclass(frozen=True)
class Committed:
    """What was done, and what was not."""

    repository: Path
    branch: str
    commit: str | None
    """None if there was nothing to commit."""
    files: tuple[str, ...]
    """Names in the repository, of all that the commit changed: a hook may add some."""
    remote: str | None = None
    is_pushed: bool = False
    notes: tuple[str, ...] = field(default=())
    """Sentences: what was left out or failed, and what to do."""

    @property
    def summary(self) -> str:
        """All of it, for whoever asked."""
        if self.commit:
            first = f"Committed {', '.join(self.files)} to {self.branch} as {self.commit[:10]}."
        else:
            first = "Nothing to commit: the files are there as they are here."
        sent = (f"{self.branch} is pushed to {self.remote}.",) if self.is_pushed else ()
        return in_one_line(" ".join((first, *sent, *self.notes)))  # names may have anything in them


async def commit(wanted: Wanted, *, environment: Mapping[str, str], find_secrets: FindSecrets) -> Committed:
    """Commit and push; ``environment`` is that of the session's client.

    Raises:
        CommitRefused: nothing was committed, and all is as it was.
        GitFailed: git is not there, or failed at what it never should.
    """
    message = _message(wanted.message)
    if not wanted.paths:
        raise CommitRefused(f"No file is named. {NOTHING_DONE}")
    repository = await find(wanted.paths[0].parent, environment)
    names, ignored = await names_in(repository, wanted.paths)
    files = await anyio.to_thread.run_sync(_contents, names)
    said = {"the message": wanted.message, "the branch's name": wanted.branch or ""}
    await anyio.to_thread.run_sync(refuse_secrets, files, said, find_secrets)
    async with places.alone(repository):
        await refuse_unfinished(repository, tuple(names))
        await refuse_nobody(repository.git)
        branch, is_here = await _branch(repository, wanted.branch)
        asked = wanted.push or wanted.remote is not None
        remote = await pushing.remote_for(repository, branch, wanted.remote) if asked else None
        await places.clear(repository)
        work = _Work(repository, branch, remote, names, files, message)
        done = await (work.here() if is_here else work.elsewhere())
        notes = tuple(f"{name} was left out: git ignores it." for name in ignored)
        done = replace(done, notes=(*notes, *done.notes))
        try:
            return await _pushed(repository, done, remote, tuple(names)) if wanted.push else done
        except GitFailed as exc:
            return replace(done, remote=remote, notes=(*done.notes, f"It is not known to have been pushed: {exc}"))


@dataclass(frozen=True)
class _Work:
    """One commit while it is made."""

    repository: Repository
    branch: str
    remote: str | None
    names: Mapping[str, Path]
    files: Mapping[str, bytes]
    message: bytes

    async def here(self) -> Committed:
        """On the branch that is checked out: what is committed is staged as well, unless the user staged his own."""
        async with places.here(self.repository, self.branch) as place:
            wanted, before = await self._entries(place)
            if wanted == before:
                return self._nothing()
            real = self.repository.git
            staged = await entries.in_index(real, tuple(self.names))
            mine = {name: wanted[name] for name in wanted if entries.is_untouched(staged[name], before[name])}
            # First: whoever is killed now leaves files staged, and not an index that would take the commit back.
            try:
                await entries.put(real, mine)
            except GitFailed as exc:
                raise CommitRefused(f"{NOTHING_DONE} {exc}") from exc
            try:
                done = await self._commit(place, wanted)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await self._unstage(place, {name: staged[name] for name in mine})
                raise
            kept = [name for name in wanted if name not in mine and staged[name] != wanted[name]]
            return replace(done, notes=(*done.notes, *await self._after(place, done, mine), *map(_kept, kept)))

    async def _unstage(self, place: Place, staged: Entries) -> None:
        """Unless the commit was made: then an index without these files would be one that takes it back."""
        if await self.repository.commit_of("HEAD") != place.before:
            return
        try:
            await entries.put(self.repository.git, staged)
        except GitFailed as exc:
            raise CommitRefused(
                f"{NOTHING_DONE} {', '.join(staged)} stay staged: git reset takes them out. {exc}"
            ) from exc

    async def elsewhere(self) -> Committed:
        """On another branch: nothing that the user sees of his own changes."""
        head = await self.repository.commit_of("HEAD")
        if head is None:
            raise CommitRefused(f"There is no commit yet. {NOTHING_DONE} Leave branch out for the first one.")
        tracked = f"refs/remotes/{self.remote}/{self.branch}"
        track = self.remote is not None and await self.repository.commit_of(tracked) is not None
        is_new = await self.repository.commit_of(f"refs/heads/{self.branch}") is None
        begin = tracked if track else head
        async with places.elsewhere(self.repository, self.branch, begin=begin, track=track) as place:
            wanted, before = await self._entries(place)
            if wanted != before:
                await earlier.refuse_to_revert(self.repository, self.branch, wanted, before)
                await earlier.remember(self.repository, self.branch, wanted)
                done = await self._commit(place, wanted)
                with suppress(GitFailed):  # it is made
                    made = await entries.in_tree(self.repository.git, str(done.commit), tuple(self.names))
                    await earlier.remember(self.repository, self.branch, made)  # a hook may have changed them
                return done
        if is_new and not track:
            return await self._branched(head)
        return self._nothing()

    async def _branched(self, head: str) -> Committed:
        """A new branch for commits that are there already, such as those that a protected branch did not take."""
        done = self._nothing()
        unsent = self.remote and await self.repository.git.maybe(
            "rev-list", "--max-count=1", head, "--not", f"--remotes={self.remote}"
        )
        if not unsent:
            return replace(done, notes=(f"So the branch {self.branch} was not made.",))
        await self.repository.git.text("branch", "--no-track", self.branch, head)
        return replace(done, notes=(f"The branch {self.branch} was made at HEAD, which has commits to push.",))

    async def _entries(self, place: Place) -> tuple[Entries, Entries]:
        """What the files are to be in the commit, and what they are before it."""
        names = tuple(self.names)
        before = await entries.in_tree(place.git, place.before, names) if place.before else dict.fromkeys(names)
        wanted: Entries = {}
        for name, data in self.files.items():
            old = before[name]
            try:
                blob = await self.repository.git.text("hash-object", "-w", f"--path={name}", "--stdin", stdin=data)
            except GitFailed as exc:
                raise CommitRefused(f"git does not take {name} in. {NOTHING_DONE} {exc}") from exc
            mode = "100755" if os.access(self.names[name], os.X_OK) else "100644"
            wanted[name] = Entry(old.mode if old and old.is_file else mode, blob)
        return wanted, before

    async def _commit(self, place: Place, wanted: Entries) -> Committed:
        await entries.put(place.git, wanted)
        failure = ""
        try:
            how = ("--quiet", "--cleanup=whitespace", "--file=-")  # a line may begin with #, whatever the settings say
            ended = await place.git.run("commit", *how, stdin=self.message, timeout_s=HOOKS_S)
            failure = (ended.words or "its hook failed without a word.") if ended.code else ""
        except GitFailed as exc:
            failure = str(exc)
        commit = await place.git.maybe("rev-parse", "--verify", "--quiet", "HEAD")
        if commit is None or commit == place.before:
            raise CommitRefused(f"git, or a hook of it, refused the commit. {NOTHING_DONE} It says: {failure}")
        if failure and await entries.in_tree(place.git, commit, tuple(wanted)) != wanted:
            raise CommitRefused(f"Somebody else has committed meanwhile. {NOTHING_DONE} Try again. git says: {failure}")
        shown = ("diff-tree", "--no-commit-id", "--name-only", "-r", "-z", "--root", commit)
        changed = await place.git.maybe(*shown) or ""
        files = tuple(filter(None, changed.split("\0"))) or tuple(self.names)
        doubt = f"It may be the commit of somebody else, made meanwhile: see git log -1. git says: {failure}"
        return Committed(self.repository.top, self.branch, commit, files, notes=(doubt,) if failure else ())

    async def _after(self, place: Place, done: Committed, mine: Entries) -> tuple[str, ...]:
        """Where a hook has changed what was committed, the user's index follows it."""
        real = self.repository.git
        names = done.files
        behind: Entries = {}
        try:
            now, staged = await entries.in_tree(real, str(done.commit), names), await entries.in_index(real, names)
            before = await entries.in_tree(real, place.before, names) if place.before else dict.fromkeys(names)
            behind = {
                name: now[name]
                for name in names
                if staged[name] != now[name] and (name in mine or entries.is_untouched(staged[name], before[name]))
            }
            await entries.put(real, behind)
        except GitFailed as exc:
            if not behind:
                return (f"What a hook may have changed in it could not be looked at: {exc}",)
            return (f"{exc} Until then git shows {', '.join(behind)} as staged: git reset -- {' '.join(behind)}",)
        return ()

    def _nothing(self) -> Committed:
        return Committed(self.repository.top, self.branch, None, ())


async def _branch(repository: Repository, wanted: str | None) -> tuple[str, bool]:
    """The branch to commit to, and whether it is the one that is checked out."""
    current = await repository.branch()
    if wanted is not None and wanted != current:
        await check_branch_name(repository.git, wanted)
        return wanted, False
    if current is None:
        at = await repository.commit_of("HEAD") or ""
        raise CommitRefused(
            f"HEAD is detached (at {at[:10]}): a commit would belong to no branch. {NOTHING_DONE} Name a branch, or "
            "check one out: git switch NAME."
        )
    return current, True


async def _pushed(repository: Repository, done: Committed, remote: str | None, names: tuple[str, ...]) -> Committed:
    if await repository.commit_of(f"refs/heads/{done.branch}") is None:  # there was nothing to make it for
        return done
    if remote is None:
        advice = "Not pushed: the repository has no remote. Add one: git remote add origin URL. Then commit again."
        return replace(done, notes=(*done.notes, advice))
    problem = await pushing.push(repository, remote, done.branch, names)
    notes = done.notes if problem is None else (*done.notes, problem)
    return replace(done, remote=remote, is_pushed=problem is None, notes=notes)


def _contents(names: Mapping[str, Path]) -> dict[str, bytes]:
    try:
        return {name: stripped(path.read_bytes(), path) for name, path in names.items()}
    except OSError as exc:
        raise CommitRefused(f"{exc.filename} cannot be read ({exc.strerror}). {NOTHING_DONE}") from exc


def _message(text: str) -> bytes:
    try:
        message = text.strip().encode()
    except UnicodeEncodeError:
        message = b""
    if not message or b"\0" in message:
        raise CommitRefused(f"A commit needs a message that says what changed. {NOTHING_DONE}")
    return message + b"\n"


def _kept(name: str) -> str:
    return f"{name} has staged changes of yours, which stay staged."
