"""A client of a few lines that may send anything: the server as a process, lines on its pipes."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.conftest import environment_of

LONGEST_ANSWER_BYTES = 1 << 26


class Wire:
    """What is sent and received as bytes and as JSON."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._stdout = BufferedByteReceiveStream(process.stdout) if process.stdout else None
        self._next_id = 0

    @property
    def stdin(self) -> ByteSendStream:
        """The server's standard input, where it is a pipe."""
        assert self.process.stdin is not None
        return self.process.stdin

    async def send(self, line: bytes) -> None:
        """One line as it is, with its newline added."""
        await self.stdin.send(line + b"\n")

    async def receive(self) -> dict[str, Any]:
        """The next message of the server."""
        assert self._stdout is not None
        with anyio.fail_after(60):
            message = json.loads(await self._stdout.receive_until(b"\n", LONGEST_ANSWER_BYTES))
        assert isinstance(message, dict)
        return message

    async def request(self, method: str, **params: Any) -> int:
        """Send a request and return its id."""
        self._next_id += 1
        request = {"jsonrpc": "2.0", "id": self._next_id, "method": method, "params": params}
        await self.send(json.dumps(request).encode())
        return self._next_id

    async def notify(self, method: str, **params: Any) -> None:
        """Send a notification."""
        await self.send(json.dumps({"jsonrpc": "2.0", "method": method, "params": params}).encode())

    async def answer(self, request_id: int) -> Any:
        """The result of a request; what else arrives before it is passed over."""
        while (message := await self.receive()).get("id") != request_id:
            pass
        return message["result"]

    async def call(self, tool: str, **arguments: Any) -> str:
        """The text of a tool's result."""
        request_id = await self.request("tools/call", name=tool, arguments=arguments)
        result = await self.answer(request_id)
        return "\n".join(block["text"] for block in result["content"] if block["type"] == "text")

    async def shake_hands(self) -> None:
        """Begin the handshake era."""
        me = {"name": "wire", "version": "1"}
        request_id = await self.request("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=me)
        await self.answer(request_id)
        await self.notify("notifications/initialized")


@asynccontextmanager
async def wire(
    base: Path, *arguments: str, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE
) -> AsyncIterator[Wire]:
    """``mcp-notebook`` as a process, with all its files below ``base``."""
    workspace = base / "workspace"
    workspace.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mcp_notebook", "--embedded", "--workspace", str(workspace), *arguments]
    environment = environment_of(base)
    async with await anyio.open_process(command, env=environment, stdin=stdin, stdout=stdout, stderr=None) as process:
        try:
            yield Wire(process)
        finally:
            if process.returncode is None:
                process.terminate()
