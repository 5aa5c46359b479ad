"""Whether and how the user behind a client is asked, see ``asking``."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.server.mcpserver import Context
from mcp_types import ElicitResult

Elicit = Callable[[str, Mapping[str, Any]], Awaitable[ElicitResult]]
"""Takes the message, and the JSON schema of the form."""


def elicitation(context: Context[Any, Any]) -> Elicit | None:
    """How the client's user is asked; None where the client does not offer that, or cannot be asked anything."""
    client = context.session.client_params
    offered = client.capabilities.elicitation if client is not None else None
    only_urls = offered is not None and offered.form is None and offered.url is not None
    if offered is None or only_urls or not context.session.can_send_request:
        return None

    async def elicit(message: str, form: Mapping[str, Any]) -> ElicitResult:
        asked: ElicitResult = await context.session.elicit_form(message, dict(form), context.request_id)
        return asked

    return elicit
