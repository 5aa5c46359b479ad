"""A client of the 2026-07-28 era whose user can be asked, and that brings the answers when a test likes."""

from typing import Any

import anyio
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import (
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    InputRequiredResult,
    InputResponses,
)

from tests.calls import text_of

Answered = CallToolResult | InputRequiredResult
WITHIN_S = 60


async def nobody(context: ClientRequestContext, params: Any) -> ElicitResult:
    """The client can ask, and the tests answer themselves."""
    raise AssertionError("the SDK's loop is not used here")


class Asker:
    """A client that is given what is asked, and brings the answers when it likes."""

    def __init__(self, client: Client) -> None:
        self.client = client

    async def call(self, tool: str, again: Answered | None = None, answer: Any = None, **arguments: Any) -> Answered:
        """A call; with ``again`` one that brings the answer to what that asked: a value, or an ElicitResult."""
        responses: InputResponses | None = None
        state = None
        if isinstance(again, InputRequiredResult):
            given = answer if isinstance(answer, ElicitResult) else accepted(answer)
            responses, state = dict.fromkeys(again.input_requests or {}, given), again.request_state
        with anyio.fail_after(WITHIN_S):
            return await self.client.session.call_tool(
                tool, arguments, input_responses=responses, request_state=state, allow_input_required=True
            )

    async def answered(self, tool: str, again: Answered, answer: Any, **arguments: Any) -> str:
        """The text that the call ends with."""
        result = await self.call(tool, again, answer, **arguments)
        assert isinstance(result, CallToolResult), result
        return text_of(result)


def accepted(value: Any) -> ElicitResult:
    return ElicitResult(action="accept", content={"answer": value})


def asked(result: Answered) -> str:
    """The one thing that it asks."""
    assert isinstance(result, InputRequiredResult), result
    (request,) = (result.input_requests or {}).values()
    assert isinstance(request, ElicitRequest) and isinstance(request.params, ElicitRequestFormParams)
    return request.params.message


def page(result: Answered) -> str:
    """The address of the page that it sends the user to."""
    assert isinstance(result, InputRequiredResult), result
    (request,) = (result.input_requests or {}).values()
    assert isinstance(request, ElicitRequest) and isinstance(request.params, ElicitRequestURLParams)
    return request.params.url
