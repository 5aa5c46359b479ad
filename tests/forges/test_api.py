"""Every way in which a forge can fail is told in a sentence, and the token goes nowhere else."""

import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges import Draft, Forge, Git, find_forge
from mcp_notebook.forges.remotes import parse
from tests.repositories import user
from tests.standins.git_server import Asked, Given, Server, serving

pytestmark = pytest.mark.anyio

SECRET = "a-secret-token-0123456789"
DRAFT = Draft("work", "main", "A title")


@pytest.fixture
async def forge(server: Server, tmp_path: Path) -> AsyncIterator[Forge]:
    """One that answers what a test puts into ``server.rooms["/api"]``."""
    environment = user(tmp_path) | {"GITEA_TOKEN": SECRET}
    remote = parse(f"{server.url}/ada/project.git")
    forges = [f"{server.site}=gitea"]
    async with find_forge(remote, Git.of(tmp_path, environment), environment=environment, forges=forges) as forge:
        yield forge
    server.rooms.clear()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (Given(401, {}, b'{"message": "token is required"}'), r"refuses the token from GITEA_TOKEN.*token is required"),
        (Given(403, {}, b"{}"), "write:repository"),
        (Given(403, {"X-RateLimit-Remaining": "0", "Retry-After": "7"}, b"{}"), r"no more requests.*in 7 s"),
        (Given(429, {"Retry-After": "30"}), r"no more requests.*in 30 s"),
        (Given(429, {}), r"in 60 s"),
        (Given(429, {"Retry-After": "\xb2"}), r"in 60 s"),
        (Given(429, {"X-RateLimit-Reset": "9" * 5000}), r"in 60 s"),
        (Given(418, {}, b'{"message": "\\u001b[31mred\\u001b[0m \\u0007"}'), r"\(418\)\. It says: red$"),
        (Given(404, {}, b"not json"), "no such repository"),
        (Given(409, {}, b'{"message": "conflict"}'), r"already.*\(409\).*conflict"),
        (Given(413, {}), "quota"),
        (Given(422, {}, b'{"message": "Bad", "errors": ["title", {"message": "too long"}]}'), "Bad title too long"),
        (Given(422, {"message": "in a header"}), "in a header"),
        (Given(423, {}), "archive"),
        (Given(500, {}, b"<html>"), r"in trouble.*\(500\)"),
        (Given(418, {}), r"did not do it \(418\)"),
        (Given(200, {}, b"<html>a login page</html>"), "without JSON"),
        (Given(201, {}, b"[]"), "no pull request"),
        (Given(201, {}, b'{"number": 1}'), "no pull request"),
        (Given(201, {}, b"[" * 100_000), "without JSON"),
        (Given(200, {"Content-Encoding": "gzip"}, b"not gzip"), "cannot be read"),
        (Given(401, {}, f'{{"message": "no {SECRET}"}}'.encode()), r"no \[hidden\]"),
    ],
)
async def test_what_the_forge_refuses_is_told(server: Server, forge: Forge, given: Given, says: str) -> None:
    """With its own words, and without the token even if it repeats it."""
    server.rooms["/api"] = lambda asked: given
    with pytest.raises(ForgeFailed, match=says) as refused:
        await forge.open(DRAFT)
    assert SECRET not in str(refused.value)


async def test_an_answer_without_end_is_cut(server: Server, forge: Forge) -> None:
    """Before it fills the memory."""
    server.rooms["/api"] = lambda asked: Given(200, {}, b" " * 21_000_000)
    with pytest.raises(ForgeFailed, match="more than 20 MB"):
        await forge.home()


async def test_pages_without_end_are_cut(server: Server, forge: Forge) -> None:
    """A forge that always has another page."""
    server.rooms["/api"] = lambda asked: Given(200, {"Link": '<x>; rel="next"'}, b'{"statuses": [{"context": "x"}]}')
    with pytest.raises(ForgeFailed, match="more than 50 pages"):
        await forge.checks("abc")


async def test_pages_are_counted_by_the_count_of_all(server: Server, forge: Forge) -> None:
    """Some forges say beside it how many there are on this page."""

    def room(asked: Asked) -> Given:
        page = int(dict(parse_qsl(asked.query))["page"])
        shown = [{"context": f"{number}"} for number in range(120)][(page - 1) * 50 : page * 50]
        return Given(200, {"X-Total-Count": "120"}, json.dumps({"total_count": len(shown), "statuses": shown}).encode())

    server.rooms["/api"] = room
    assert len((await forge.checks("abc")).checks) == 120


