"""The URL of a git remote, taken apart: where the forge is, and which of its repositories is meant.

Pure. The forms are those of https://git-scm.com/docs/git-fetch#_git_urls.
"""

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges.git import without_secrets

_SCP = re.compile(r"(?:(?P<user>[^@/:\s]+)@)?(?P<host>\[[^\]\s]+\]|[^/:@\s\[\]]+):(?P<path>[^\s]+)")
_NAME = re.compile(r"[\w.~-]+")
_OVER_SSH = ("ssh", "git+ssh", "ssh+git")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Remote:
    """A repository on a forge."""

    scheme: str
    """``https``, ``http`` or ``ssh``."""
    host: str
    """Lower case; an IPv6 address without brackets."""
    port: int | None
    """None for the scheme's own."""
    user: str
    owner: str
    name: str
    prefix: str = ""
    """The path below which the forge is, such as ``/git``; known of http and https only."""

    @property
    def site(self) -> str:
        """``host`` or ``host:port``, as settings name a forge. The port of ssh is not the forge's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None or self.scheme == "ssh" else f"{host}:{self.port}"

    @property
    def web(self) -> str:
        """The URL below which the forge's pages and its API are."""
        return f"{'http' if self.scheme == 'http' else 'https'}://{self.site}{self.prefix}"


def parse(url: str) -> Remote:
    """The repository that a remote's URL names.

    Raises:
        ForgeFailed: a directory, a bundle, or a URL that names no owner and repository.
    """
    scheme, host, port, user, path = _split(url.strip())
    segments = [unquote(part) for part in path.split("/") if part]
    if len(segments) < 2:
        raise ForgeFailed(f"The remote {without_secrets(url)} names no owner and repository, as those of forges do.")
    *above, owner, name = segments
    name = name.removesuffix(".git")
    if not all(_is_name(part) for part in (*above, owner, name)):
        raise ForgeFailed(f"The remote {without_secrets(url)} has an owner or repository that no forge allows.")
    prefix = "".join(f"/{part}" for part in above)
    return Remote(scheme, host, port, user, owner, name, "" if scheme == "ssh" else prefix)


def _split(url: str) -> tuple[str, str, int | None, str, str]:
    if "://" not in url:
        found = _SCP.fullmatch(url)
        if found is None or re.match(r"[A-Za-z]:[\\/]", url):
            raise _no_forge(url)
        return "ssh", found["host"].strip("[]").lower(), None, found["user"] or "", found["path"]
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError:
        raise ForgeFailed(f"The remote {without_secrets(url)} is not a URL. See `git remote -v`.") from None
    scheme = "ssh" if scheme in _OVER_SSH else scheme
    if scheme not in ("http", "https", "ssh") or not host:
        raise _no_forge(url)
    if port == _PORTS.get(scheme):
        port = None
    return scheme, host, port, unquote(parts.username or ""), parts.path


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and text not in (".", "..")


def _no_forge(url: str) -> ForgeFailed:
    return ForgeFailed(
        f"The remote {without_secrets(url)} is on no forge: pull requests need one whose URL begins with https, http "
        "or ssh. See `git remote -v`."
    )
