"""An MCP server of the handshake era that hangs up on every other beginning. Run as a program.

Lists one tool a page, says so when there is one more, prints a banner, and sends half a surrogate pair.
"""

import json
import sys
from typing import Any

NAMES = ["grow", "half", "third"]


def main() -> None:
    """Answer one line after the other."""
    sys.stdout.write("Welcome to the handshake server!\n")
    begun = False
    for line in sys.stdin:
        message = json.loads(line)
        begun = begun or message["method"] == "initialize"
        if not begun:
            sys.exit("the first message must be initialize")
        if "id" in message:
            result = answer(message["method"], message.get("params") or {})
            send({"id": message["id"], "result": result})


def answer(method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The result of a request."""
    if method == "initialize":
        capabilities = {"tools": {"listChanged": True}}
        information = {"name": "handshake", "version": "1"}
        return {"protocolVersion": "2025-06-18", "capabilities": capabilities, "serverInfo": information}
    if method == "tools/list":
        return page(int(params.get("cursor", 0)))
    if params["name"] == "grow":
        NAMES.append(params["arguments"]["name"])
        send({"method": "notifications/tools/list_changed"})
    return {"content": [{"type": "text", "text": "half \ud83d a pair" if params["name"] == "half" else "done"}]}


def page(at: int) -> dict[str, Any]:
    """One tool."""
    schema = {"type": "object", "properties": {"name": {"type": "string"}}}
    tools = [{"name": NAMES[at], "description": f"The tool {NAMES[at]}.", "inputSchema": schema}]
    return {"tools": tools, **({"nextCursor": str(at + 1)} if at + 1 < len(NAMES) else {})}


def send(message: dict[str, Any]) -> None:
    """One line."""
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
