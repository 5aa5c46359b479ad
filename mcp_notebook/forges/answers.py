"""What Gitea, Forgejo and GitHub say alike: pull requests and comments in their JSON. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges.base import Comment, Home, PullRequest, Verdict


def pull_request(found: Any) -> PullRequest:
    """Raises ForgeFailed: the JSON is no pull request."""
    try:
        return PullRequest(
            number=int(found["number"]),
            url=str(found["html_url"]),
            title=str(found["title"]),
            state=str(found["state"]),
            is_merged=bool(found.get("merged") or found.get("merged_at")),
            head=str(found["head"]["ref"]),
            base=str(found["base"]["ref"]),
            commit=str(found["head"]["sha"]),
        )
    except (LookupError, TypeError, ValueError, AttributeError):
        raise ForgeFailed("The forge's answer is no pull request: look at it in its web interface.") from None


def home(found: Any) -> Home:
    """Raises ForgeFailed: the JSON is no repository."""
    made = Home(text(found, "html_url"), text(found, "default_branch"))
    if not made.url or not made.default_branch:
        raise ForgeFailed("The forge's answer is no repository: look at it in its web interface.")
    return made


def owner_of_head(found: Any) -> str:
    """Of a pull request's JSON, in lower case; empty if the fork was deleted."""
    try:
        return str(found["head"]["repo"]["owner"]["login"]).lower()
    except (LookupError, TypeError):
        return ""


def comment(
    found: Mapping[str, Any], *, when: str = "created_at", verdict: Verdict | None = None, lines: Sequence[str] = ()
) -> Comment:
    """A comment's JSON; ``lines`` are the names of the fields that may have its line."""
    user = found.get("user")
    numbers = (found.get(name) for name in lines)
    return Comment(
        author=text(user, "login") if isinstance(user, dict) else "",
        body=text(found, "body"),
        created_at=text(found, when),
        url=text(found, "html_url"),
        verdict=verdict,
        path=text(found, "path") or None,
        line=next((number for number in numbers if isinstance(number, int) and number > 0), None),
    )


def text(found: Mapping[str, Any], name: str) -> str:
    """The text of that name; empty if there is none."""
    value = found.get(name) if isinstance(found, Mapping) else None
    return value if isinstance(value, str) else ""
