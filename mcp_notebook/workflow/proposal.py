"""A branch with notebooks is proposed: its pull request is opened, or found, and what was said of it is read.

Nothing here changes the user's branches, index or files. What ran is looked up in executed copies; those are put onto a
branch of their own at the remote, to which the text has links.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio.to_thread

from mcp_notebook.errors import CommitRefused, ForgeFailed, GitFailed
from mcp_notebook.forges import Draft, Forge, Home, Opened, find_forge
from mcp_notebook.forges.remotes import parse
from mcp_notebook.terminal import plain
from mcp_notebook.workflow import executed, pushing, remote_branches, reports
from mcp_notebook.workflow.cell_diff import cell_diff
from mcp_notebook.workflow.description import MOST_TEXT_CHARS, Change, describe
from mcp_notebook.workflow.proposed import ProposedNotebook, proposed_notebooks
from mcp_notebook.workflow.repository import Repository, check_branch_name, find
from mcp_notebook.workflow.review import checks_text, comments_text
from mcp_notebook.workflow.screening import FindSecrets, secrets_in

NOTHING_SENT = "No pull request was opened."


@dataclass(frozen=True)
class Proposal:
    """What is to be proposed."""

    branch: str
    title: str
    description: str
    base: str | None = None
    """None: the forge's default branch."""


@dataclass(frozen=True)
class Means:
    """What it is done with; ``environment`` is that of the session's client."""

    workspace: Path
    """In whose ``executions`` the copies are."""
    environment: Mapping[str, str] = field(repr=False)
    find_secrets: FindSecrets
    mask: Callable[[str], str]
    """Of a text the same without secrets."""
    forges: Sequence[str] = ()
    forge_tokens: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True)
class Proposed:
    """What came of it."""

    opened: Opened
    notebooks: tuple[str, ...]
    ci: str
    comments: str
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """All of it, for whoever asked."""
        found = self.opened.pull_request
        did = "Opened" if self.opened.is_new else "It is there already, and its text is left as it is:"
        first = f"{did} pull request #{found.number}, {found.head} -> {found.base}: {found.url}"
        about = f"Notebooks: {', '.join(self.notebooks)}." if self.notebooks else "No notebook differs from the base."
        return _sound(plain("\n".join((first, about, *self.notes, self.ci, self.comments))))


async def propose(wanted: Proposal, directory: Path, means: Means) -> Proposed:
    """Open or find the pull request of ``wanted.branch``, in the repository around ``directory``.

    Raises:
        ForgeFailed: the forge does not do it, or what is to be sent has a secret in it; nothing was opened.
        GitFailed: there is no such repository, remote or branch at it.
    """
    _refuse_secrets(wanted, means.find_secrets)
    if len(wanted.description) > MOST_TEXT_CHARS:
        raise ForgeFailed(
            f"The description has {len(wanted.description)} characters; {MOST_TEXT_CHARS} is the most. {NOTHING_SENT} "
            "Shorten it."
        )
    repository = await find(directory, means.environment, NOTHING_SENT)
    await _check_branches(repository, wanted)
    remote = await pushing.remote_for(repository, wanted.branch, None)
    if remote is None:
        raise GitFailed(f"The repository has no remote. {NOTHING_SENT} Add one: git remote add origin URL.")
    url = await repository.git.text("remote", "get-url", "--push", remote)
    async with find_forge(
        parse(url),
        repository.git,
        environment=means.environment,
        forges=means.forges,
        forge_tokens=means.forge_tokens,
    ) as forge:
        home = await forge.home()
        wanted = replace(wanted, base=wanted.base or home.default_branch)
        draft = Draft(wanted.branch, str(wanted.base), _sound(wanted.title))
        draft.check()  # before anything is published for it
        body, notebooks, notes = await _Draft(wanted, means, repository, remote, forge, home).body()
        opened = await forge.open(replace(draft, body=body))
        return Proposed(opened, notebooks, *await _said(forge, opened), notes)


