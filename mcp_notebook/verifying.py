"""All ways in over HTTP: the user's own token, those of named principals, those of the configured issuer."""

from mcp_notebook.admission import Admission, CannotVerify, Verify, any_of, only
from mcp_notebook.errors import NotReadNow
from mcp_notebook.issuer import Issuer
from mcp_notebook.issuer_keys import keys_of
from mcp_notebook.named_tokens import NamedTokens
from mcp_notebook.settings import Settings
from mcp_notebook.tokens import token


def verifier(settings: Settings) -> Verify:
    """What the settings and the state directory accept. Blocks. Raises ListenerRefused."""
    ways = [only(token(settings.home)), named(NamedTokens(settings.home))]
    if settings.auth.is_on:
        ways.append(Issuer(settings.auth, keys_of(settings.auth).find).verify)
    return any_of(*ways)


def named(tokens: NamedTokens) -> Verify:
    """Accept the tokens of named principals."""

    async def verify(given: str) -> Admission | None:
        try:
            name = tokens.name_of(given)
        except NotReadNow as exc:
            raise CannotVerify("The tokens of this server cannot be read now: ask again in a moment.") from exc
        return None if name is None else Admission(name)

    return verify
