"""The resources and prompts that the conformance suite reads, beside the server's own.

The server answers for its own resources; what it does not know goes to the SDK's handlers, which serve these.
"""

import base64
import json
from typing import Any

from mcp.server import MCPServer, ServerRequestContext
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver.exceptions import ResourceError
from mcp.server.mcpserver.prompts.base import Message, UserMessage
from mcp_types import (
    BlobResourceContents,
    Completion,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    InputRequiredResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from mcp_notebook.server import lowlevel
from tests.conformance.tools import PNG

OURS = "test://"
Request = ServerRequestContext[Any, Any]


def register(server: MCPServer[Any]) -> None:
    """Add them to ``server``, which has its own handlers already."""
    _add_resources(server)
    _add_prompts(server)
    _serve_both(server)


def _add_resources(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", mime_type="text/plain", description="A text.")
    async def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png", description="An image.")
    async def static_binary() -> bytes:
        return base64.b64decode(PNG)

    @server.resource("test://watched-resource", mime_type="text/plain", description="A text to subscribe to.")
    async def watched_resource() -> str:
        return "Watched."

    @server.resource("test://template/{id}/data", mime_type="application/json", description="Data by id.")
    async def template(id: str) -> str:  # noqa: A002 - the template's name
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def _add_prompts(server: MCPServer[Any]) -> None:
    @server.prompt(description="A prompt without arguments.")
    async def test_simple_prompt() -> str:
        """One text."""
        return "This is a simple prompt for testing."

    @server.prompt(description="A prompt of two arguments.")
    async def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        """Its arguments, in a text."""
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt(description="A prompt with a resource.")
    async def test_prompt_with_embedded_resource(resourceUri: str) -> list[Message]:  # noqa: N803 - the suite's name
        """A resource and a text."""
        text = "Embedded resource content for testing."
        contents = TextResourceContents(uri=resourceUri, mime_type="text/plain", text=text)
        embedded = EmbeddedResource(resource=contents)
        return [UserMessage(embedded), UserMessage("Please process the embedded resource above.")]

    @server.prompt(description="A prompt with an image.")
    async def test_prompt_with_image() -> list[Message]:
        """An image and a text."""
        image = ImageContent(data=PNG, mime_type="image/png")
        return [UserMessage(image), UserMessage("Please analyze the image above.")]

    async def complete(*_: Any) -> Completion:
        return Completion(values=["paris", "park"], total=2, has_more=False)

    server.completion()(complete)  # type: ignore[no-untyped-call]  # the SDK's


def _serve_both(server: MCPServer[Any]) -> None:
    low = lowlevel(server)
    known = {name: low.get_request_handler(f"resources/{name}") for name in ("list", "templates/list", "read")}
    ours: dict[str, Any] = {name: entry.handler for name, entry in known.items() if entry is not None}
    subscribing = {name: low.get_request_handler(f"resources/{name}") for name in ("subscribe", "unsubscribe")}

    async def list_all(request: Request, params: PaginatedRequestParams) -> Any:
        found = await ours["list"](request, params)
        return ListResourcesResult(resources=[*found.resources, *await server.list_resources()])

    async def list_templates(request: Request, params: PaginatedRequestParams) -> Any:
        found = await ours["templates/list"](request, params)
        more = await server.list_resource_templates()
        return ListResourceTemplatesResult(resource_templates=[*found.resource_templates, *more])

    async def read(request: Request, params: ReadResourceRequestParams) -> Any:
        try:
            found = await server.read_resource(params.uri)
        except ResourceError:
            return await ours["read"](request, params)
        assert not isinstance(found, InputRequiredResult)
        return ReadResourceResult(contents=[_contents(str(params.uri), each) for each in found])

    async def watch(request: Request, params: Any) -> Any:
        if str(params.uri).startswith(OURS):
            return EmptyResult()
        entry = subscribing["subscribe" if isinstance(params, SubscribeRequestParams) else "unsubscribe"]
        assert entry is not None
        return await entry.handler(request, params)

    async def set_level(request: Request, params: SetLevelRequestParams) -> EmptyResult:
        return EmptyResult()

    low.add_request_handler("resources/list", PaginatedRequestParams, list_all)
    low.add_request_handler("resources/templates/list", PaginatedRequestParams, list_templates)
    low.add_request_handler("resources/read", ReadResourceRequestParams, read)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, watch)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, watch)
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)


def _contents(uri: str, read: ReadResourceContents) -> TextResourceContents | BlobResourceContents:
    if isinstance(read.content, bytes):
        blob = base64.b64encode(read.content).decode()
        return BlobResourceContents(uri=uri, mime_type=read.mime_type, blob=blob)
    return TextResourceContents(uri=uri, mime_type=read.mime_type, text=read.content)
