"""Somebody at work with one client, whatever becomes of its parts."""

import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_notebook.tokens import FILE
from tests.daemons import User, user
from tests.reliability.clients import Program

STDIO, HTTP = "stdio", "HTTP"
MOMENTS = IDLE, IN_A_CELL = "idle", "in a cell"
ERAS = {"legacy": "handshake", "auto": "2026-07-28"}


@dataclass(frozen=True)
class Column:
    """Its heading, in parts."""

    transport: str
    era: str
    """As ``mcp.Client`` is told it."""
    moment: str

    def __str__(self) -> str:
        return f"{self.transport} {ERAS[self.era]}, {self.moment}"


COLUMNS = tuple(Column(transport, era, moment) for transport in (STDIO, HTTP) for era in ERAS for moment in MOMENTS)

GO_ON = [Column(HTTP, "auto", IDLE)]


class Desk:
    """The user, the client that he has at present, and the session that it works in."""

    def __init__(self, somebody: User, column: Column) -> None:
        self.user = somebody
        self._column = column
        self._handle: dict[str, str] = {}
        self._where: dict[str, Any] = {}
        self._port = _free_port()
        self._log = somebody.workspace.parent / "clients.log"
        self.programs: list[Program] = []

    @property
    def client(self) -> Program:
        """The present client."""
        return self.programs[-1]

    def sit_down(self) -> None:
        """A client that is connected and has a session."""
        self.start_server()
        self._where = {"era": self._column.era} | (self._over_http() if self._listens else self._by_relay())
        self.start_client()
        if self._listens:
            self._handle = {"session": json.loads(self.client.call("open_session"))["session"]}

    @property
    def _listens(self) -> bool:
        return self._column.transport == HTTP

    def start_server(self) -> None:
        """Over HTTP somebody must: a service manager. A relay does it itself."""
        if self._listens:
            if self.user.server is not None:
                self.user.server.wait()
            self.user.start_server("--http", f"127.0.0.1:{self._port}")

    def start_client(self) -> None:
        """A new process, which connects."""
        self.programs.append(Program(self._where, self._log))
        self.client.connect()

    def connect_again(self) -> None:
        """The living client, where it has to: an idle one of 2026-07-28 has no connection over HTTP to lose."""
        if self._column not in GO_ON:
            self.client.connect()

    def begin(self, tool: str, **arguments: Any) -> int:
        """Call it, and wait for the answer another time."""
        return self.client.begin(tool, **arguments, **self._handle)

    def call(self, tool: str, **arguments: Any) -> str:
        """The text of its answer."""
        return self.client.answer(self.begin(tool, **arguments))

    def run(self, source: str) -> str:
        """The first line that a cell gives."""
        return "".join(self.call("execute_cell", source=source).splitlines()[1:2])

    def _by_relay(self) -> dict[str, Any]:
        arguments = ["-m", "mcp_notebook", "--workspace", str(self.user.workspace), "--agent", "somebody"]
        return {"command": sys.executable, "arguments": arguments, "environment": self.user.environment}

    def _over_http(self) -> dict[str, Any]:
        token = (self.user.settings.home / FILE).read_text().strip()
        return {"url": f"http://127.0.0.1:{self._port}/mcp", "token": token}


@contextmanager
def desk(base: Path, column: Column) -> Iterator[Desk]:
    """Nothing of it is left afterwards."""
    with user(base) as somebody:
        it = Desk(somebody, column)
        try:
            it.sit_down()
            yield it
        finally:
            for program in it.programs:
                program.close()


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port
