"""Gitea's and Forgejo's API for pull requests, held to both published specifications.

It proves that what is sent and what is understood conform to the published API, and no more: it is neither Gitea nor
Forgejo. ``flavour`` decides what the two name differently, such as the field ``do`` or ``Do`` of a merge; whatever they
have in common is checked against both. (Forgejo documents no 403.)
"""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs, unquote

from tests.standins.contract import Contract
from tests.standins.forge import PEOPLE, Project, Pull, Said, Status
from tests.standins.git_server import Asked, Given, Server

BASE = "/api/v1"
VERSIONS = {"gitea": "1.27.1", "forgejo": "16.0.1+gitea-1.22.0"}
Json = dict[str, Any]


@dataclass
class GiteaStandIn:
    """The API of one server's projects."""

    server: Server
    flavour: Literal["gitea", "forgejo"]
    projects: dict[str, Project] = field(default_factory=dict)
    contracts: tuple[Contract, ...] = field(default_factory=lambda: (Contract("gitea"), Contract("forgejo")))

    def project(self, name: str) -> Project:
        """A new repository of ada's."""
        made = Project(self.server.bare(f"ada/{name}"))
        self.projects[f"ada/{name}"] = made
        return made

    @property
    def violations(self) -> list[str]:
        """Of what both specifications say, and of the own one where they differ."""
        return [fault for contract in self.contracts for fault in contract.violations]

    def __call__(self, asked: Asked) -> Given:
        """Answer one request."""
        given = self._answered(asked)
        theirs_alone = asked.path.endswith("/merge") or given.status == 403
        for contract in self.contracts:
            if contract.name == self.flavour or not theirs_alone:
                contract.check(BASE, asked, given)
        return given

    def _answered(self, asked: Asked) -> Given:
        path = asked.path.removeprefix(BASE)
        if path == "/version":
            return _json(200, {"version": VERSIONS[self.flavour]})
        person = PEOPLE.get(_token(asked.headers.get("authorization", "")))
        if person is None:
            return _refused(401, "user does not exist [uid: 0, name: ]")
        match path.split("/")[1:]:
            case ["repos", owner, name, *rest]:
                project = self.projects.get(f"{unquote(owner)}/{unquote(name)}")
                if project is None:
                    return _refused(404, "The target couldn't be found.")
                with project.lock:
                    return Answers(self, project, person, asked).give([unquote(each) for each in rest])
        return _refused(404, "Not found")


