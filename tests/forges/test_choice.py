"""Which forge a remote is on, and which token it gets: never one that was meant for another."""

from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import pytest

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges import Git, find_forge
from mcp_notebook.forges.choice import places
from mcp_notebook.forges.remotes import parse
from mcp_notebook.forges.tokens import Credential, credential
from tests.repositories import user
from tests.standins.git_server import TOKEN, Asked, Given, Server

pytestmark = pytest.mark.anyio

SITE = "git.example.org"


async def token(
    tmp_path: Path,
    kind: str,
    site: str,
    variables: dict[str, str],
    *,
    configured: Sequence[str] = (),
    may_have: bool = True,
) -> Credential:
    """What would be sent to ``site`` by a user who has set ``variables``."""
    environment = user(tmp_path) | variables
    git = Git.of(tmp_path, environment)
    return await credential(kind, site, may_have=may_have, environment=environment, configured=configured, git=git)


@pytest.mark.parametrize(
    ("kind", "site", "variables", "source"),
    [
        ("gitea", SITE, {"GITEA_TOKEN": "a", "GITHUB_TOKEN": "b"}, "GITEA_TOKEN"),
        ("gitea", SITE, {"FORGEJO_TOKEN": "a"}, "FORGEJO_TOKEN"),
        ("forgejo", SITE, {"GITEA_TOKEN": "b", "FORGEJO_TOKEN": "a"}, "FORGEJO_TOKEN"),
        ("forgejo", "codeberg.org", {"CODEBERG_TOKEN": "a"}, "CODEBERG_TOKEN"),
        ("github", "github.com", {"GITHUB_TOKEN": "b", "GH_TOKEN": "a"}, "GH_TOKEN"),
        ("github", SITE, {"GH_ENTERPRISE_TOKEN": "a"}, "GH_ENTERPRISE_TOKEN"),
    ],
)
async def test_the_environment_has_a_token(
    tmp_path: Path, kind: str, site: str, variables: dict[str, str], source: str
) -> None:
    """The forge's own name comes first."""
    assert (await token(tmp_path, kind, site, variables)).source == source


@pytest.mark.parametrize(
    ("kind", "site", "variables"),
    [
        ("gitea", SITE, {"GITHUB_TOKEN": "b"}),
        ("forgejo", SITE, {"CODEBERG_TOKEN": "b"}),
        ("github", "github.com", {"GITEA_TOKEN": "b", "GH_ENTERPRISE_TOKEN": "c"}),
        ("gitea", SITE, {"GITEA_TOKEN": "  "}),
    ],
)
async def test_a_token_of_another_forge_is_not_taken(
    tmp_path: Path, kind: str, site: str, variables: dict[str, str]
) -> None:
    """The message says what could be set."""
    with pytest.raises(ForgeFailed, match=f"There is no token for {site}. Set [GF]"):
        await token(tmp_path, kind, site, variables)


async def test_a_site_that_only_a_remote_names_gets_no_token(tmp_path: Path) -> None:
    """Whoever changes the remote would get it; the message says how to name the site."""
    with pytest.raises(ForgeFailed, match=rf'GITEA_TOKEN is not sent to {SITE}.*forges = \["{SITE}=gitea"\]'):
        await token(tmp_path, "gitea", SITE, {"GITEA_TOKEN": "precious-0123456789"}, may_have=False)


async def test_a_public_site_gets_no_token_of_the_users_own(tmp_path: Path) -> None:
    """Whoever has named a Gitea of his own has a token for that one; else the public one's is meant."""
    remote = parse("https://codeberg.org/ada/project.git")
    environment = user(tmp_path) | {"GITEA_TOKEN": "precious-0123456789"}
    git = Git.of(tmp_path, environment)
    async with find_forge(remote, git, environment=environment) as forge:
        assert forge.kind == "forgejo"
    with pytest.raises(ForgeFailed, match=r"GITEA_TOKEN is not sent to codeberg\.org"):
        async with find_forge(remote, git, environment=environment, forges=[f"{SITE}=gitea"]):
            pass


async def test_the_settings_have_a_token(tmp_path: Path) -> None:
    """For one site, before all others."""
    configured = ("other.example.org=b", f"{SITE} = a=b")
    found = await token(tmp_path, "gitea", SITE, {"GITEA_TOKEN": "c"}, configured=configured, may_have=False)
    assert (found.secret, found.headers("gitea")) == ("a=b", {"Authorization": "token a=b"})
    assert "a=b" not in repr(found)


