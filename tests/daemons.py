"""The server process of a user of the tests' own, and clients of it without a relay between."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import hermes_runtime
import mcp_notebook
from mcp_notebook.control import command
from mcp_notebook.settings import Settings, load
from tests.conftest import environment_of

WITHIN_S = 30.0
HANDSHAKE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}


class User:
    """Somebody with a state directory, a workspace and a socket directory of his own."""

    def __init__(self, base: Path, **variables: str) -> None:
        self.environment = environment_of(base) | variables
        self.workspace = base / "workspace"
        self.workspace.mkdir(exist_ok=True)
        self.settings: Settings = load(self.environment, workspace=self.workspace)
        self.server: subprocess.Popen[bytes] | None = None
        self._clients: list[Client] = []

    def start_server(self, *arguments: str) -> subprocess.Popen[bytes]:
        """``mcp-notebook serve``, once it listens."""
        if self.server is not None:  # it was killed
            self.server.wait()
        self.settings.home.mkdir(parents=True, exist_ok=True)
        log = (self.settings.home / "test-server.log").open("ab")
        with log:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "mcp_notebook", "serve", *arguments],
                env=self.environment,
                cwd=self.workspace,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(lambda: self.accepts() or self.server is None or self.server.poll() is not None)
        assert self.server.poll() is None, self.log()
        return self.server

    def accepts(self) -> bool:
        """Whether a server listens."""
        with socket.socket(socket.AF_UNIX) as tried:
            try:
                tried.connect(str(self.settings.sockets / "daemon.sock"))
            except OSError:
                return False
        return True

    def log(self) -> str:
        """What the server wrote."""
        return (self.settings.home / "test-server.log").read_text()

    def kill_server(self) -> None:
        """-9."""
        assert self.server is not None
        self.server.kill()
        self.server.wait()

    def status(self) -> dict[str, Any]:
        """What the running server says of itself."""
        found = command(self.settings, "status")
        assert found is not None, "no server runs"
        return found

    def kill_running_server(self) -> None:
        """-9, whoever started it."""
        process = psutil.Process(self.status()["pid"])
        process.kill()
        psutil.wait_procs([process], timeout=WITHIN_S)

    def connect(self, **hello: Any) -> "Client":
        """A client that has greeted, as a relay does."""
        client = Client(self, **hello)
        self._clients.append(client)
        return client

    def command(self, name: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """``mcp-notebook NAME ...``."""
        return subprocess.run(
            [sys.executable, "-m", "mcp_notebook", name, *arguments],
            env=self.environment,
            cwd=self.workspace,
            capture_output=True,
            text=True,
            check=False,
        )

    def processes(self) -> list[psutil.Process]:
        """All that were started for this user and live: servers, keepers, kernels."""
        return processes_of(str(self.settings.home), str(self.settings.sockets))

    def end(self) -> None:
        """Kill everything."""
        for client in self._clients:
            client.close()
        for process in self.processes():
            process.send_signal(signal.SIGKILL)
        if self.server is not None:
            self.server.wait()
        shutil.rmtree(self.settings.sockets, ignore_errors=True)


class Client:
    """One connection in the handshake era; requests are answered in order or matched by id."""

    def __init__(self, user: User, **hello: Any) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(WITHIN_S)
        self._socket.connect(str(user.settings.sockets / "daemon.sock"))
        self._lines = self._socket.makefile("rb")
        greeting = {"mcp_notebook": 1, "kind": "relay", "version": "0.1.0", "pid": os.getpid()}
        greeting |= {"workspace": str(user.workspace), "agent": None, "environment": user.environment, "lease": None}
        self.send(greeting | hello)
        self.greeted = self.receive()
        self._number = 0

    def wait_for(self, seconds: float) -> None:
        """How long an answer may take."""
        self._socket.settimeout(seconds)

    def send(self, message: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise EOFError
        answer: dict[str, Any] = json.loads(line)
        return answer

    def initialize(self, client_name: str = "test") -> None:
        info = {"name": client_name, "version": "1"}
        self.request("initialize", HANDSHAKE | {"clientInfo": info})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def request(self, method: str, parameters: dict[str, Any], request_id: int | None = None) -> dict[str, Any]:
        number = self.begin(method, parameters, request_id)
        return self.answer(number)

    def begin(self, method: str, parameters: dict[str, Any], request_id: int | None = None) -> int:
        self._number += 1
        number = self._number if request_id is None else request_id
        self.send({"jsonrpc": "2.0", "id": number, "method": method, "params": parameters})
        return number

    def answer(self, number: int) -> dict[str, Any]:
        while True:
            message = self.receive()
            if message.get("id") == number:
                return message

    def call(self, tool: str, **arguments: Any) -> str:
        """The text of a tool's result."""
        answer = self.request("tools/call", {"name": tool, "arguments": arguments})
        return text_of(answer)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


def processes_of(home: str, sockets: str) -> list[psutil.Process]:
    """All that live with this state directory or these sockets, but the one that asks."""
    found = []
    for process in psutil.process_iter():
        try:
            mine = process.environ().get("MCP_NOTEBOOK_HOME") == home or sockets in " ".join(process.cmdline())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if mine and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def text_of(answer: dict[str, Any]) -> str:
    """All text of a result, or of an error."""
    if "error" in answer:
        return str(answer["error"]["message"])
    return "\n".join(block.get("text", "") for block in answer["result"]["content"])


def build(place: Path, version: str) -> Path:
    """A second build of the product in ``place``, for PYTHONPATH, with another version number."""
    for package in (mcp_notebook, hermes_runtime):
        source = Path(package.__file__ or "").parent
        shutil.copytree(source, place / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    init = place / "mcp_notebook" / "__init__.py"
    init.write_text(init.read_text().replace(f'"{mcp_notebook.__version__}"', f'"{version}"'))
    return place


def wait_until(claim: Any, within_s: float = WITHIN_S) -> None:
    """Return when ``claim`` gives something true."""
    until = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < until, f"{claim} did not come true"
        time.sleep(0.02)


@contextmanager
def user(base: Path, **variables: str) -> Iterator[User]:
    """A user of whom nothing is left afterwards."""
    somebody = User(base, **variables)
    try:
        yield somebody
    finally:
        somebody.end()
        shutil.rmtree(somebody.settings.sockets, ignore_errors=True)
