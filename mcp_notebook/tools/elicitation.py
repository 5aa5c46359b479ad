"""What the user behind a client can be asked, and by which of the two ways that MCP has had.

In the handshake era the server asks while a call waits, in the 2026-07-28 era the call ends with what is to be asked
and comes again with the answer: https://modelcontextprotocol.io/specification/2025-11-25/client/elicitation and
https://modelcontextprotocol.io/specification/2026-07-28/basic/patterns/mrtr. A password is never asked for by a form.
"""

import ipaddress
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from mcp.server import ServerRequestContext
from mcp_types import ElicitRequestFormParams, ElicitRequestURLParams, ElicitResult
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from starlette.requests import Request

from mcp_notebook.execution import Execution

ANSWER = "answer"
"""The one field of the form."""
MESSAGE_CHARS = 2000
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""Headers of a proxy: the client may be on another machine."""

Asked = ElicitRequestFormParams | ElicitRequestURLParams
Send = Callable[[Asked], Awaitable[ElicitResult]]


@dataclass(frozen=True)
class Elicitation:
    """One client's ability."""

    form: bool = False
    url: bool = False
    """It opens pages for its user, and a page of this machine is within his reach."""
    send: Send | None = None
    """Asks at once; None where the call must end with what is asked."""

    def can_ask(self, execution: Execution) -> bool:
        """Whether the user can be asked what the execution waits for."""
        return self.url if execution.password else self.form


NOTHING = Elicitation()


def elicitation(context: ServerRequestContext[Any, Any]) -> Elicitation:
    """What the client that sent this request can ask its user."""
    capabilities = context.session.client_capabilities
    offered = capabilities.elicitation if capabilities is not None else None
    is_modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
    if offered is None or not (is_modern or context.session.can_send_request):
        return NOTHING
    only_urls = offered.form is None and offered.url is not None
    url = offered.url is not None and _is_of_this_machine(context.request)
    return Elicitation(not only_urls, url, None if is_modern else partial(_send, context))


def form(execution: Execution) -> ElicitRequestFormParams:
    """What it asks, for a client to show."""
    question = execution.question
    wanted = dict(question.schema) if question is not None else {"type": "string"}
    if "enum" in wanted:  # MCP knows choices of texts only
        wanted["type"] = "string"
    text = question.text if question is not None else (execution.prompt or "").strip()
    return ElicitRequestFormParams(
        message=text[-MESSAGE_CHARS:] or "A cell of the notebook waits for a line of input.",
        requested_schema={"type": "object", "properties": {ANSWER: wanted}, "required": [ANSWER]},
    )


def page(execution: Execution, url: str) -> ElicitRequestURLParams:
    """Where the user can type the password that it waits for."""
    prompt = (execution.prompt or "").strip()[-MESSAGE_CHARS:]
    asked = f"A cell of the notebook waits for a password{f' ({prompt})' if prompt else ''}."
    where = "Type it on this page of your own machine; it goes to the cell alone."
    return ElicitRequestURLParams(message=f"{asked} {where}", url=url)


async def _send(context: ServerRequestContext[Any, Any], asked: Asked) -> ElicitResult:
    if isinstance(asked, ElicitRequestURLParams):
        name = secrets.token_hex(8)
        result: ElicitResult = await context.session.elicit_url(asked.message, asked.url, name, context.request_id)
        return result
    return await context.session.elicit_form(asked.message, asked.requested_schema, context.request_id)


def _is_of_this_machine(request: Request | None) -> bool:
    """Whether the client is; None for one on a pipe or the private socket."""
    if request is None:
        return True
    host = request.url.hostname or ""
    peer = request.client.host if request.client is not None else ""
    return (
        host in ("localhost", "127.0.0.1", "::1")
        and _is_loopback(peer)
        and not any(map(request.headers.get, FORWARDED))
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
