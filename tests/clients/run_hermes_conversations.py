"""Two conversations of one Hermes process use our server at the same time, each in a session of its own.

Run by the interpreter of ``.envs/hermes`` with HERMES_HOME set. Arguments: the cell of the first conversation,
the FIFO that this cell opens when it has begun, the cell of the second conversation. Prints what Hermes hands to
its model.
"""

import json
import os
import select
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from model_tools import handle_function_call
from tools.mcp_tool import discover_mcp_tools, shutdown_mcp_servers

WITHIN_S = 60.0


def main(long: str, begun: Path, short: str) -> None:
    """The second conversation asks while the first one's cell runs, and then what state both sessions are in."""
    discover_mcp_tools()
    told: dict[str, object] = {}
    opened_by_cell = os.open(begun, os.O_RDONLY | os.O_NONBLOCK)
    try:
        handles = {task: opened(task) for task in ("one", "two")}
        with ThreadPoolExecutor() as threads:
            first = threads.submit(hermes, "one", "execute_cell", source=long, session=handles["one"])
            select.select([opened_by_cell], [], [], WITHIN_S)
            asked = time.monotonic()
            second = threads.submit(hermes, "two", "execute_cell", source=short, session=handles["two"])
            told = {"handles": handles, "second": second.result(), "seconds": time.monotonic() - asked}
            told["first"] = first.result()
        told["states"] = {each["session"]: each["state"] for each in hermes("two", "list_sessions")["sessions"]}
        hermes("one", "control_kernel", action="interrupt", session=handles["one"])
    finally:
        shutdown_mcp_servers()
    sys.stdout.write("\n" + json.dumps(told) + "\n")


def opened(task: str) -> str:
    """The handle of a session of this conversation's own."""
    return str(hermes(task, "open_session", name=f"conversation-{task}")["session"])


def hermes(task: str, tool: str, **arguments: str) -> Any:
    """What a conversation's model gets for a function call: structured content where there is some, else text."""
    answer = json.loads(handle_function_call(f"mcp__notebook__{tool}", arguments, task_id=task))
    return answer.get("structuredContent") or answer["result"]


main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
