"""A real relay on the pipes of a test, and the server that it finds or starts."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from tests.daemons import HANDSHAKE, User, text_of


class Relay:
    """An MCP client of the handshake era, as a program that starts ``mcp-notebook`` is one."""

    def __init__(self, user: User, *arguments: str, before: Sequence[str] = (), **variables: str) -> None:
        """``before`` is a command that starts it."""
        self.process = subprocess.Popen(
            [*before, sys.executable, "-m", "mcp_notebook", "--workspace", str(user.workspace), *arguments],
            env=user.environment | variables,
            cwd=user.workspace,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._answers: dict[object, dict[str, Any]] = {}
        self._number = 0

    def initialize(self, client_name: str = "test") -> None:
        self.request("initialize", HANDSHAKE | {"clientInfo": {"name": client_name, "version": "1"}})
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def begin(self, method: str, parameters: dict[str, Any]) -> int:
        self._number += 1
        self.send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": parameters})
        return self._number

    def answer(self, number: int) -> dict[str, Any]:
        assert self.process.stdout is not None
        while number not in self._answers:
            line = self.process.stdout.readline()
            if not line:
                raise EOFError("the relay has ended")
            message = json.loads(line)
            self._answers[message.get("id")] = message
        return self._answers.pop(number)

    def request(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        return self.answer(self.begin(method, parameters))

    def call(self, tool: str, **arguments: Any) -> str:
        """The text of a tool's result."""
        return text_of(self.request("tools/call", {"name": tool, "arguments": arguments}))

    def close(self) -> None:
        """As a client that ends: it closes the pipe and waits."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def kill(self) -> None:
        """-9."""
        self.process.kill()
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.close()


class Relays:
    """Relays of one user."""

    def __init__(self, user: User) -> None:
        self._user = user
        self._started: list[Relay] = []

    def start(self, *arguments: str, client_name: str = "test", **options: Any) -> Relay:
        """One whose client has shaken hands."""
        relay = Relay(self._user, *arguments, **options)
        self._started.append(relay)
        relay.initialize(client_name)
        return relay

    def end(self) -> None:
        """Of those that still run."""
        for relay in self._started:
            if relay.process.poll() is None:
                relay.kill()


@contextmanager
def relays(user: User) -> Iterator[Relays]:
    """None of them runs afterwards."""
    started = Relays(user)
    try:
        yield started
    finally:
        started.end()
