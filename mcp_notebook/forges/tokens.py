"""Whose word a forge takes: the token for one site, and where it was found.

A remote's URL is only a line in a file: whoever writes it decides where requests go. So a token of the environment is
sent to a site that the user has named (in settings, or in a variable such as GITEA_SERVER_URL), that is public where
he has named none of his own, or that is on this machine. What git's credential helper has is for the site that it was
stored for.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges.git import Git

_HELPER_S = 20.0
_TOKEN = re.compile(r"[!-~]{1,4096}")
_NAMES = {
    "gitea": ("GITEA_TOKEN", "FORGEJO_TOKEN"),
    "forgejo": ("FORGEJO_TOKEN", "CODEBERG_TOKEN", "GITEA_TOKEN"),
    "github": ("GH_TOKEN", "GITHUB_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"),
}
_OF_ONE_SITE = {"CODEBERG_TOKEN": "codeberg.org"}
_OF_ENTERPRISES = ("GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN")


@dataclass(frozen=True)
class Credential:
    """A token, or a user and a password."""

    secret: str = field(repr=False)
    source: str
    user: str = ""

    def headers(self, kind: str) -> dict[str, str]:
        """What authenticates a request to this kind of forge."""
        if kind == "github":
            return {"Authorization": f"Bearer {self.secret}"}
        if not self.user:
            return {"Authorization": f"token {self.secret}"}
        return {"Authorization": f"Basic {self.basic}"}

    @property
    def basic(self) -> str:
        """User and password as HTTP's basic authentication has them."""
        return base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()


async def credential(
    kind: str,
    site: str,
    *,
    may_have: bool,
    environment: Mapping[str, str],
    configured: Sequence[str],
    git: Git,
    user: str = "",
) -> Credential:
    """The token for ``site``: of the settings, the environment (if the site ``may_have`` it), or git's helper.

    Of several that the helper has, ``user`` says whose, as the remote's URL does.

    Raises:
        ForgeFailed: there is none, with what to do; or it is none.
    """
    found = _of_settings(site, configured)
    if found is None and may_have:
        found = _of_environment(kind, site, environment)
    if found is None:
        found = await _of_helper(site, user, git)
    if found is None:
        raise _none(kind, site, environment, may_have=may_have)
    if not _TOKEN.fullmatch(found.secret) or not found.user.isprintable():
        raise ForgeFailed(f"The token for {site} from {found.source} has characters that no token has: set it anew.")
    return found


def is_this_machine(host: str) -> bool:
    """Whether a host is a name or an address of loopback."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _of_settings(site: str, configured: Sequence[str]) -> Credential | None:
    for entry in configured:
        name, equals, secret = entry.partition("=")
        if equals and name.strip().lower() == site:
            return Credential(secret.strip(), "forge_tokens in settings.toml")
    return None


def _of_environment(kind: str, site: str, environment: Mapping[str, str]) -> Credential | None:
    for name in _NAMES[kind]:
        is_for_another = _OF_ONE_SITE.get(name, site) != site or (name in _OF_ENTERPRISES and site == "github.com")
        secret = environment.get(name, "").strip()
        if secret and not is_for_another:
            return Credential(secret, name)
    return None


async def _of_helper(site: str, user: str, git: Git) -> Credential | None:
    """That of ``user``, or of anybody; nobody is asked: a helper that has nothing ends it."""
    quiet = git.having(GIT_ASKPASS="", SSH_ASKPASS="")
    is_near = is_this_machine(site.rpartition(":")[0] or site)
    for name in dict.fromkeys((user, "")):
        for protocol in ("https", "http") if is_near else ("https",):
            found = await _filled(quiet, f"protocol={protocol}\nhost={site}\n" + (f"username={name}\n" if name else ""))
            if found is not None:
                return found
    return None


async def _filled(git: Git, wanted: str) -> Credential | None:
    asked = ("-c", "core.askPass=", "credential", "fill")
    done = await git.run(*asked, stdin=f"{wanted}\n".encode(), timeout_s=_HELPER_S)
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if done.code or not lines.get("password"):
        return None
    return Credential(lines["password"], "git's credential helper", lines.get("username", ""))


def _none(kind: str, site: str, environment: Mapping[str, str], *, may_have: bool) -> ForgeFailed:
    names = _NAMES[kind][:2]
    there = next((name for name in _NAMES[kind] if environment.get(name)), None)
    if there is not None and not may_have:
        return ForgeFailed(
            f"{there} is not sent to {site}, which you have not named as yours. If that is the forge it is for, say "
            f'so: forges = ["{site}={kind}"] in settings.toml, or GITEA_SERVER_URL (FORGEJO_SERVER_URL, GH_HOST) in '
            "the client's environment."
        )
    return ForgeFailed(
        f"There is no token for {site}. Set {' or '.join(names)} in the environment of the MCP client, or "
        f'forge_tokens = ["{site}=TOKEN"] in settings.toml, or store one with git: git credential approve.'
    )
