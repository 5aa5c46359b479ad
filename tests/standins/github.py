"""GitHub's API for pull requests, held to GitHub's published OpenAPI description.

Its answers are the description's own examples with our values in them, so that what GitHub always sends is there. It
proves conformance to the published API, and no more: it is not GitHub.
"""

import copy
import json
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote

from tests.standins.contract import SPECS, Contract
from tests.standins.forge import PEOPLE, Project, Pull, Said
from tests.standins.git_server import Asked, Given, Server

BASE = "/api/v3"
Json = dict[str, Any]


@dataclass
class GitHubStandIn:
    """The API of one server's projects, as an Enterprise Server has it."""

    server: Server
    projects: dict[str, Project] = field(default_factory=dict)
    contract: Contract = field(default_factory=lambda: Contract("github"))
    runs: list[Json] = field(default_factory=list)
    """Check runs: ``commit``, ``name``, ``status`` and ``conclusion``."""

    def project(self, name: str) -> Project:
        """A new repository of ada's."""
        made = Project(self.server.bare(f"ada/{name}"))
        self.projects[f"ada/{name}"] = made
        return made

    @property
    def violations(self) -> list[str]:
        """Of what the description says."""
        return self.contract.violations

    def __call__(self, asked: Asked) -> Given:
        """Answer one request."""
        path = asked.path.removeprefix(BASE)
        if path == "/meta":
            return _json(200, {"verifiable_password_authentication": False}, **{"X-GitHub-Request-Id": "1"})
        given = self._answered(asked, [unquote(each) for each in path.split("/")[1:]])
        self.contract.check(BASE, asked, given)
        return given

    def _answered(self, asked: Asked, path: list[str]) -> Given:
        person = PEOPLE.get(asked.headers.get("authorization", "").removeprefix("Bearer "))
        assert asked.headers["x-github-api-version"] == "2022-11-28"
        if person is None:
            return _json(401, {"message": "Bad credentials", "status": "401"})
        project = self.projects.get("/".join(path[1:3]))
        if project is None:
            return _json(404, {"message": "Not Found", "status": "404"})
        query = {name: values[0] for name, values in parse_qs(asked.query).items()}
        with project.lock:
            match path[3:]:
                case []:
                    return _json(200, _repository(f"{self.server.url}/ada/{project.name}"))
                case ["pulls"] if asked.method == "POST":
                    return self._opened(project, person, json.loads(asked.body))
                case ["pulls"]:
                    return self._listed(project, query)
                case ["pulls" | "issues" as kind, number, what]:
                    pull = project.pull(number)
                    assert pull is not None
                    return _page([self._said(each, kind, what, pull) for each in _of(pull, kind, what)], query, asked)
                case ["commits", ref, what]:
                    return self._checks(project, ref, what, query, asked)
        return _json(404, {"message": "Not Found", "status": "404"})

    def _opened(self, project: Project, person: str, wanted: Json) -> Given:
        branches = {"head": wanted["head"].rpartition(":")[2], "base": wanted["base"]}
        if person == "eve":
            return _json(403, {"message": "Resource not accessible by personal access token", "status": "403"})
        for name, branch in branches.items():
            if not project.commit(f"refs/heads/{branch}"):
                return _invalid({"resource": "PullRequest", "field": name, "code": "invalid"})
        found = project.between(**branches)
        if found is not None and found.state == "open":
            message = f"A pull request already exists for ada:{branches['head']}."
            return _invalid({"resource": "PullRequest", "code": "custom", "message": message})
        made = project.open(wanted["title"], wanted.get("body", ""), **branches, author=person)
        return _json(201, self._pull("pull_request", project, made))

    def _listed(self, project: Project, query: Json) -> Given:
        found = [
            self._pull("pull_request_in_a_list", project, pull)
            for pull in project.pulls
            if query.get("state", "open") in ("all", pull.state)
            and query.get("base", pull.base) == pull.base
            and query.get("head", f"ada:{pull.head}") == f"ada:{pull.head}"
        ]
        return _json(200, found)

    def _pull(self, example: str, project: Project, pull: Pull) -> Json:
        url = f"{self.server.url}/ada/{project.name}/pull/{pull.number}"
        about = {"number": pull.number, "html_url": url, "title": pull.title, "body": pull.body, "state": pull.state}
        made = _example(example, **about, requested_teams=[])  # the example is of an older description
        for side, branch in (("head", pull.head), ("base", pull.base)):
            made[side] |= {"ref": branch, "label": f"ada:{branch}", "sha": project.commit(f"refs/heads/{branch}")}
        merged = {"merged_at": None} if pull.merge_commit is None else {}
        return made | merged | ({"merged": pull.merge_commit is not None} if "merged" in made else {})

    def _said(self, said: Said, kind: str, what: str, pull: Pull) -> Json:
        made = _example(_EXAMPLES[kind, what], id=said.number, body=said.body)
        made["user"] = {**made["user"], "login": said.author}
        if what == "reviews":
            return made | {"state": said.verdict, "submitted_at": said.when, "commit_id": pull.last}
        lines = {"path": said.path, "line": said.line} if said.path else {}
        return made | lines | {"created_at": said.when}

    def _checks(self, project: Project, ref: str, what: str, query: Json, asked: Asked) -> Given:
        commit = project.commit(ref) or ""
        if what == "check-runs":
            runs = [
                _example("check_run") | {key: run[key] for key in ("name", "status", "conclusion")}
                for run in self.runs
                if run["commit"] == commit
            ]
            return _page(runs, query, asked, inside="check_runs")
        combined = _example("combined_status", sha=commit)
        statuses = [status for status in project.statuses if status.commit == commit]
        combined["statuses"] = [
            {**combined["statuses"][0], "context": each.context, "state": each.state, "description": each.description}
            for each in statuses
        ]
        return _json(200, combined | {"total_count": len(statuses)})


_EXAMPLES = {("issues", "comments"): "comment", ("pulls", "reviews"): "review", ("pulls", "comments"): "review_comment"}


def _of(pull: Pull, kind: str, what: str) -> list[Said]:
    if kind == "issues":
        return pull.comments
    return pull.reviews if what == "reviews" else [line for review in pull.reviews for line in review.lines]


def _repository(url: str) -> Json:
    """The example is of an older description: it lacks a language, and what it was forked from is not whole."""
    whole = _example("repository", default_branch="main", language="Python", html_url=url)
    return {key: value for key, value in whole.items() if key not in ("source", "parent", "template_repository")}


def _page(items: list[Json], query: Json, asked: Asked, *, inside: str | None = None) -> Given:
    page, size = int(query.get("page", "1")), int(query.get("per_page", "30"))
    shown = items[(page - 1) * size : page * size]
    links = {"Link": f'<http://localhost{asked.path}?page={page + 1}>; rel="next"'} if page * size < len(items) else {}
    return _json(200, {"total_count": len(items), inside: shown} if inside else shown, **links)


@cache
def _examples() -> Json:
    found: Json = json.loads((SPECS / "github-examples.json").read_text())
    return found


def _example(name: str, **values: Any) -> Json:
    made: Json = copy.deepcopy(_examples()[name])
    return made | values


def _invalid(error: Json) -> Given:
    return _json(422, {"message": "Validation Failed", "errors": [error], "documentation_url": "https://docs"})


def _json(status: int, value: Any, **headers: str) -> Given:
    return Given(status, {"Content-Type": "application/json; charset=utf-8", **headers}, json.dumps(value).encode())