async def test_a_review_without_an_id_is_no_surprise(server: Server, forge: Forge) -> None:
    """What says of lines is then told to be unreadable."""
    answers = {"/reviews": b'[{"comments_count": 1}]', "/issues/1/comments": b"[]"}
    server.rooms["/api"] = lambda asked: next(
        (Given(200, {}, body) for end, body in answers.items() if asked.path.endswith(end)), Given(404, {})
    )
    with pytest.raises(ForgeFailed, match=r"\(404\)"):
        await forge.comments(1)


@pytest.mark.parametrize(
    ("proxy", "says"),
    [
        ("socks5://localhost:1080", "socksio"),
        ("ftp://localhost:21", "not a URL that can be used"),
        ("http://[::1", "not a URL that can be used"),
    ],
)
async def test_a_proxy_that_does_not_do_is_told(tmp_path: Path, proxy: str, says: str) -> None:
    """Without asking anybody."""
    environment = user(tmp_path) | {"GITEA_TOKEN": SECRET, "ALL_PROXY": proxy}
    remote = parse("https://git.example.org/ada/project.git")
    with pytest.raises(ForgeFailed, match=says):
        async with find_forge(remote, Git.of(tmp_path, environment), environment=environment):
            pytest.fail("There is no client without it.")


async def test_a_proxy_may_be_named_without_a_scheme(server: Server, tmp_path: Path) -> None:
    """As curl and git take it."""
    server.rooms["/api"] = lambda asked: Given(200, {}, b'{"default_branch": "trunk", "html_url": "x"}')
    environment = user(tmp_path) | {"GITEA_TOKEN": SECRET, "http_proxy": server.site}
    remote = parse("http://git.example.org/ada/project.git")
    forges = ["git.example.org=gitea http://git.example.org/api/v1"]
    async with find_forge(remote, Git.of(tmp_path, environment), environment=environment, forges=forges) as forge:
        assert (await forge.home()).default_branch == "trunk"
    server.rooms.clear()


async def test_no_network_is_told(tmp_path: Path) -> None:
    """Nobody listens there."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        site = f"127.0.0.1:{free.getsockname()[1]}"
    environment = user(tmp_path) | {"GITEA_TOKEN": SECRET}
    remote = parse(f"http://{site}/ada/project.git")
    forges = [f"{site}=gitea http://{site}/api/v1"]
    async with find_forge(remote, Git.of(tmp_path, environment), environment=environment, forges=forges) as forge:
        with pytest.raises(ForgeFailed, match="cannot be reached"):
            await forge.open(DRAFT)


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Server]:
    """Another origin, which would take any token."""
    with serving(tmp_path / "elsewhere") as other:
        other.rooms["/"] = lambda asked: Given(200, {}, b'{"default_branch": "theirs"}')
        yield other


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_to_elsewhere_gets_no_token(
    server: Server, forge: Forge, elsewhere: Server, status: int
) -> None:
    """Not even a request: another port is another origin."""
    server.rooms["/api"] = lambda asked: Given(status, {"Location": f"{elsewhere.url}/api/v1/x?{SECRET}"})
    for call in (forge.home, lambda: forge.open(DRAFT)):
        with pytest.raises(ForgeFailed, match=rf"redirects to http://{elsewhere.site.split(':')[0]}") as refused:
            await call()
        assert SECRET not in str(refused.value)
    assert elsewhere.asked == []


async def test_a_redirect_within_the_forge_is_followed(server: Server, forge: Forge) -> None:
    """As for a repository that was renamed; one without end is not."""
    new = "/api/v1/repos/ada/renamed"

    def room(asked: object) -> Given:
        path = server.asked[-1].path
        return (
            Given(200, {}, b'{"default_branch": "trunk", "html_url": "x"}')
            if path == new
            else Given(301, {"Location": new})
        )

    server.rooms["/api"] = room
    assert (await forge.home()).default_branch == "trunk"
    with pytest.raises(ForgeFailed, match="git remote set-url"):
        await forge.open(DRAFT)
    server.rooms["/api"] = lambda asked: Given(301, {"Location": "/api/v1/again"})
    with pytest.raises(ForgeFailed, match="without end"):
        await forge.home()


async def test_the_token_is_in_no_representation(forge: Forge) -> None:
    """What a log or a traceback would show."""
    assert SECRET not in repr(forge)
    assert SECRET not in repr(vars(forge))