async def test_gits_credential_helper_has_a_token(tmp_path: Path) -> None:
    """Stored for the site by the user himself; a user and a password go as such."""
    environment = user(tmp_path)
    home = Path(environment["HOME"])
    (home / ".git-credentials").write_text(f"https://ada:from-the-helper@{SITE}\n")
    with (home / ".gitconfig").open("a") as file:
        file.write("[credential]\n\thelper = store\n")
    git = Git.of(tmp_path, environment)
    found = await credential("gitea", SITE, may_have=False, environment=environment, configured=(), git=git)
    assert (found.user, found.secret, found.source) == ("ada", "from-the-helper", "git's credential helper")
    assert found.headers("gitea")["Authorization"].startswith("Basic ")
    assert found.headers("github") == {"Authorization": "Bearer from-the-helper"}


@pytest.mark.parametrize(
    ("name", "secret"), [("ada@", "of-ada"), ("bob@", "of-bob"), ("git@", "of-bob"), ("", "of-bob")]
)
async def test_of_several_accounts_the_remote_names_one(server: Server, tmp_path: Path, name: str, secret: str) -> None:
    """As git chooses it for a push; a name that the helper does not know is no hindrance."""
    environment = user(tmp_path)
    home = Path(environment["HOME"])
    (home / ".git-credentials").write_text(f"http://bob:of-bob@{server.site}\nhttp://ada:of-ada@{server.site}\n")
    with (home / ".gitconfig").open("a") as file:
        file.write("[credential]\n\thelper = store\n")
    server.rooms["/api"] = lambda asked: Given(200, {}, b'{"default_branch": "main", "html_url": "x"}')
    remote = parse(f"http://{name}{server.site}/ada/project.git")
    forges = [f"{server.site}=github"]
    git = Git.of(tmp_path, environment)
    async with find_forge(remote, git, environment=environment, forges=forges) as forge:
        await forge.home()
    server.rooms.clear()
    assert server.asked[-1].headers["authorization"] == f"Bearer {secret}"


async def test_nobody_is_asked_for_a_password(tmp_path: Path) -> None:
    """A program that would ask is not started."""
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {asked}\necho secret\n")
    program.chmod(0o755)
    with pytest.raises(ForgeFailed, match="There is no token"):
        await token(tmp_path, "gitea", SITE, {"GIT_ASKPASS": str(program), "SSH_ASKPASS": str(program)})
    assert not asked.exists()


@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "ä", "x" * 5000])
async def test_what_is_no_token_is_told(tmp_path: Path, secret: str) -> None:
    """Before a header is made of it, and without showing it."""
    with pytest.raises(ForgeFailed, match="from GITEA_TOKEN has characters that no token has") as refused:
        await token(tmp_path, "gitea", SITE, {"GITEA_TOKEN": secret})
    assert secret not in str(refused.value)


def test_the_user_names_forges() -> None:
    """By settings, by the variables that others use too; the settings win."""
    variables = {
        "GITEA_SERVER_URL": "https://a.example.org/git/",
        "FORGEJO_HOST": "b.example.org:3000",
        "GH_HOST": "c.org",
    }
    found = places(["A.example.org=forgejo https://api.example.org/api/v1/", "github.com=github"], variables)
    assert {site: (place.kind, place.api) for site, place in found.items()} == {
        "a.example.org": ("forgejo", "https://api.example.org/api/v1"),
        "b.example.org:3000": ("forgejo", ""),
        "c.org": ("github", ""),
        "github.com": ("github", "https://api.github.com"),
    }
    assert places([], {"GITEA_SERVER_URL": "https://a.org/git/"})["a.org"].api == "https://a.org/git/api/v1"


@pytest.mark.parametrize("entry", ["git.example.org", "git.example.org=gitlab", "=gitea", "a=gitea ftp://b"])
def test_a_setting_that_says_nothing_is_told(entry: str) -> None:
    """It is quoted."""
    with pytest.raises(ForgeFailed, match="forges in settings"):
        places([entry], {})


