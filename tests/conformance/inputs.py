"""The tools and the prompt of the conformance suite that ask before they answer, as MCP 2026-07-28 does it."""

from collections.abc import Mapping
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp_types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequest,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    TextContent,
)

Ctx = Context[Any, Any]


def register(server: MCPServer[Any]) -> None:
    """Add them to ``server``."""
    for function in (
        test_input_required_result_elicitation,
        test_streaming_elicitation,
        test_input_required_result_sampling,
        test_input_required_result_list_roots,
        test_input_required_result_request_state,
        test_input_required_result_tampered_state,
        test_input_required_result_multiple_inputs,
        test_input_required_result_multi_round,
        test_input_required_result_capabilities,
    ):
        server.add_tool(function, structured_output=False)
    server.prompt()(test_input_required_result_prompt)


async def test_input_required_result_elicitation(ctx: Ctx) -> str | InputRequiredResult:
    """Ask for a name."""
    name = _field(ctx, "user_name", "name")
    return f"Hello, {name}!" if name else _ask(user_name=_form("What is your name?", "name"))


async def test_streaming_elicitation(ctx: Ctx) -> str | InputRequiredResult:
    """Ask for a name, in the response itself."""
    return await test_input_required_result_elicitation(ctx)


async def test_input_required_result_sampling(ctx: Ctx) -> str | InputRequiredResult:
    """Ask the client's model."""
    answer = (ctx.input_responses or {}).get("capital_question")
    if isinstance(answer, CreateMessageResult):
        return f"It said: {answer.content}"
    return _ask(capital_question=_sample("What is the capital of France?", 100))


async def test_input_required_result_list_roots(ctx: Ctx) -> str | InputRequiredResult:
    """Ask for the client's roots."""
    answer = (ctx.input_responses or {}).get("client_roots")
    if isinstance(answer, ListRootsResult):
        return f"Its roots: {', '.join(str(root.uri) for root in answer.roots)}"
    return _ask(client_roots=ListRootsRequest())


async def test_input_required_result_request_state(ctx: Ctx) -> str | InputRequiredResult:
    """Ask with a state, which comes back."""
    if ctx.request_state == "asked" and _field(ctx, "confirm", "ok") is not None:
        return "state-ok"
    return _ask("asked", confirm=_form("Please confirm", "ok", "boolean"))


async def test_input_required_result_tampered_state(ctx: Ctx) -> str | InputRequiredResult:
    """Ask with a state that nobody else can make."""
    return await test_input_required_result_request_state(ctx)


async def test_input_required_result_multiple_inputs(ctx: Ctx) -> str | InputRequiredResult:
    """Ask three things at once."""
    questions: dict[str, InputRequest] = {
        "user_name": _form("What is your name?", "name"),
        "greeting": _sample("Generate a greeting", 50),
        "client_roots": ListRootsRequest(),
    }
    if set(questions) <= set(ctx.input_responses or {}):
        return "All was answered."
    return _ask("asked", **questions)


async def test_input_required_result_multi_round(ctx: Ctx) -> str | InputRequiredResult:
    """Ask one thing after the other."""
    if ctx.request_state == "named" and (colour := _field(ctx, "step2", "color")):
        return f"The colour is {colour}."
    if ctx.request_state == "began" and _field(ctx, "step1", "name"):
        return _ask("named", step2=_form("Step 2: What is your favorite color?", "color"))
    return _ask("began", step1=_form("Step 1: What is your name?", "name"))


async def test_input_required_result_capabilities(ctx: Ctx) -> str | InputRequiredResult:
    """Ask only what the client can answer."""
    can = ctx.client_capabilities
    questions: dict[str, InputRequest] = {}
    if can is not None and can.elicitation is not None:
        questions["user_name"] = _form("What is your name?", "name")
    if can is not None and can.sampling is not None:
        questions["greeting"] = _sample("Generate a greeting", 50)
    if not questions or ctx.input_responses:
        return "There is nothing to ask."
    return _ask(**questions)


async def test_input_required_result_prompt(ctx: Ctx) -> str | InputRequiredResult:
    """Ask for a context, then be a prompt."""
    context = _field(ctx, "user_context", "context")
    if context:
        return f"Use this context: {context}"
    return _ask(user_context=_form("What context should the prompt use?", "context"))


def _ask(state: str | None = None, /, **questions: InputRequest) -> InputRequiredResult:
    return InputRequiredResult(input_requests=questions, request_state=state)


def _field(ctx: Ctx, question: str, name: str) -> Any:
    """What the user wrote, or None where there is no such answer."""
    answer = (ctx.input_responses or {}).get(question)
    if not isinstance(answer, ElicitResult) or not isinstance(answer.content, Mapping):
        return None
    return answer.content.get(name)


def _form(message: str, name: str, kind: str = "string") -> ElicitRequest:
    form = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))


def _sample(text: str, tokens: int) -> CreateMessageRequest:
    message = SamplingMessage(role="user", content=TextContent(text=text))
    return CreateMessageRequest(params=CreateMessageRequestParams(messages=[message], max_tokens=tokens))
