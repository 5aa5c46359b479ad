"""Whose JSON web tokens are accepted over HTTP: the table ``[auth]`` of ``settings.toml``."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""What may be allowed: signatures by a key that the issuer alone has. A shared secret, or none, proves nothing."""


@dataclass(frozen=True)
class Auth:
    """Nothing is set: no such token is accepted."""

    issuer: str = ""
    """Who makes the tokens, exactly as their ``iss`` says it."""
    audience: tuple[str, ...] = ()
    """Whom they are made for: one of these has to be their ``aud``."""
    jwks_url: str = ""
    """Where the issuer's public keys are fetched, by https, or by http from this machine."""
    jwks_file: str = ""
    """Instead: a file with them, in JWKS format; it is read again when it changes."""
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "EdDSA")
    """The signatures that are accepted."""
    leeway_s: float = 30.0
    """So far may the issuer's clock be off."""
    resource: str = ""
    """The URL by which clients reach this server, ``https://box.example/mcp``: where it is set, clients are told
    whom to ask for a token (RFC 9728)."""

    def __post_init__(self) -> None:
        """Raises ValueError: what would accept nothing, or too much."""
        if not self.is_on:
            return
        if not self.issuer or not self.audience or not all(self.audience):
            raise ValueError("issuer and audience both have to be set")
        if bool(self.jwks_url) == bool(self.jwks_file):
            raise ValueError("either jwks_url or jwks_file has to be set")
        if self.jwks_url and not _is_safe(self.jwks_url):
            raise ValueError(f"jwks_url ({self.jwks_url!r}) is no https URL, nor http on this machine")
        if unknown := [each for each in self.algorithms if each not in ALGORITHMS]:
            raise ValueError(f"algorithms names {unknown[0]!r}; there are {', '.join(ALGORITHMS)}")
        if not self.algorithms:
            raise ValueError(f"algorithms is empty; there are {', '.join(ALGORITHMS)}")
        if self.resource and urlsplit(self.resource).scheme not in ("https", "http"):
            raise ValueError(f"resource ({self.resource!r}) is no URL")

    @property
    def is_on(self) -> bool:
        """Whether anything is set."""
        return bool(self.issuer or self.audience or self.jwks_url or self.jwks_file or self.resource)


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(url)))


def is_loopback(url: str) -> bool:
    """Whether the URL names this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
