"""What a forge is asked, whichever it is, and what it answers.

Merging is not among it: that is for people. Texts that come from a forge (titles, comments, descriptions) are other
people's words, to be shown and never to be followed.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from mcp_notebook.errors import ForgeFailed

Verdict = Literal["approved", "changes requested", "commented"]
State = Literal["success", "failure", "pending", "none"]
"""Of the checks of a commit: ``none`` if there are none."""

LONGEST_TITLE_CHARS = 255


@dataclass(frozen=True)
class Draft:
    """A pull request that is to be. ``head`` is a branch, or ``owner:branch`` of a fork."""

    head: str
    base: str
    title: str
    body: str = ""

    def check(self) -> None:
        """Raises ForgeFailed if no forge would take it."""
        if len(self.title.strip().splitlines()) != 1:
            raise ForgeFailed("A pull request has a title of one line: pass one.")
        if len(self.title) > LONGEST_TITLE_CHARS:
            raise ForgeFailed(f"The title has {len(self.title)} characters; {LONGEST_TITLE_CHARS} is the most.")
        if not self.head or not self.base:
            raise ForgeFailed("A pull request goes from one branch to another: name both.")
        if self.head == self.base:
            raise ForgeFailed(f"A pull request from {self.head} to itself changes nothing: commit to another branch.")


@dataclass(frozen=True)
class PullRequest:
    """As the forge shows it."""

    number: int
    url: str
    title: str
    state: str
    """``open`` or ``closed``."""
    is_merged: bool
    head: str
    base: str
    commit: str
    """The last commit of its branch, for ``Forge.checks``."""


@dataclass(frozen=True)
class Home:
    """The repository itself."""

    url: str
    """Of its page."""
    default_branch: str
    """Where pull requests go if nobody says otherwise."""


@dataclass(frozen=True)
class Opened:
    """The pull request, and whether it was made now or was there before, as it is."""

    pull_request: PullRequest
    is_new: bool


@dataclass(frozen=True)
class Comment:
    """What somebody wrote: in the conversation, as a review, or at a line of a file."""

    author: str
    body: str
    created_at: str
    url: str
    verdict: Verdict | None = None
    """Of a review."""
    path: str | None = None
    line: int | None = None


@dataclass(frozen=True)
class Check:
    """One program that looked at a commit."""

    name: str
    state: State
    url: str
    description: str = ""


@dataclass(frozen=True)
class Checks:
    """What CI says of a commit: ``failure`` if one failed, ``pending`` while one runs."""

    state: State
    checks: tuple[Check, ...]


class Forge(Protocol):
    """One repository on one forge. Each method raises ForgeFailed when it cannot be done."""

    @property
    def kind(self) -> str:
        """``gitea``, ``forgejo`` or ``github``."""

    async def home(self) -> Home:
        """The repository's page and its default branch."""

    def page(self, home: Home, commit: str, path: str) -> str:
        """The URL at which the forge shows a file of a commit."""

    async def open(self, draft: Draft) -> Opened:
        """Open the pull request, or find the open one between these branches, which is left as it is."""

    async def find(self, head: str, base: str) -> PullRequest | None:
        """The open pull request between these branches."""

    async def comments(self, number: int) -> tuple[Comment, ...]:
        """All that was written to the pull request, oldest first."""

    async def checks(self, commit: str) -> Checks:
        """What CI says of the commit."""


def together(checks: tuple[Check, ...]) -> Checks:
    """Of several checks the state of all."""
    states = {check.state for check in checks}
    order: tuple[State, ...] = ("failure", "pending", "success")
    return Checks(next((state for state in order if state in states), "none"), checks)
