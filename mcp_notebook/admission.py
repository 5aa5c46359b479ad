"""Who comes in over HTTP: the token of a request's header, and the principal whom it lets in."""

import hmac
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import inf

from starlette.datastructures import Headers

from mcp_notebook.errors import NotebookError
from mcp_notebook.options import LOCAL

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


@dataclass(frozen=True)
class Admission:
    """Whom a token lets in, and until when, in seconds since the epoch."""

    principal: str
    expires_at: float = inf


Verify = Callable[[str], Awaitable[Admission | None]]
"""Whom a bearer token lets in; None where it lets in nobody. Raises CannotVerify."""


class CannotVerify(NotebookError):
    """Whether the token is valid cannot be found out now."""


def bearer(headers: Headers) -> str | None:
    """The token of the one Authorization header. https://www.rfc-editor.org/rfc/rfc6750#section-2.1"""
    given = headers.getlist("authorization")
    found = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
    return found[1] if found is not None else None


def only(token: str) -> Verify:
    """Accept this token alone, as that of the user of this process."""

    async def verify(given: str) -> Admission | None:
        return Admission(LOCAL) if hmac.compare_digest(given.encode(), token.encode()) else None

    return verify


def any_of(*ways: Verify) -> Verify:
    """Accept what one of them accepts, asked in this order; one that cannot verify now is in no other's way."""

    async def verify(given: str) -> Admission | None:
        trouble = None
        for way in ways:
            try:
                admission = await way(given)
            except CannotVerify as exc:
                trouble = exc
                continue
            if admission is not None:
                return admission
        if trouble is not None:
            raise trouble
        return None

    return verify
