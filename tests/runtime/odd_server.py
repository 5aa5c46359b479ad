"""An MCP server with what other servers seldom do: it dies, waits, grows, starts children. Run as a program."""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import anyio
from anyio.abc import Process
from mcp.server import MCPServer
from mcp.server.mcpserver import Context, Image
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import EmbeddedResource, ResourceLink, TextContent, TextResourceContents

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d4944415478da63fcffff3f0300050001"
    "a5f645400000000049454e44ae426082"
)

server = MCPServer("odd", log_level="INFO" if sys.argv[1:] else "WARNING")
waiting = anyio.Event()
cancelled = anyio.Event()
everybody = anyio.Event()
present: list[int] = []
left_alone: list[Process] = []


@dataclass
class Place:
    """Where something is."""

    row: int
    column: int


@server.tool(structured_output=False)
async def echo(text: str) -> str:
    """Give back what was sent.

    Args:
        text: anything
    """
    return text


@server.tool()
async def add(a: int, b: int = 2) -> int:
    """The sum of two numbers."""
    return a + b


@server.tool()
async def locate(name: str) -> Place:
    """Find the place of a name."""
    return Place(len(name), 0)


@server.tool(structured_output=False)
async def picture() -> Image:
    """One pixel."""
    return Image(data=PIXEL, format="png")


@server.tool(structured_output=False)
async def several() -> list[Any]:
    """A text, a resource, a link."""
    return [
        TextContent(text="first"),
        EmbeddedResource(resource=TextResourceContents(uri="memo://one", text="inside")),
        ResourceLink(uri="memo://two", name="two"),
    ]


@server.tool(name="odd.name-of", structured_output=False)
async def odd_name(what: str) -> str:
    """Has a name that Python cannot write."""
    return f"odd {what}"


@server.tool(structured_output=False)
async def fail() -> str:
    """Fails in a way of its own."""
    raise ToolError("the moon is not full")


@server.tool(structured_output=False)
async def die(status: int) -> str:
    """End at once, or by a signal if the status is negative."""
    sys.stderr.write("good\nbye\n")
    sys.stderr.flush()
    if status < 0:
        os.kill(os.getpid(), -status)
        signal.pause()
    os._exit(status)


@server.tool(structured_output=False)
async def wait() -> str:
    """Never answers."""
    waiting.set()
    try:
        await anyio.sleep_forever()
    except anyio.get_cancelled_exc_class():
        cancelled.set()
        raise
    return ""


@server.tool(structured_output=False)
async def until_waiting() -> str:
    """Answers once ``wait`` waits."""
    await waiting.wait()
    return "waits"


@server.tool(structured_output=False)
async def until_cancelled() -> str:
    """Answers once ``wait`` was cancelled."""
    await cancelled.wait()
    return "cancelled"


@server.tool(structured_output=False)
async def meet(party: int) -> str:
    """Answers once so many calls of this are there at the same time."""
    present.append(party)
    if len(present) == party:
        everybody.set()
    await everybody.wait()
    return f"{len(present)} in {os.getpid()}"


@server.tool(structured_output=False)
async def grow(name: str, ctx: Context[Any, Any]) -> str:
    """Have one more tool, and say so."""

    async def grown() -> str:
        """Was not there before."""
        return name

    server.add_tool(grown, name=name, structured_output=False)
    await ctx.notify_tools_changed()
    return f"{name} is there"


@server.tool(structured_output=False)
async def children() -> str:
    """The ids of this process and of one that it leaves to itself, which holds its pipes open."""
    child = await anyio.open_process(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=None, stderr=None)
    left_alone.append(child)
    return f"{os.getpid()} {child.pid}"


@server.tool(structured_output=False)
async def variable(name: str) -> str:
    """A variable of the server's environment."""
    return os.environ.get(name, "not set")


@server.tool(structured_output=False)
async def where() -> str:
    """The server's directory."""
    return os.getcwd()  # noqa: PTH109 - a Path would say the same


@server.tool(structured_output=False)
async def shout(characters: int) -> str:
    """A long text."""
    return "x" * characters


if __name__ == "__main__":
    if len(sys.argv) > 1:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run("stdio")