@dataclass(frozen=True)
class _Draft:
    """A pull request while it is written."""

    wanted: Proposal
    means: Means
    repository: Repository
    remote: str
    forge: Forge
    home: Home

    async def body(self) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        """The text, the notebooks that it is about, and what the author must know."""
        base, head = await self._tips()
        begin = await remote_branches.parting(self.repository, base, head)
        notebooks, has_more = await proposed_notebooks(self.repository, begin, head)
        copies = await anyio.to_thread.run_sync(self._copies, notebooks)
        urls, notes = await self._published(copies)
        changes = await anyio.to_thread.run_sync(_changes, notebooks, copies, urls)
        told = ("There are more notebooks than are shown here.",) if has_more else ()
        body = _sound(self.means.mask(describe(self.wanted.description, changes, told)))
        names = tuple(each.name for each in notebooks)
        return body, names, (*told, *notes, *_not_executed(notebooks, copies), *await self._unsent(head))

    async def _tips(self) -> tuple[str, str]:
        """The commits of the base and of the branch, as the remote has them."""
        names = (str(self.wanted.base), self.wanted.branch)
        found = await remote_branches.tips(self.repository, self.remote, names)
        for name in names:
            if name not in found:
                what = (
                    "notebook_commit with this branch pushes it" if name == self.wanted.branch else "name another base"
                )
                raise GitFailed(f"{self.remote} has no branch {name}. {NOTHING_SENT} Push it (git push), or {what}.")
            await remote_branches.bring(self.repository, self.remote, name, found[name])
        return found[names[0]], found[names[1]]

    def _copies(self, notebooks: Sequence[ProposedNotebook]) -> dict[str, executed.ExecutedCopy]:
        after = {each.name: each.after for each in notebooks if each.after is not None}
        found = {name: executed.latest_copy(self.means.workspace, name, after[name]) for name in after}
        return {name: copy for name, copy in found.items() if copy is not None}

    async def _published(self, copies: Mapping[str, executed.ExecutedCopy]) -> tuple[dict[str, str], tuple[str, ...]]:
        """URLs of the copies by notebook; a note if they have none."""
        files = {name: f"{executed.EXECUTIONS}/{copy.path.name}" for name, copy in copies.items()}
        sent: dict[str, bytes] = {}
        notes = []
        for name, copy in copies.items():
            places = await anyio.to_thread.run_sync(secrets_in, {files[name]: copy.data}, self.means.find_secrets)
            if places:
                notes.append(f"An executed copy is not published: there is a secret in {places[0]}.")
            else:
                sent[files[name]] = copy.data
        if not sent:
            return {}, tuple(notes)
        try:
            commit = await reports.publish(self.repository, self.remote, self.wanted.branch, sent)
        except GitFailed as exc:
            return {}, (*notes, f"The executed copies are not at {self.remote}: {exc}")
        branch = reports.reports_of(self.wanted.branch)
        notes.append(f"Executed copies are on {self.remote} in {branch}: {', '.join(sent)}.")
        links = {name: self.forge.page(self.home, commit, path) for name, path in files.items() if path in sent}
        return links, tuple(notes)

    async def _unsent(self, head: str) -> tuple[str, ...]:
        """Whether the branch has commits here that the remote has not."""
        here = f"refs/heads/{self.wanted.branch}"
        count = await self.repository.git.maybe("rev-list", "--count", here, f"^{head}")
        if count in (None, "0"):
            return ()
        return (f"{self.wanted.branch} has {count} commits here that {self.remote} has not: push them.",)


def _changes(
    notebooks: Sequence[ProposedNotebook], copies: Mapping[str, executed.ExecutedCopy], urls: Mapping[str, str]
) -> list[Change]:
    changes = []
    for each in notebooks:
        run = None
        if (copy := copies.get(each.name)) is not None:
            run = replace(copy.run, executed=((copy.path.name, urls.get(each.name, "not published")),))
        changes.append(Change(each.name, cell_diff(each.before, each.after), run))
    return changes


def _not_executed(
    notebooks: Sequence[ProposedNotebook], copies: Mapping[str, executed.ExecutedCopy]
) -> tuple[str, ...]:
    names = [each.name for each in notebooks if each.after is not None and each.name not in copies]
    if not names:
        return ()
    return (f"No executed copy has the cells of {', '.join(names)} as they are proposed: notebook_execute makes one.",)


async def _said(forge: Forge, opened: Opened) -> tuple[str, str]:
    """What CI and people say; that it cannot be read is no reason to hide that the pull request is there."""
    try:
        ci = checks_text(await forge.checks(opened.pull_request.commit))
    except ForgeFailed as exc:
        ci = f"What CI says could not be read: {exc}"
    try:
        return ci, comments_text(await forge.comments(opened.pull_request.number))
    except ForgeFailed as exc:
        return ci, f"The comments could not be read: {exc}"


def _sound(text: str) -> str:
    """What can be sent: names of files may be no UTF-8."""
    return text.encode(errors="replace").decode()


def _refuse_secrets(wanted: Proposal, find_secrets: FindSecrets) -> None:
    places = [
        f"the {what} ({label})"
        for what, text in (("title", wanted.title), ("description", wanted.description), ("branch", wanted.branch))
        for _, _, label in find_secrets(text)
    ]
    if places:
        raise ForgeFailed(f"There would be a secret in {', '.join(dict.fromkeys(places))}. {NOTHING_SENT} Take it out.")


async def _check_branches(repository: Repository, wanted: Proposal) -> None:
    for name in (wanted.branch, wanted.base):
        if name is None:
            continue
        try:
            await check_branch_name(repository.git, name)
        except CommitRefused:
            raise ForgeFailed(f"{name!r} cannot be the name of a branch. {NOTHING_SENT} Name another.") from None
