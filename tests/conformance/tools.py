"""The tools that the conformance suite calls, by the names and with the answers that its scenarios describe."""

from typing import Annotated, Any

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import (
    MISSING_REQUIRED_CLIENT_CAPABILITY,
    AudioContent,
    ElicitResult,
    EmbeddedResource,
    ImageContent,
    SamplingMessage,
    TextContent,
    TextResourceContents,
)
from pydantic import Field

Ctx = Context[Any, Any]

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="
STEP_S = 0.05
"""Between two notifications; the scenarios want to see them apart."""

RICH_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def register(server: MCPServer[Any]) -> None:
    """Add the tools to ``server``."""
    for function in (*CONTENT, *TALKING, *ELICITING):
        server.add_tool(function, structured_output=False)
    # The SDK makes schemas from functions; this one is the scenario's own.
    server.add_tool(json_schema_2020_12_tool, structured_output=False)
    tool = next(each for each in server._tool_manager.list_tools() if each.name == json_schema_2020_12_tool.__name__)
    tool.parameters = RICH_SCHEMA


async def test_simple_text() -> str:
    """Return one text."""
    return "This is a simple text response for testing."


async def test_image_content() -> ImageContent:
    """Return one image."""
    return ImageContent(data=PNG, mime_type="image/png")


async def test_audio_content() -> AudioContent:
    """Return one sound."""
    return AudioContent(data=WAV, mime_type="audio/wav")


async def test_embedded_resource() -> EmbeddedResource:
    """Return one resource."""
    return _resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")


async def test_multiple_content_types() -> list[Any]:
    """Return a text, an image and a resource."""
    return [
        TextContent(text="Multiple content types test:"),
        ImageContent(data=PNG, mime_type="image/png"),
        _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ]


async def test_error_handling() -> str:
    """Fail."""
    raise ToolError("This tool intentionally returns an error for testing")


async def test_headers(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """Take an argument that is a header too."""
    return f"The region is {region}."


async def json_schema_2020_12_tool() -> str:
    """Have a schema of many keywords."""
    return "It was listed."


async def test_tool_with_logging(ctx: Ctx) -> str:
    """Log three times while it runs."""
    for step in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        await _log(ctx, step)
        await anyio.sleep(STEP_S)
    return "It has logged."


async def test_logging_tool(ctx: Ctx) -> str:
    """Log once, if the request asks for that."""
    await _log(ctx, "Tool execution")
    return "It has logged."


async def test_tool_with_progress(ctx: Ctx) -> str:
    """Report its progress."""
    for progress in (0, 50, 100):
        await ctx.report_progress(progress, 100)
        await anyio.sleep(STEP_S)
    return "It is done."


async def test_sampling(prompt: str, ctx: Ctx) -> str:
    """Have the client's model answer."""
    asked = SamplingMessage(role="user", content=TextContent(text=prompt))
    answer = await ctx.session.create_message([asked], max_tokens=100, related_request_id=ctx.request_id)
    assert isinstance(answer.content, TextContent)
    return f"LLM response: {answer.content.text}"


async def test_missing_capability(ctx: Ctx) -> str:
    """Need a capability of the client."""
    if ctx.client_capabilities is None or ctx.client_capabilities.sampling is None:
        raise MCPError(
            MISSING_REQUIRED_CLIENT_CAPABILITY, "Sampling is needed.", {"requiredCapabilities": {"sampling": {}}}
        )
    return "The client can sample."


async def test_trigger_tool_change(ctx: Ctx) -> str:
    """Tell that the list of tools has changed."""
    await ctx.notify_tools_changed()
    return "It was told."


async def test_trigger_prompt_change(ctx: Ctx) -> str:
    """Tell that the list of prompts has changed."""
    await ctx.notify_prompts_changed()
    return "It was told."


async def test_elicitation(message: str, ctx: Ctx) -> str:
    """Ask the user two things."""
    said = {"type": "string", "description": "User's response"}
    mail = {"type": "string", "description": "User's email address"}
    return _told("User response", await _asked(ctx, message, {"username": said, "email": mail}, ["username", "email"]))


async def test_elicitation_sep1034_defaults(ctx: Ctx) -> str:
    """Ask with a default of each type."""
    fields = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return _told("Elicitation completed", await _asked(ctx, "Who are you?", fields))


async def test_elicitation_sep1330_enums(ctx: Ctx) -> str:
    """Ask with each kind of choice."""
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"{word} Option"} for n, word in enumerate(("First", "Second"), 1)]
    choices = [{"const": f"value{n}", "title": f"{word} Choice"} for n, word in enumerate(("First", "Second"), 1)]
    fields = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": choices}},
    }
    return _told("Elicitation completed", await _asked(ctx, "Which one?", fields))


CONTENT = (
    test_simple_text,
    test_image_content,
    test_audio_content,
    test_embedded_resource,
    test_multiple_content_types,
    test_error_handling,
    test_headers,
)
TALKING = (
    test_tool_with_logging,
    test_logging_tool,
    test_tool_with_progress,
    test_sampling,
    test_missing_capability,
    test_trigger_tool_change,
    test_trigger_prompt_change,
)
ELICITING = (test_elicitation, test_elicitation_sep1034_defaults, test_elicitation_sep1330_enums)


def _resource(uri: str, mime_type: str, text: str) -> EmbeddedResource:
    return EmbeddedResource(resource=TextResourceContents(uri=uri, mime_type=mime_type, text=text))


async def _log(ctx: Ctx, text: str) -> None:
    await ctx.session.send_log_message("info", text, related_request_id=ctx.request_id)


async def _asked(ctx: Ctx, message: str, fields: dict[str, Any], required: list[str] | None = None) -> ElicitResult:
    form: dict[str, Any] = {"type": "object", "properties": fields}
    if required is not None:
        form["required"] = required
    answer: ElicitResult = await ctx.session.elicit_form(message, form, ctx.request_id)
    return answer


def _told(what: str, answer: ElicitResult) -> str:
    return f"{what}: action={answer.action}, content={answer.content}"
