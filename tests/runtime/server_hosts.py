"""A session for ``Servers`` with a configuration of a test's choice, and the servers that tests configure."""

import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from mcp_notebook.policy import Policy
from mcp_notebook.runtime.servers import Servers
from tests.environments import environment
from tests.runtime import handshake_server, odd_server

FILE = ".mcp.json"
WITHIN_S = 60
ODD = {"command": sys.executable, "args": [odd_server.__file__]}
"""Every kind of tool, on the SDK; 2026-07-28."""
HANDSHAKE = {"command": sys.executable, "args": [handshake_server.__file__]}
"""Of the handshake era, and hangs up on anything else."""
SILENT = {"command": "sleep", "args": ["600"]}


@dataclass
class SessionHost:
    """The part of a session that servers need; nobody answers questions."""

    workspace: Path
    directory: Path
    environment: Mapping[str, str]
    credentials: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=lambda: Policy(mcp_servers=FILE))

    async def ask(self, question: str, schema: Mapping[str, Any]) -> Any:
        """Nobody is there."""
        raise AssertionError(f"servers ask nobody, and asked {question!r}")

    def notebook(self) -> dict[str, Any]:
        """There is none."""
        raise AssertionError("servers want no notebook")

    def configure(self, **servers: object) -> None:
        """Write the file, so that it is seen to have changed."""
        self.write(json.dumps({"mcpServers": servers}))

    def write(self, text: str) -> None:
        """As the file; always a new one, for a clock that is slower than a test."""
        new = self.workspace / f"{FILE}.new"
        new.write_text(text)
        new.replace(self.workspace / FILE)


def host_in(base: Path, **policy: Any) -> SessionHost:
    """A session whose files all lie below ``base``."""
    for name in ("workspace", "directory"):
        (base / name).mkdir()
    given = {"PATH": os.environ["PATH"], "HOME": str(base), "LANG": "C.UTF-8"}
    return SessionHost(
        base.resolve() / "workspace", base / "directory", given, policy=Policy(mcp_servers=FILE, **policy)
    )


@asynccontextmanager
async def servers_of(host: SessionHost, **options: Any) -> AsyncIterator[Servers]:
    """Ended after the test, which may not take longer than ``WITHIN_S``."""
    with anyio.fail_after(WITHIN_S):
        servers = Servers(host, **options)
        try:
            yield servers
        finally:
            await servers.aclose()


def program(name: str) -> str:
    """A server from PyPI."""
    return str(environment("servers") / "bin" / name)


def node_server(name: str, *args: str) -> dict[str, Any]:
    """A server from npm."""
    programs = environment("node") / "node_modules" / ".bin"
    return {"command": str(programs / "node"), "args": [str(programs / name), *args]}


def text_of(answer: Mapping[str, Any]) -> str:
    """The text blocks of an answer that is no error."""
    text = "\n".join(block["text"] for block in answer["content"] if block["type"] == "text")
    assert not answer["is_error"], text
    return text
