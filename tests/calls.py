"""Calls as a client makes them, and what a test reads off the answers."""

import re
from typing import Any

from mcp import Client
from mcp_types import CallToolResult, ImageContent, TextContent


async def call(client: Client, tool: str, /, **arguments: Any) -> str:
    """The text of a call that is carried out."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    return text_of(result)


async def refused(client: Client, tool: str, /, **arguments: Any) -> str:
    """The text of a call that cannot be carried out."""
    result = await client.call_tool(tool, arguments)
    assert result.is_error, text_of(result)
    return text_of(result)


async def structured(client: Client, tool: str, /, **arguments: Any) -> dict[str, Any]:
    """The structured content of a call that is carried out."""
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, text_of(result)
    content: dict[str, Any] | None = result.structured_content
    assert content is not None
    return content


async def run(client: Client, source: str, **arguments: Any) -> str:
    """What ``execute_cell`` answers to ``source``."""
    return await call(client, "execute_cell", source=source, **arguments)


def text_of(result: CallToolResult) -> str:
    """All text blocks of a result."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def images_of(result: CallToolResult) -> list[ImageContent]:
    """All images of a result."""
    return [block for block in result.content if isinstance(block, ImageContent)]


def value(text: str, name: str) -> str:
    """What ``text`` says after ``name=``, such as a cell's id."""
    match = re.search(rf'\b{name}="?([^\s",)]+)', text)
    assert match is not None, text
    return match[1]


def status(text: str) -> str:
    """The status in the first line of an execution's result."""
    match = re.match(r"\[[\d ]+\] (\w+)", text)
    assert match is not None, text
    return match[1]
