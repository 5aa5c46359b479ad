"""A relay as a client has it, and the stand-in daemons that it meets: processes, all files below one directory."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mcp_notebook import relay
from tests.conftest import environment_of
from tests.environments import REPOSITORY

Message = dict[str, Any]
WITHIN_S = 60
ON_DEMAND = """\
import sys
if "serve" in sys.orig_argv:
    sys.path.insert(0, {repository!r})
    from tests.standin import main
    main({directory!r}, {record!r}, "on demand")
"""
"""A sitecustomize.py by which ``mcp-notebook serve`` is the stand-in."""


class Relay:
    """The process, its pipes, and JSON on them."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = process
        self._next_id = 0

    def write(self, line: bytes) -> None:
        """One line, as it is."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()

    def send(self, **message: Any) -> None:
        """One JSON-RPC message."""
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode())

    def request(self, method: str, **params: Any) -> int:
        """Send a request and return its id."""
        self._next_id += 1
        self.send(id=self._next_id, method=method, params=params)
        return self._next_id

    def tool(self, name: str, **arguments: Any) -> int:
        """Send a call of a tool and return its id."""
        return self.request("tools/call", name=name, arguments=arguments)

    def receive(self) -> Message:
        """The next message."""
        assert self.process.stdout is not None
        message = json.loads(self.process.stdout.readline())
        assert isinstance(message, dict)
        return message

    def answer(self, request: int) -> str:
        """The text of the next message, which answers this request."""
        message = self.receive()
        assert message["id"] == request
        return text_of(message)

    def shake_hands(self) -> None:
        """Begin the handshake era."""
        request = self.request("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t"})
        assert "initialize" in self.answer(request)
        self.send(method="notifications/initialized")


class Bench:
    """Starts relays and daemons below ``base``."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.environment = environment_of(base)
        self.directory = Path(relay.socket_directory(self.environment))
        self.record = base / "record"
        self.record.touch()
        self._daemons: list[subprocess.Popen[bytes]] = []
        self._relays: list[Relay] = []

    def daemon(self, life: str = "one", version: str = "0.1.0", **environment: str) -> "subprocess.Popen[bytes]":
        """A stand-in that listens."""
        command = [sys.executable, "-m", "tests.standin", str(self.directory), str(self.record), life, version]
        self.directory.parent.mkdir(mode=0o700, exist_ok=True)
        daemon = subprocess.Popen(command, cwd=REPOSITORY, env={**os.environ, **environment})
        self._daemons.append(daemon)
        self.until(lambda: daemon.pid in self.listening())
        return daemon

    def relay(self, *arguments: str, **options: Any) -> Relay:
        """A relay with pipes."""
        command = [sys.executable, "-m", "mcp_notebook", *(arguments or ("--workspace", str(self.base)))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "cwd": self.base}
        process: subprocess.Popen[bytes] = subprocess.Popen(command, **{**pipes, "env": self.environment, **options})
        self._relays.append(Relay(process))
        return self._relays[-1]

    def start_on_demand(self) -> None:
        """Let ``mcp-notebook serve`` be the stand-in for relays from now on."""
        source = ON_DEMAND.format(repository=str(REPOSITORY), directory=str(self.directory), record=str(self.record))
        (self.base / "sitecustomize.py").write_text(source)
        self.environment["PYTHONPATH"] = str(self.base)

    def records(self) -> list[Message]:
        """All that the daemons have written down."""
        return [json.loads(line) for line in self.record.read_text().splitlines()]

    def listening(self) -> list[int]:
        """The process ids of all that have listened."""
        return [record["listening"] for record in self.records() if "listening" in record]

    def hellos(self) -> list[Message]:
        """The first lines that the daemons got."""
        return [record["hello"] for record in self.records() if "hello" in record]

    def messages(self, life: str) -> list[Message]:
        """What one life of the daemon got after the first lines."""
        lines = [record["line"] for record in self.records() if "line" in record and record["life"] == life]
        return [json.loads(line) if line.startswith("{") else {"line": line} for line in lines]

    def got(self, method: str, life: str) -> list[Message]:
        """The messages of this method that one life got."""
        return [message for message in self.messages(life) if message.get("method") == method]

    def until(self, holds: Any) -> None:
        """Wait for it; the test fails when it stays untrue."""
        end = time.monotonic() + WITHIN_S
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.005)

    def close(self) -> None:
        """End all that runs."""
        for each in self._relays:
            each.process.kill()
            with each.process:
                pass
        for daemon in self._daemons:
            daemon.kill()
            daemon.wait()
        for pid in set(self.listening()) - {daemon.pid for daemon in self._daemons}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


def text_of(message: Message) -> str:
    """The text of a tool's result, or of an error."""
    if "error" in message:
        return str(message["error"]["message"])
    return str(message["result"]["content"][0]["text"])


@contextmanager
def bench(base: Path) -> Iterator[Bench]:
    """A bench, with nothing left running behind it."""
    bench = Bench(base)
    try:
        yield bench
    finally:
        bench.close()