@dataclass
class Answers:
    """To one request of one person, about one project."""

    standin: GiteaStandIn
    project: Project
    person: str
    asked: Asked

    def give(self, rest: list[str]) -> Given:
        """By method and path."""
        project, get = self.project, self.asked.method == "GET"
        match rest:
            case []:
                return _json(200, self.repository())
            case ["pulls"]:
                return self.listed() if get else self.opened()
            case ["pulls", number]:
                return self.with_pull(number, lambda pull: _json(200, self.pull(pull)))
            case ["pulls", number, "merge"]:
                return self.with_pull(number, self.merged)
            case ["pulls", number, "reviews"]:
                return self.with_pull(number, self.reviews if get else self.reviewed)
            case ["pulls", number, "reviews", review, "comments"]:
                return self.with_pull(number, lambda pull: self.lines(pull, review))
            case ["pulls", base, head]:
                found = project.between(head.rpartition(":")[2], base)
                return _json(200, self.pull(found)) if found else _refused(404, "pull request does not exist")
            case ["issues", number, "comments"]:
                return self.with_pull(number, self.comments if get else self.commented)
            case ["commits", ref, "status"]:
                return self.statuses(ref)
            case ["statuses", commit]:
                return self.status_set(commit)
        return _refused(404, "Not found")

    def with_pull(self, number: str, answer: Callable[[Pull], Given]) -> Given:
        """The answer about a pull request, if there is one of that number."""
        pull = self.project.pull(number)
        return answer(pull) if pull is not None else _refused(404, "issue does not exist")

    def opened(self) -> Given:
        """A new pull request."""
        wanted, project = json.loads(self.asked.body), self.project
        head = wanted["head"].rpartition(":")[2]
        if self.person == "eve":
            return _refused(404 if self.standin.flavour == "forgejo" else 403, "no permission")
        if project.is_archived:
            return _refused(423, f"ada/{project.name} is archived")
        if not all(project.commit(f"refs/heads/{branch}") for branch in (head, wanted["base"])):
            return _refused(404, "The target couldn't be found.")
        found = project.between(head, wanted["base"])
        if found is not None and found.state == "open":
            return _refused(409, f"pull request already exists for these targets [id: {found.number}]")
        made = project.open(wanted["title"], wanted.get("body", ""), head, wanted["base"], self.person)
        return _json(201, self.pull(made))

    def listed(self) -> Given:
        """Page by page."""
        query = parse_qs(self.asked.query)
        state = query.get("state", ["open"])[0]
        found = [pull for pull in reversed(self.project.pulls) if state in ("all", pull.state)]
        page, limit = int(query.get("page", ["1"])[0]), int(query.get("limit", ["30"])[0])
        shown = found[(page - 1) * limit : page * limit]
        return _json(200, [self.pull(pull) for pull in shown], **{"X-Total-Count": str(len(found))})

    def merged(self, pull: Pull) -> Given:
        """By whoever reviews it."""
        wanted = json.loads(self.asked.body)
        assert wanted["Do" if self.standin.flavour == "forgejo" else "do"] == "merge"
        return Given(200, {}) if self.project.merge(pull) else _refused(409, "conflict")

    def commented(self, pull: Pull) -> Given:
        """A word in the conversation."""
        number, when = self.project.next()
        pull.comments.append(Said(number, self.person, json.loads(self.asked.body)["body"], when))
        return _json(201, self.comment(pull.comments[-1]))

    def comments(self, pull: Pull) -> Given:
        """The conversation."""
        return _json(200, [self.comment(said) for said in pull.comments])

    def reviewed(self, pull: Pull) -> Given:
        """A review, with what it says of lines."""
        wanted = json.loads(self.asked.body)
        number, when = self.project.next()
        review = Said(number, self.person, wanted.get("body", ""), when, wanted.get("event", "COMMENT"))
        for each in wanted.get("comments", []):
            of_line, at = self.project.next()
            said = Said(of_line, self.person, each["body"], at, path=each["path"], line=each["new_position"])
            review.lines.append(said)
        pull.reviews.append(review)
        return _json(200, self.review(review))

    def reviews(self, pull: Pull) -> Given:
        """All reviews."""
        count = {"X-Total-Count": str(len(pull.reviews))}
        return _json(200, [self.review(said) for said in pull.reviews], **count)

    def lines(self, pull: Pull, review: str) -> Given:
        """What one review says of lines."""
        found = next((said for said in pull.reviews if str(said.number) == review), None)
        if found is None:
            return _refused(404, "review does not exist")
        return _json(200, [self.line(said, found, pull) for said in found.lines])

    def status_set(self, commit: str) -> Given:
        """By a program."""
        wanted = json.loads(self.asked.body)
        number, when = self.project.next()
        status = Status(number, commit, wanted["context"], wanted["state"], wanted.get("description", ""), "", when)
        self.project.statuses = [s for s in self.project.statuses if (s.commit, s.context) != (commit, status.context)]
        self.project.statuses.append(status)
        return _json(201, _status(status))

    def statuses(self, ref: str) -> Given:
        """The latest of each context."""
        found = [status for status in self.project.statuses if status.commit == self.project.commit(ref)]
        combined = {"sha": self.project.commit(ref) or "", "total_count": len(found), "state": "pending"}
        return _json(200, {**combined, "statuses": [_status(each) for each in found] or None})

    def repository(self) -> Json:
        """As the specification calls it."""
        name = self.project.name
        return {
            "id": 1,
            "name": name,
            "full_name": f"ada/{name}",
            "owner": _user("ada"),
            "default_branch": "main",
            "archived": self.project.is_archived,
            "html_url": f"{self.standin.server.url}/ada/{name}",
            "parent": None,
            "mirror": False,
        }

    def pull(self, pull: Pull) -> Json:
        """As the specification calls it, nulls and all."""
        url = f"{self.standin.server.url}/ada/{self.project.name}/pulls/{pull.number}"
        return {
            "id": 100 + pull.number,
            "number": pull.number,
            "url": url,
            "html_url": url,
            "title": pull.title,
            "body": pull.body,
            "state": pull.state,
            "user": _user(pull.author),
            "labels": [],
            "milestone": None,
            "assignee": None,
            "assignees": None,
            "merged": pull.merge_commit is not None,
            "merged_at": None,
            "merge_commit_sha": pull.merge_commit,
            "mergeable": pull.state == "open",
            "head": self.branch(pull.head, self.project.head(pull)),
            "base": self.branch(pull.base, self.project.commit(f"refs/heads/{pull.base}") or ""),
            "comments": len(pull.comments),
            "created_at": "2026-01-01T00:00:00Z",
        }

    def branch(self, name: str, commit: str) -> Json:
        """Of a pull request."""
        return {"label": name, "ref": name, "sha": commit, "repo_id": 1, "repo": self.repository()}

    def comment(self, said: Said) -> Json:
        """Of the conversation."""
        url = f"{self.standin.server.url}/ada/{self.project.name}/issues/1#issuecomment-{said.number}"
        return {
            "id": said.number,
            "body": said.body,
            "user": _user(said.author),
            "created_at": said.when,
            "html_url": url,
        }

    def review(self, said: Said) -> Json:
        """A review."""
        return {
            "id": said.number,
            "body": said.body,
            "user": _user(said.author),
            "state": said.verdict,
            "submitted_at": said.when,
            "comments_count": len(said.lines),
            "html_url": f"{self.standin.server.url}/review/{said.number}",
            "team": None,
        }

    def line(self, said: Said, review: Said, pull: Pull) -> Json:
        """Of a review."""
        return {
            "id": said.number,
            "body": said.body,
            "user": _user(said.author),
            "path": said.path,
            "position": said.line,
            "original_position": 0,
            "pull_request_review_id": review.number,
            "commit_id": self.project.head(pull),
            "created_at": said.when,
            "html_url": f"{self.standin.server.url}/line/{said.number}",
            "resolver": None,
        }


def _token(header: str) -> str:
    """As a token, or as the password of basic authentication."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() == "basic":
        return base64.b64decode(given).decode().partition(":")[2]
    return given if scheme == "token" else ""


def _status(status: Any) -> Json:
    return {
        "id": status.number,
        "context": status.context,
        "status": status.state,
        "description": status.description,
        "target_url": status.url,
        "created_at": status.when,
    }


def _user(login: str) -> Json:
    return {"id": 1 + list(PEOPLE.values()).index(login), "login": login, "email": f"{login}@example.org"}


def _json(status: int, value: Any, **headers: str) -> Given:
    return Given(status, {"Content-Type": "application/json", **headers}, json.dumps(value).encode())


def _refused(status: int, message: str) -> Given:
    return _json(status, {"message": message, "url": "https://docs.example.org/api"})
