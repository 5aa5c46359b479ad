"""GitHub, also Enterprise Server: https://docs.github.com/en/rest, version 2022-11-28."""

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from mcp_notebook.forges.answers import comment, home, pull_request, text
from mcp_notebook.forges.api import PAGE_SIZE, Answer, Api, part
from mcp_notebook.forges.base import Check, Checks, Comment, Draft, Home, Opened, PullRequest, State, Verdict, together
from mcp_notebook.forges.remotes import Remote

_VERSION = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_CONCLUSIONS: Mapping[str, State] = {"success": "success", "neutral": "success", "skipped": "success"}
"""Of a check run that is completed; all others are failures."""
_STATES: Mapping[str, State] = {"success": "success", "pending": "pending"}
_VERDICTS: Mapping[str, Verdict] = {
    "APPROVED": "approved",
    "CHANGES_REQUESTED": "changes requested",
    "COMMENTED": "commented",
}


class GitHub:
    """A repository on GitHub."""

    kind = "github"

    def __init__(self, api: Api, remote: Remote) -> None:
        self._api = replace(api, headers={**api.headers, **_VERSION})
        self._owner = remote.owner
        self._repository = f"/repos/{part(remote.owner)}/{part(remote.name)}"

    async def home(self) -> Home:
        """The repository's page and its default branch."""
        return home(await self._api.get(self._repository))

    def page(self, home: Home, commit: str, path: str) -> str:
        """The URL at which the forge shows a file of a commit."""
        return f"{home.url}/blob/{commit}/{quote(os.fsencode(path))}"

    async def open(self, draft: Draft) -> Opened:
        """Made unless it is there: so two who open it at once get the same one."""
        draft.check()
        wanted = {"head": draft.head, "base": draft.base, "title": draft.title, "body": draft.body}
        answer = await self._api.ask("POST", f"{self._repository}/pulls", body=wanted)
        if answer.status == 422 and "already exists" in answer.words:
            found = await self.find(draft.head, draft.base)
            if found is not None:
                return Opened(found, is_new=False)
        return Opened(pull_request(self._api.good(_explained(answer))), is_new=True)

    async def find(self, head: str, base: str) -> PullRequest | None:
        """The open pull request between these branches."""
        whole = head if ":" in head else f"{self._owner}:{head}"
        found = await self._api.get(f"{self._repository}/pulls", state="open", head=whole, base=base)
        wanted = (head.rpartition(":")[2], base)
        listed = [pull_request(each) for each in found] if isinstance(found, list) else []
        return next((each for each in listed if (each.head, each.base) == wanted), None)

    async def comments(self, number: int) -> tuple[Comment, ...]:
        """Conversation, reviews, and what they say of lines."""
        said = await self._api.pages(f"{self._repository}/issues/{number}/comments", per_page=PAGE_SIZE)
        found = [comment(each) for each in said]
        for review in await self._api.pages(f"{self._repository}/pulls/{number}/reviews", per_page=PAGE_SIZE):
            verdict = _VERDICTS.get(text(review, "state"))
            if verdict is not None and (text(review, "body") or verdict != "commented"):
                found.append(comment(review, when="submitted_at", verdict=verdict))
        lines = await self._api.pages(f"{self._repository}/pulls/{number}/comments", per_page=PAGE_SIZE)
        found += [comment(each, lines=("line", "original_line")) for each in lines]
        return tuple(sorted(found, key=lambda each: each.created_at))

    async def checks(self, commit: str) -> Checks:
        """Check runs (GitHub Actions and other apps) and statuses (all else)."""
        path = f"{self._repository}/commits/{part(commit)}"
        runs = await self._api.pages(f"{path}/check-runs", "check_runs", per_page=PAGE_SIZE)
        statuses = await self._api.pages(f"{path}/status", "statuses", per_page=PAGE_SIZE)
        return together((*map(_of_run, runs), *map(_of_status, statuses)))


def _explained(answer: Answer) -> Answer:
    """GitHub says of a branch that is not there only that the field is invalid."""
    fields = _invalid_fields(answer.body) if answer.status == 422 else []
    if not fields:
        return answer
    message = f"There is no such branch: {' and '.join(fields)}. Push it first, or name another."
    return replace(answer, body={"message": message})


def _invalid_fields(body: Any) -> list[str]:
    errors = body.get("errors") if isinstance(body, dict) else None
    found = [each for each in errors if isinstance(each, dict)] if isinstance(errors, list) else []
    return [text(each, "field") for each in found if each.get("code") == "invalid" and each.get("field") in _BRANCHES]


_BRANCHES = ("head", "base")


def _of_run(found: Mapping[str, Any]) -> Check:
    state: State = "pending"
    if found.get("status") == "completed":
        state = _CONCLUSIONS.get(text(found, "conclusion"), "failure")
    output = found.get("output")
    said = text(output, "title") if isinstance(output, dict) else ""
    return Check(text(found, "name"), state, text(found, "html_url"), said)


def _of_status(found: Mapping[str, Any]) -> Check:
    state = _STATES.get(text(found, "state"), "failure")
    return Check(text(found, "context"), state, text(found, "target_url"), text(found, "description"))
