"""Hermes itself uses our server: its own discovery and its own function calls, without a model.

Run by the interpreter of ``.envs/hermes`` with HERMES_HOME set; the cells to run are the first
argument, a JSON list of sources. Prints the names of the tools and what Hermes hands to its model for
each cell.
"""

import json
import sys

from model_tools import handle_function_call
from tools.mcp_tool import discover_mcp_tools, shutdown_mcp_servers


def main() -> None:
    """Discover, run the cells one after the other, and say what came."""
    tools = discover_mcp_tools()
    answers = []
    try:
        for source in json.loads(sys.argv[1]):
            answer = handle_function_call("mcp__notebook__execute_cell", {"source": source}, task_id="one")
            answers.append(json.loads(answer))
    finally:
        shutdown_mcp_servers()
    sys.stdout.write("\n" + json.dumps({"tools": tools, "answers": answers}) + "\n")


main()
