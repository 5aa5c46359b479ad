"""A client of the Python SDK's 1.26 uses our server. Run by the interpreter of ``.envs/mcp126``.

Arguments: the server as JSON, the cells to run as a JSON list of sources.
"""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(server: dict[str, object], sources: list[str]) -> None:
    """Shake hands, list the tools, run the cells, and say what came."""
    async with (
        stdio_client(StdioServerParameters(**server)) as (read, write),
        ClientSession(read, write) as session,
    ):
        hello = await session.initialize()
        tools = [tool.name for tool in (await session.list_tools()).tools]
        answers = []
        for source in sources:
            result = await session.call_tool("execute_cell", {"source": source})
            text = "\n".join(block.text for block in result.content if block.type == "text")
            answers.append({"is_error": result.isError, "text": text})
    found = {"protocol": hello.protocolVersion, "tools": tools, "answers": answers}
    sys.stdout.write(json.dumps(found) + "\n")


asyncio.run(main(json.loads(sys.argv[1]), json.loads(sys.argv[2])))