@pytest.mark.parametrize(
    ("forges", "variables"), [([f"{SITE}=gitea"], {}), ([], {"GITEA_HOST": SITE}), ([f"{SITE}=github"], {})]
)
async def test_a_remote_alone_sends_no_token_in_clear(
    tmp_path: Path, forges: Sequence[str], variables: dict[str, str]
) -> None:
    """The user has named the forge, and not that it is spoken to without encryption."""
    environment = user(tmp_path) | {"GITEA_TOKEN": "precious-0123456789", "GH_TOKEN": "precious-0123456789"} | variables
    git = Git.of(tmp_path, environment)
    for url in (f"https://{SITE}/ada/project.git", f"git@{SITE}:ada/project.git"):
        async with find_forge(parse(url), git, environment=environment, forges=forges):
            pass
    with pytest.raises(ForgeFailed, match=rf'unencrypted.*forges = \["{SITE}=gi\w+ http://{SITE}/api/v\d"\]'):
        async with find_forge(parse(f"http://{SITE}/ada/project.git"), git, environment=environment, forges=forges):
            pass


@pytest.mark.parametrize(
    ("forges", "variables"),
    [([f"{SITE}=gitea http://{SITE}/api/v1"], {}), ([], {"GITEA_SERVER_URL": f"http://{SITE}"})],
)
async def test_the_user_may_say_http(tmp_path: Path, forges: Sequence[str], variables: dict[str, str]) -> None:
    """As it is in some networks."""
    environment = user(tmp_path) | {"GITEA_TOKEN": "precious-0123456789"} | variables
    remote = parse(f"http://{SITE}/ada/project.git")
    async with find_forge(remote, Git.of(tmp_path, environment), environment=environment, forges=forges) as forge:
        assert forge.kind == "gitea"


async def test_a_site_that_was_asked_in_clear_gets_no_token(server: Server, tmp_path: Path) -> None:
    """Nor one that the settings have for it: seen by a proxy, which is where such a request goes."""
    server.asked.clear()
    server.rooms["/api/v1"] = lambda asked: Given(200, {}, b'{"version": "1.27.1"}')
    environment = user(tmp_path) | {"http_proxy": server.url}
    remote, git = parse(f"http://{SITE}/ada/project.git"), Git.of(tmp_path, environment)
    with pytest.raises(ForgeFailed, match="unencrypted"):
        async with find_forge(remote, git, environment=environment, forge_tokens=[f"{SITE}={TOKEN}"]) as forge:
            await forge.home()
    assert [("authorization" in asked.headers, asked.path) for asked in server.asked] == [(False, "/api/v1/version")]


async def chosen(server: Server, tmp_path: Path, forges: Sequence[str] = (), **variables: str) -> str:
    """The kind of forge that a remote on the server is found to be on."""
    environment = user(tmp_path) | variables
    remote = parse(f"{server.url}/ada/project.git")
    git = Git.of(tmp_path, environment)
    async with find_forge(remote, git, environment=environment, forges=forges) as forge:
        return forge.kind


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (Given(200, {}, b'{"version": "1.27.1"}'), "gitea"),
        (Given(200, {}, b'{"version": "16.0.1+gitea-1.22.0"}'), "forgejo"),
        (Given(403, {}, b'{"message": "Only signed in user is allowed to call APIs."}'), "gitea"),
    ],
)
async def test_a_site_is_asked_what_it_is(server: Server, tmp_path: Path, given: Given, kind: str) -> None:
    """Without a token."""
    server.asked.clear()
    server.rooms["/api/v1"] = lambda asked: given
    variables = {"GITEA_TOKEN": TOKEN, "FORGEJO_TOKEN": TOKEN}
    assert await chosen(server, tmp_path, **variables) == kind
    assert [("authorization" in asked.headers, asked.path) for asked in server.asked] == [(False, "/api/v1/version")]


async def test_a_site_that_is_no_forge_is_told(server: Server, tmp_path: Path) -> None:
    """With what to do if it is one."""
    server.rooms.clear()
    server.rooms["/api"] = lambda asked: Given(404, {}, b"<html>")
    with pytest.raises(ForgeFailed, match=rf'forges = \["{server.site}=gitea"\]'):
        await chosen(server, tmp_path, GITEA_TOKEN=TOKEN)


async def test_a_site_with_the_marks_of_github_is_github(server: Server, tmp_path: Path) -> None:
    """Enterprise Server has its API at another path."""

    def room(asked: Asked) -> Given:
        return Given(404 if "v1" in asked.path else 200, {"X-GitHub-Request-Id": "1"}, b"{}")

    server.rooms.clear()
    server.rooms["/api"] = room
    assert await chosen(server, tmp_path, GH_TOKEN=TOKEN) == "github"
    await anyio.to_thread.run_sync(server.rooms.clear)
