"""The clients of a chaos run: of both transports and both eras, killed and started again at any time.

``d`` works in the session of ``a``, over HTTP of 2026-07-28, where possession of the handle is what counts.
"""

import json
import sys
from pathlib import Path
from typing import Any

import psutil

from mcp_notebook.tokens import FILE
from tests.chaos.steps import ACTORS
from tests.daemons import User
from tests.reliability.clients import NoAnswer, Program

STDIO, HTTP = "stdio", "HTTP"
TRANSPORT = {"a": STDIO, "b": STDIO, "c": HTTP, "d": HTTP}
ERA = {"a": "legacy", "b": "auto", "c": "legacy", "d": "auto"}
SESSION = {"a": "A", "b": "B", "c": "C", "d": "A"}
OWNER = {"A": "a", "B": "b", "C": "c"}
assert set(TRANSPORT) == set(ACTORS)


class Actor:
    """One client, whichever process it is at present."""

    def __init__(self, name: str, user: User, port: int, log: Path) -> None:
        self.name = name
        self.session = SESSION[name]
        self.listens = TRANSPORT[name] == HTTP
        self.must_connect = True
        """Its connection is gone, and it has to make a new one."""
        self.program: Program | None = None
        self.past: list[Program] = []
        self._user = user
        self._port = port
        self._log = log
        self._relay: psutil.Process | None = None

    @property
    def cancels_by_its_end(self) -> bool:
        """Whether the end of the client cancels the calls that wait."""
        return self.listens and ERA[self.name] == "auto"

    def connect(self) -> None:
        """Be connected, in a new process if the last one was killed. Raises NoAnswer."""
        if self.program is None:
            self.program = Program(self._where(), self._log)
        self.program.connect()
        self.must_connect = False
        if not self.listens:
            self._relay = psutil.Process(self.program.relay())

    def process(self) -> psutil.Process | None:
        """The client's own."""
        return psutil.Process(self.program.process.pid) if self.program is not None else None

    def relay(self) -> psutil.Process | None:
        """The relay that it started last."""
        return self._relay if self._relay is not None and self._relay.is_running() else None

    def gone(self) -> None:
        """The process was killed."""
        if self.program is not None:
            self.program.close()
            self.past.append(self.program)
        self.program, self.must_connect = None, True

    def close(self) -> None:
        """End it for good."""
        self.gone()

    def _where(self) -> dict[str, Any]:
        era = {"era": ERA[self.name]}
        if self.listens:
            token = (self._user.settings.home / FILE).read_text().strip()
            return era | {"url": f"http://127.0.0.1:{self._port}/mcp", "token": token}
        arguments = ["-m", "mcp_notebook", "--workspace", str(self._user.workspace), "--agent", f"agent-{self.name}"]
        return era | {"command": sys.executable, "arguments": arguments, "environment": self._user.environment}


def session_of(actor: Actor) -> str:
    """The handle of the session that it opens or goes on with. Raises NoAnswer."""
    assert actor.program is not None
    try:
        opened = json.loads(actor.program.call("open_session"))
    except ValueError as exc:
        raise NoAnswer(f"open_session gave no JSON ({exc})") from exc
    return str(opened["session"])
