"""Gitea and Forgejo: one API, of which Forgejo's has grown apart in names that are not used here.

https://docs.gitea.com/api and https://forgejo.org/docs/latest/user/api-usage.
"""

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from mcp_notebook.forges.answers import comment, home, owner_of_head, pull_request, text
from mcp_notebook.forges.api import PAGE_SIZE, Api, part
from mcp_notebook.forges.base import Check, Checks, Comment, Draft, Home, Opened, PullRequest, State, Verdict, together
from mcp_notebook.forges.remotes import Remote

_STATES: Mapping[str, State] = {
    "success": "success",
    "warning": "success",
    "skipped": "success",
    "pending": "pending",
    "failure": "failure",
    "error": "failure",
}
_VERDICTS: Mapping[str, Verdict] = {
    "APPROVED": "approved",
    "REQUEST_CHANGES": "changes requested",
    "COMMENT": "commented",
}


class Gitea:
    """A repository on Gitea or Forgejo."""

    def __init__(self, api: Api, remote: Remote, kind: str = "gitea") -> None:
        self._api = api
        self._owner = remote.owner
        self._repository = f"/repos/{part(remote.owner)}/{part(remote.name)}"
        self.kind = kind

    async def home(self) -> Home:
        """The repository's page and its default branch."""
        return home(await self._api.get(self._repository))

    def page(self, home: Home, commit: str, path: str) -> str:
        """The URL at which the forge shows a file of a commit."""
        return f"{home.url}/src/commit/{commit}/{quote(os.fsencode(path))}"

    async def open(self, draft: Draft) -> Opened:
        """Made unless it is there: so two who open it at once get the same one."""
        draft.check()
        wanted = {"head": draft.head, "base": draft.base, "title": draft.title, "body": draft.body}
        answer = await self._api.ask("POST", f"{self._repository}/pulls", body=wanted)
        if answer.status == 409 and (found := await self.find(draft.head, draft.base)):
            return Opened(found, is_new=False)
        return Opened(pull_request(self._api.good(answer)), is_new=True)

    async def find(self, head: str, base: str) -> PullRequest | None:
        """The open pull request between these branches."""
        answer = await self._api.ask("GET", f"{self._repository}/pulls/{part(base)}/{part(head)}")
        if answer.status == 200 and (found := pull_request(answer.body)).state == "open":
            return found
        if answer.status not in (200, 404):
            raise self._api.refusal(answer)
        # The latest between the two may be closed, with an open one beside it.
        listed = await self._api.pages(f"{self._repository}/pulls", state="open", limit=PAGE_SIZE)
        owner, _, branch = head.rpartition(":")
        for each in listed:
            found = pull_request(each)
            if (found.head, found.base) == (branch, base) and owner_of_head(each) == (owner or self._owner).lower():
                return found
        return None

    async def comments(self, number: int) -> tuple[Comment, ...]:
        """Conversation, reviews, and what they say of lines."""
        found = [comment(each) for each in await self._list(f"{self._repository}/issues/{number}/comments")]
        reviews = f"{self._repository}/pulls/{number}/reviews"
        for review in await self._api.pages(reviews, limit=PAGE_SIZE):
            verdict = _VERDICTS.get(str(review.get("state")))
            if verdict is not None and (review.get("body") or verdict != "commented"):
                found.append(comment(review, when="submitted_at", verdict=verdict))
            if review.get("comments_count"):
                found += [
                    comment(each, lines=("position", "original_position"))
                    for each in await self._list(f"{reviews}/{review.get('id')}/comments")
                ]
        return tuple(sorted(found, key=lambda each: each.created_at))

    async def checks(self, commit: str) -> Checks:
        """The statuses that were set on the commit, the latest of each name."""
        path = f"{self._repository}/commits/{part(commit)}/status"
        statuses = await self._api.pages(path, "statuses", limit=PAGE_SIZE)
        return together(
            tuple(
                Check(
                    name=text(each, "context"),
                    state=_STATES.get(text(each, "status"), "pending"),
                    url=text(each, "target_url"),
                    description=text(each, "description"),
                )
                for each in statuses
            )
        )

    async def _list(self, path: str) -> list[Mapping[str, Any]]:
        """Of what comes whole."""
        found = await self._api.get(path)
        return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
