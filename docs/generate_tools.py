"""Write ``docs/tools.md`` from what a client is told: the server is started and asked, like any other.

``--check`` writes nothing and fails if the page is not what would be written.
"""

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters
from mcp_types import ResourceTemplate, Tool

PAGE = Path(__file__).with_name("tools.md")
OPENING = """\
# Tools and resources

What a client is told, word for word. This page is made from the code by `make docs`.

Arguments that a tool does not have are refused, and so is a call that cannot mean anything; the refusal says
what to do. Everything else is an ordinary answer, a failing cell too.
"""


def main() -> int:
    """Write the page, or compare it."""
    text = anyio.run(page)
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    if PAGE.read_text() == text:
        return 0
    sys.stderr.write("docs/tools.md is not what the code says. Run: make docs\n")
    return 1


async def page() -> str:
    """The whole page, of a server with default settings."""
    with tempfile.TemporaryDirectory() as empty:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "mcp_notebook", "--embedded", "--workspace", empty],
            env={"MCP_NOTEBOOK_HOME": empty},
        )
        async with Client(server) as client:
            tools = (await client.list_tools()).tools
            templates = (await client.list_resource_templates()).resource_templates
            instructions = client.instructions or ""
    parts = [OPENING, _contents(tools), *(_tool(tool) for tool in tools), _resources(templates)]
    parts += ["## Instructions\n", "What the server says of itself at the start:\n", _quoted(instructions)]
    return "\n".join(parts)


def _contents(tools: Sequence[Tool]) -> str:
    rows = [f"| [`{tool.name}`](#{tool.name}) | {tool.title or ''} | {_hints(tool)} |" for tool in tools]
    return "\n".join(["| tool | | |", "|---|---|---|", *rows, ""])


def _tool(tool: Tool) -> str:
    parts = [f"## {tool.name}", "", (tool.description or "").strip(), ""]
    parameters = tool.input_schema.get("properties", {})
    if parameters:
        parts += ["| parameter | type | default | |", "|---|---|---|---|"]
        parts += [_row(name, schema, tool.input_schema) for name, schema in parameters.items()]
        parts.append("")
    if tool.output_schema:
        fields = ", ".join(f"`{name}`" for name in tool.output_schema.get("properties", {}))
        parts += [f"Structured result: {fields}.", ""]
    return "\n".join(parts)


def _row(name: str, schema: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    required = name in whole.get("required", [])
    default = "required" if required else f"`{json.dumps(schema.get('default'), ensure_ascii=False)}`"
    description = " ".join(schema.get("description", "").split()).replace("|", "\\|")
    return f"| `{name}` | {_type(schema, whole)} | {default} | {description} |"


def _type(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return _type(whole["$defs"][schema["$ref"].rsplit("/", 1)[1]], whole)
    if "anyOf" in schema:
        return " or ".join(_type(one, whole) for one in schema["anyOf"] if one.get("type") != "null")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}), whole)}"
    return str(schema.get("type", "anything"))


def _hints(tool: Tool) -> str:
    hints = tool.annotations
    if hints is None:
        return ""
    said = {
        "reads only": hints.read_only_hint,
        "destructive": hints.destructive_hint and not hints.read_only_hint,
        "idempotent": hints.idempotent_hint and not hints.read_only_hint,
    }
    return ", ".join(words for words, holds in said.items() if holds)


def _resources(templates: Sequence[ResourceTemplate]) -> str:
    parts = ["## Resources", ""]
    for template in templates:
        parts += [f"### `{template.uri_template}`", "", (template.description or "").strip(), ""]
    return "\n".join(parts)


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.strip().splitlines()) + "\n"


if __name__ == "__main__":
    sys.exit(main())
