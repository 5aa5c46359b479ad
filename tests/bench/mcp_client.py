"""Our server and the echo server, each as a process behind the SDK's own client."""

import sys
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from mcp_types import CallToolResult

from tests.bench import echo_server
from tests.bench.place import Place
from tests.calls import structured, text_of

COMMAND = Path(sys.executable).with_name("mcp-notebook")
"""What users give to their clients."""


def ours(place: Place, agent: str | None = None) -> Client:
    """A client that starts ``mcp-notebook`` when it is entered: a relay, which finds or starts the server."""
    return _client(place, str(COMMAND), "--workspace", str(place.workspace), *(["--agent", agent] if agent else []))


def embedded(place: Place) -> Client:
    """A client that starts ``mcp-notebook --embedded`` when it is entered: one process, and its kernels."""
    return _client(place, str(COMMAND), "--embedded", "--workspace", str(place.workspace))


def echo(place: Place) -> Client:
    """A client that starts the echo server when it is entered."""
    return _client(place, sys.executable, str(Path(echo_server.__file__)))


async def run_cell(client: Client, source: str, **arguments: Any) -> CallToolResult:
    """``execute_cell``; anything but a cell that ran well ends the benchmark."""
    result = await client.call_tool("execute_cell", {"source": source, **arguments})
    if result.is_error or "] ok " not in text_of(result)[:20]:
        raise RuntimeError(f"A cell that should be ok was not: {text_of(result)[:500]}")
    return result


async def run_echo(client: Client, source: str) -> None:
    """One call of the echo tool."""
    result = await client.call_tool("echo", {"source": source})
    if text_of(result) != source:
        raise RuntimeError(f"The echo server answered {text_of(result)[:500]!r}.")


async def open_session(client: Client, name: str, **arguments: Any) -> str:
    """The handle of a session."""
    return str((await structured(client, "open_session", name=name, **arguments))["session"])


def size_of(result: CallToolResult) -> int:
    """Bytes of a result on the wire."""
    return len(result.model_dump_json(by_alias=True, exclude_none=True).encode())


def _client(place: Place, command: str, *arguments: str) -> Client:
    return Client(StdioServerParameters(command=command, args=list(arguments), env=place.environment))
