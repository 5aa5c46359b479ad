"""Which forge a remote is on: what the settings say, then what is known of its name, then what it says itself."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges.api import Answer, Api, client_for
from mcp_notebook.forges.base import Forge
from mcp_notebook.forges.git import Git
from mcp_notebook.forges.gitea import Gitea
from mcp_notebook.forges.github import GitHub
from mcp_notebook.forges.remotes import Remote
from mcp_notebook.forges.tokens import credential, is_this_machine

KINDS = ("gitea", "forgejo", "github")
_KNOWN = {
    "github.com": ("github", "https://api.github.com"),
    "codeberg.org": ("forgejo", "https://codeberg.org/api/v1"),
    "gitea.com": ("gitea", "https://gitea.com/api/v1"),
}
_ALIASES = {"ssh.github.com": "github.com", "altssh.github.com": "github.com", "www.github.com": "github.com"}
_NAMED_BY = {
    "GITEA_SERVER_URL": "gitea",
    "GITEA_HOST": "gitea",
    "FORGEJO_SERVER_URL": "forgejo",
    "FORGEJO_HOST": "forgejo",
    "GH_HOST": "github",
}
_PATHS = {"gitea": "/api/v1", "forgejo": "/api/v1", "github": "/api/v3"}


@dataclass(frozen=True)
class Place:
    """A forge: what it is, where its API is, and whether the user has named it."""

    kind: str
    api: str
    """Empty: at the usual path of the site that the remote names."""
    is_named: bool


@asynccontextmanager
async def find_forge(
    remote: Remote,
    git: Git,
    *,
    environment: Mapping[str, str],
    forges: Sequence[str] = (),
    forge_tokens: Sequence[str] = (),
) -> AsyncIterator[Forge]:
    """The forge of ``remote``, for as long as the block lasts.

    ``environment`` is that of the session's client. ``forges`` has entries ``HOST=KIND`` or ``HOST=KIND API-URL``,
    ``forge_tokens`` entries ``HOST=TOKEN``.

    Raises:
        ForgeFailed: it is none that is known, it cannot be reached, there is no token for it, or the token would go
            unencrypted because a remote says so.
    """
    site = _ALIASES.get(remote.site, remote.site)
    named = places(forges, environment)
    async with client_for(remote.web, environment) as client:
        place = named.get(site) or _known(site, named) or await _asked(remote, client)
        base = place.api or f"{remote.web}{_PATHS[place.kind]}"
        if base.startswith("http://") and not (is_this_machine(remote.host) or (place.is_named and place.api)):
            raise _in_clear(site, place.kind)
        may_have = place.is_named or is_this_machine(remote.host)
        found = await credential(
            place.kind,
            site,
            may_have=may_have,
            environment=environment,
            configured=forge_tokens,
            git=git,
            user=remote.user if remote.scheme != "ssh" and remote.user.isprintable() else "",
        )
        secrets = (found.secret, found.basic)
        headers = found.headers(place.kind)
        api = Api(f"{_TITLES[place.kind]} at {site}", base, headers, found.source, client, secrets)
        yield GitHub(api, remote) if place.kind == "github" else Gitea(api, remote, place.kind)


_TITLES = {"gitea": "Gitea", "forgejo": "Forgejo", "github": "GitHub"}


def places(forges: Sequence[str], environment: Mapping[str, str]) -> dict[str, Place]:
    """The forges that the user has named, by host (and port, unless it is the usual one).

    Raises:
        ForgeFailed: an entry of the settings says nothing that can be used.
    """
    found = {}
    for variable, kind in _NAMED_BY.items():
        if environment.get(variable):
            site, url = _site(environment[variable])
            found[site] = Place(kind, _api(kind, site, url), is_named=True)
    for entry in forges:
        site, _, rest = entry.partition("=")
        kind, _, url = rest.strip().partition(" ")
        if not site.strip() or kind not in KINDS or (url and not url.strip().startswith(("https://", "http://"))):
            raise ForgeFailed(
                f"forges in settings.toml has {entry!r}: write HOST=KIND, KIND one of {', '.join(KINDS)}, and behind a "
                "space the URL of its API if that is not the usual one."
            )
        site = site.strip().lower()
        found[site] = Place(kind, url.strip().rstrip("/") or _api(kind, site, ""), is_named=True)
    return found


def _api(kind: str, site: str, url: str) -> str:
    known = _KNOWN.get(site)
    if known and known[0] == kind:
        return known[1]
    return f"{url}{_PATHS[kind]}" if url else ""


def _site(named: str) -> tuple[str, str]:
    """Host and port of a host or a URL, and the URL without a slash at its end, if it is one."""
    if "://" not in named:
        return named.strip().rstrip("/").lower(), ""
    url = named.strip().rstrip("/")
    return urlsplit(url).netloc.rpartition("@")[2].lower(), url


def _known(site: str, named: Mapping[str, Place]) -> Place | None:
    """A public site; where the user has a Gitea or Forgejo of his own, GITEA_TOKEN is for that one."""
    known = _KNOWN.get(site)
    has_own = any(place.kind != "github" for place in named.values())
    return None if known is None else Place(*known, is_named=site == "github.com" or not has_own)


async def _asked(remote: Remote, client: httpx2.AsyncClient) -> Place:
    """What the site itself says, asked without a token."""
    gitea = Api(remote.site, f"{remote.web}{_PATHS['gitea']}", {}, "nowhere", client)
    answer = await gitea.ask("GET", "/version")
    kind = _kind(answer)
    if kind is not None:
        return Place(kind, gitea.base, is_named=False)
    github = Api(remote.site, f"{remote.web}{_PATHS['github']}", {}, "nowhere", client)
    if "X-GitHub-Request-Id" in (await github.ask("GET", "/meta")).headers:
        return Place("github", github.base, is_named=False)
    raise ForgeFailed(
        f"{remote.site} is neither Gitea nor Forgejo nor GitHub, as far as can be seen. If it is one of them, say so: "
        f'forges = ["{remote.site}=gitea"] in settings.toml; else open the pull request in its web interface.'
    )


def _in_clear(site: str, kind: str) -> ForgeFailed:
    return ForgeFailed(
        f"The remote begins with http, so that a token for {site} would go over the network unencrypted. Give it the "
        "forge's https URL: git remote set-url. If that forge has none and the network is yours, say so: "
        f'forges = ["{site}={kind} http://{site}{_PATHS[kind]}"] in settings.toml.'
    )


def _kind(answer: Answer) -> str | None:
    if isinstance(answer.body, dict) and isinstance(version := answer.body.get("version"), str):
        return "forgejo" if "+gitea-" in version or "forgejo" in version else "gitea"
    requires_login = answer.status in (401, 403) and isinstance(answer.body, dict)
    return "gitea" if requires_login else None
