"""Floor (b): the least that an MCP tool can be, on the SDK's own stdio server. Run as a program."""

from mcp.server import MCPServer

server = MCPServer("echo", log_level="WARNING")


@server.tool(structured_output=False)
async def echo(source: str) -> str:
    """Give back what was sent."""
    return source


if __name__ == "__main__":
    server.run("stdio")
