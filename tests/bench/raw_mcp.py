"""A client of our server in a few lines: JSON on a relay's pipes or on the server's socket, many calls at once.

It costs next to nothing, as the raw ZMQ client does, so that what is compared is what serves the cells.
"""

import json
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

from mcp_notebook import __version__
from mcp_notebook.control import SOCKET
from tests.bench.mcp_client import COMMAND
from tests.bench.place import Place


class RawMcp:
    """The handshake era; ``spawn`` and ``connect`` make one."""

    def __init__(self, reading: IO[bytes], writing: IO[bytes], pid: int = 0) -> None:
        self.pid = pid
        """The relay's."""
        self._reading = reading
        self._writing = writing
        self._sent = 0
        me = {"name": "raw", "version": "1"}
        self._answer(self._send("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo=me))
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def open_session(self, name: str) -> str:
        """The handle of a new session."""
        result = self._answer(self._call("open_session", name=name))
        return str(result["structuredContent"]["session"])

    def begin(self, source: str, session: str | None = None) -> int:
        """Send one cell, to the only session if none is named; ``finish`` waits for its answer."""
        return self._call("execute_cell", source=source, **({"session": session} if session else {}))

    def finish(self, request_id: int) -> str:
        """Wait for a cell that nothing else is waited for with, and return the text of its answer."""
        return _checked(self._answer(request_id))

    def answer(self, request_id: int) -> str:
        """The text of its answer, whatever came of the cell."""
        return "\n".join(block.get("text", "") for block in self._answer(request_id)["content"])

    def control(self, action: str) -> str:
        """What ``control_kernel`` says to an action."""
        return self.answer(self._call("control_kernel", action=action))

    def run(self, source: str, sessions: Sequence[str], cells: int) -> None:
        """So many cells in each session, all sessions at once: the next is sent when one is answered."""
        waiting = {self.begin(source, session): (session, cells - 1) for session in sessions}
        while waiting:
            message = self._read()
            session, left = waiting.pop(message["id"])
            _checked(message["result"])
            if left:
                waiting[self.begin(source, session)] = (session, left - 1)

    def _call(self, tool: str, **arguments: Any) -> int:
        return self._send("tools/call", name=tool, arguments=arguments)

    def _send(self, method: str, **params: Any) -> int:
        self._sent += 1
        self._write({"jsonrpc": "2.0", "id": self._sent, "method": method, "params": params})
        return self._sent

    def _write(self, message: dict[str, Any]) -> None:
        self._writing.write(json.dumps(message).encode() + b"\n")
        self._writing.flush()

    def _answer(self, request_id: int) -> Any:
        message = self._read()
        if message["id"] != request_id:
            raise RuntimeError(f"An answer to {request_id} was expected: {message}")
        return message["result"]

    def _read(self) -> dict[str, Any]:
        """The next answer; notifications are passed over."""
        while line := self._reading.readline():
            message: dict[str, Any] = json.loads(line)
            if "id" in message:
                return message
        raise RuntimeError("The server has ended.")


@contextmanager
def spawn(place: Place, *, agent: str | None = None) -> Iterator[RawMcp]:
    """Through ``mcp-notebook`` as a process, a relay, ended with its input."""
    command = [str(COMMAND), "--workspace", str(place.workspace), *(["--agent", agent] if agent else [])]
    with subprocess.Popen(command, env=place.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield RawMcp(process.stdout, process.stdin, process.pid)


@contextmanager
def connect(place: Place, *, agent: str | None = None) -> Iterator[RawMcp]:
    """On the socket of a server that runs, with the first line that a relay sends."""
    who = {"mcp_notebook": 1, "kind": "relay", "version": __version__, "pid": os.getpid(), "lease": None, "resent": []}
    where = {"workspace": str(place.workspace), "agent": agent, "environment": place.environment}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(place.settings.sockets / SOCKET))
        with connection.makefile("rb") as reading, connection.makefile("wb") as writing:
            writing.write(json.dumps(who | where).encode() + b"\n")
            writing.flush()
            answer = json.loads(reading.readline())
            if "error" in answer:
                raise RuntimeError(f"The server does not serve us: {answer['error']}")
            yield RawMcp(reading, writing)


def _checked(result: dict[str, Any]) -> str:
    text = str(result["content"][0]["text"])
    if result.get("isError") or "] ok " not in text[:20]:
        raise RuntimeError(f"A cell that should be ok was not: {text[:500]}")
    return text
