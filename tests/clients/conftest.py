"""The server that every client of this directory starts, and how their scripts are run."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.daemons import User, user

WITHIN_S = 90


@dataclass(frozen=True)
class Server:
    """What a client's configuration says of us."""

    command: str
    args: tuple[str, ...]
    environment: dict[str, str]
    workspace: Path

    def as_json(self) -> str:
        """For the scripts, which take it as their first argument."""
        return json.dumps({"command": self.command, "args": self.args, "env": self.environment})


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    """A user of whom no process is left after the test."""
    with user(tmp_path) as somebody:
        yield somebody


@pytest.fixture(params=[(), ("--embedded",)], ids=["relay", "embedded"])
def server(request: pytest.FixtureRequest, somebody: User) -> Server:
    """A server of its own, behind a relay or in one process: workspace and state are directories of this test."""
    return Server(
        command=sys.executable,
        args=("-m", "mcp_notebook", *request.param, "--workspace", str(somebody.workspace)),
        environment={"MCP_NOTEBOOK_HOME": str(somebody.settings.home)},
        workspace=somebody.workspace,
    )


def outcome(command: Sequence[object], **environment: str) -> Any:
    """Run a client's script and give the JSON that it prints as its last line.

    What else it printed is in the failure's message when it does not get that far.
    """
    done = finished(command, **environment)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def finished(command: Sequence[object], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a client to its end, without a terminal, and give what it printed."""
    return subprocess.run(
        [str(word) for word in command],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
