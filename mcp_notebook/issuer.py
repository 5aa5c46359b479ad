"""JSON web tokens of the configured issuer: whom they let in.

What a token must be is in https://www.rfc-editor.org/rfc/rfc8725: signed by a key of the issuer with an algorithm
that the settings allow, made by this issuer for this audience, and not expired.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm

from mcp_notebook.admission import Admission
from mcp_notebook.auth import Auth

NAMED = "jwt:"
"""Begins the name of a principal whom the issuer vouches for, which no other principal's begins with."""
LONGEST_SUBJECT = 255
KEY_TYPES = {"R": "RSA", "P": "RSA", "E": "EC"}
"""By the first letter of the algorithm's name."""
_BAD = (
    jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, LookupError, AttributeError, OverflowError,
    RecursionError,
)  # fmt: skip
"""What a token that is none, or not this issuer's, or odd in another way, ends in."""

FindKeys = Callable[[str | None], Awaitable[list[dict[str, Any]]]]
"""The issuer's keys of this id, as JWK; all where the token names none. Raises CannotVerify."""


class Issuer:
    """Verifies tokens of one issuer."""

    def __init__(self, auth: Auth, find_keys: FindKeys) -> None:
        self._auth = auth
        self._find_keys = find_keys

    async def verify(self, token: str) -> Admission | None:
        """Whom it lets in. Raises CannotVerify."""
        try:
            header = jwt.get_unverified_header(token) if token.count(".") == 2 else {}
        except _BAD:
            return None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._auth.algorithms or not isinstance(key_id, str | None):
            return None
        for jwk in await self._find_keys(key_id):
            if _fits(jwk, algorithm) and (claims := self._claims(token, jwk, algorithm)) is not None:
                return self._admission(claims)
        return None

    def _claims(self, token: str, jwk: dict[str, Any], algorithm: str) -> dict[str, Any] | None:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                jwt.PyJWK(jwk, algorithm),
                algorithms=[algorithm],
                audience=list(self._auth.audience),
                issuer=self._auth.issuer,
                leeway=self._auth.leeway_s,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except _BAD:
            return None
        return claims

    def _admission(self, claims: Mapping[str, Any]) -> Admission | None:
        subject = claims["sub"]
        expires_at = int(claims["exp"]) + self._auth.leeway_s  # as the library reads it: not a fraction later
        if not isinstance(subject, str) or not 0 < len(subject) <= LONGEST_SUBJECT or not subject.isprintable():
            return None
        return Admission(NAMED + subject, expires_at) if time.time() < expires_at else None


def _fits(jwk: dict[str, Any], algorithm: str) -> bool:
    """Whether the issuer means this key for such signatures."""
    kind = "OKP" if algorithm == "EdDSA" else KEY_TYPES[algorithm[0]]
    operations = jwk.get("key_ops")
    return (
        jwk.get("kty") == kind
        and jwk.get("alg") in (None, algorithm)
        and jwk.get("use") in (None, "sig")
        and (operations is None or (isinstance(operations, list) and "verify" in operations))
    )
