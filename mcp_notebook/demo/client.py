"""One client of the story, a process of its own: ``python -m mcp_notebook.demo.client PART WORKSPACE``.

It starts a relay as Claude Code or Hermes would. What went wrong it says on stderr, in a sentence.
"""

import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

from mcp_notebook.control import command
from mcp_notebook.demo import story
from mcp_notebook.demo.aftermath import CLIENT
from mcp_notebook.demo.telling import DemoFailed, Teller, indented, tell
from mcp_notebook.identity import ProcessId
from mcp_notebook.settings import load
from mcp_notebook.state import replace_json

RELAY = "relay.pid"
HANDLE = "session"
"""Files of the demo in its state directory."""
NOTE_AND_BECOME = 'echo $$ >"$0"; exec "$@"'
"""For sh: write the process id into a file and become the program."""


def main() -> int:
    """Play the part that is asked for."""
    part, workspace = sys.argv[1], Path(sys.argv[2])
    home = Path(os.environ["MCP_NOTEBOOK_HOME"])
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    me = ProcessId.of(os.getpid())
    replace_json(home / CLIENT, me.as_data() if me else None)
    try:
        anyio.run(_first if part == "first" else _second, workspace, home)
    except DemoFailed as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    return 0


async def _first(workspace: Path, home: Path) -> None:
    tell("An agent's client starts the server and connects, as Claude Code or Hermes would.\n")
    async with _connected(workspace, home) as teller:
        handle = await story.work(teller, workspace)
        (home / HANDLE).write_text(handle)
        await story.lose_the_server(teller, _server())
        relay = int((home / RELAY).read_text())
        tell(f"\nNow this client is killed too, and the process that it had started: kill -9 {relay} {os.getpid()}")
        os.kill(relay, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)


async def _second(workspace: Path, home: Path) -> None:
    tell("\nA new client is started, and knows of nothing.\n")
    async with _connected(workspace, home) as teller:
        await story.go_on(teller, (home / HANDLE).read_text())


@asynccontextmanager
async def _connected(workspace: Path, home: Path) -> AsyncIterator[Teller]:
    server = [sys.executable, "-m", "mcp_notebook", "--workspace", str(workspace)]
    parameters = StdioServerParameters(
        command="sh",
        args=["-c", NOTE_AND_BECOME, str(home / RELAY), *server],
        env={"MCP_NOTEBOOK_HOME": str(home)},
    )
    failed: DemoFailed | None = None
    started = time.perf_counter()
    async with Client(parameters) as client:
        tools = (await client.list_tools()).tools
        took_ms = (time.perf_counter() - started) * 1000
        tell(f"> connect, list tools   {took_ms:,.0f} ms")
        tell(indented(f"MCP {client.protocol_version}, {len(tools)} tools"))
        try:
            yield Teller(client)
        except DemoFailed as exc:
            failed = exc  # raised outside: the client's task groups would wrap it
    if failed:
        raise failed


def _server() -> int:
    status: dict[str, Any] | None = command(load(), "status")
    if status is None:
        raise DemoFailed("No server answers.")
    return int(status["pid"])


if __name__ == "__main__":
    sys.exit(main())
