"""What MCP servers answer, as JSON for the kernel.   Pure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp_types import CallToolResult, Tool


def tool_json(tool: "Tool") -> dict[str, Any]:
    """A tool as the kernel makes a function of it."""
    return {
        "name": tool.name,
        "description": tool.description or tool.title or "",
        "input_schema": tool.input_schema,
        "output_schema": tool.output_schema,
        "annotations": tool.annotations and tool.annotations.model_dump(mode="json", by_alias=True, exclude_none=True),
    }


def result_json(result: "CallToolResult", revision: int) -> dict[str, Any]:
    """An answer: ``structured`` only where there is structured content, blocks as they are on the wire."""
    answer: dict[str, Any] = {"revision": revision}
    if result.structured_content is not None:
        answer["structured"] = result.structured_content
    answer["content"] = [each.model_dump(mode="json", by_alias=True, exclude_none=True) for each in result.content]
    answer["is_error"] = bool(result.is_error)
    return answer


def matches(text: str, server: str, tool: Mapping[str, Any]) -> int:
    """How well a tool answers a search: each word counts, most in the name; 0 is not at all."""
    name, description = f"{server} {tool['name']}".casefold(), str(tool["description"]).casefold()
    words = text.casefold().split()
    if not words:
        return 1
    return sum(3 * (word in name) + (word in description) for word in words)
