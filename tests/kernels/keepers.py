"""A real keeper for a test, spoken to as its protocol has it, and what it leaves behind."""

import fcntl
import json
import os
import platform
import re
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.keeping import SCRIPT
from tests.kernels.cells import WITHIN_S

IDLE_S = 0.3
"""So long a keeper stays that nobody needs: a test waits for the end of it."""

SYSTEM_TELLS_ENDS = sys.platform == "linux" and tuple(map(int, re.findall(r"\d+", platform.release())[:2])) >= (6, 15)
"""Whether how a process ended can be had without its parent."""


class Talk:
    """One connection to the keeper of a directory."""

    def __init__(self, sockets: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(WITHIN_S)
        self._socket.connect(str(sockets / "keeper.sock"))
        self._answers = self._socket.makefile("rb")

    def send(self, text: bytes) -> None:
        self._socket.sendall(text)

    def read(self) -> dict[str, Any]:
        answer = json.loads(self._answers.readline())
        assert isinstance(answer, dict)
        return answer

    def ask(self, **request: object) -> dict[str, Any]:
        self.send(json.dumps(request).encode() + b"\n")
        return self.read()

    def start(self, directory: Path, *argv: str, **others: object) -> dict[str, Any]:
        """A program that runs in ``directory``, writes to ``log`` in it, and whose end is in ``end.json`` of it."""
        places = {"cwd": str(directory), "log": f"{directory}/log", "record": f"{directory}/end.json"}
        asked = {"argv": argv, "environment": {"PATH": os.environ["PATH"]}, **places, **others}
        return self.ask(start=asked)

    def identity(self) -> ProcessId:
        found = ProcessId.from_data(self.ask(hello=1))
        assert found is not None
        return found

    def close(self) -> None:
        self._answers.close()
        self._socket.close()


def launch(sockets: Path, idle_s: float = IDLE_S) -> "subprocess.Popen[bytes]":
    """Start the script; it returns when a keeper listens."""
    return subprocess.Popen([sys.executable, "-I", "-S", SCRIPT, sockets, sockets / "keeper.log", str(idle_s)])


@contextmanager
def talking(sockets: Path, idle_s: float = IDLE_S) -> Iterator[Talk]:
    """A keeper of ``sockets``, started if there is none."""
    assert launch(sockets, idle_s).wait(WITHIN_S) == 0
    talk = Talk(sockets)
    try:
        yield talk
    finally:
        talk.close()


def await_end(identity: ProcessId) -> None:
    """Return when the process has ended and was waited for, or is nobody's any more."""
    descriptor = identity.open_descriptor()
    if descriptor is not None:
        try:
            assert select.select([descriptor], [], [], WITHIN_S)[0], "it still lives"
        finally:
            os.close(descriptor)


def read_end(talk: Talk, directory: Path) -> dict[str, Any]:
    """What the keeper wrote of a process that has ended: it does so before it answers anything else."""
    while not (directory / "end.json").exists():
        talk.ask(hello=1)
    end = json.loads((directory / "end.json").read_text())
    assert isinstance(end, dict)
    return end


def is_locked(sockets: Path) -> bool:
    """Whether a keeper of ``sockets`` lives."""
    with (sockets / "keeper.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def make_places(base: Path) -> None:
    """Directories in which no keeper may listen, or none can."""
    for name, mode in (("real", 0o700), ("open", 0o755), ("blocked", 0o700)):
        (base / name).mkdir()
        (base / name).chmod(mode)
    (base / "link").symlink_to(base / "real")
    (base / "file").write_text("")
    (base / "blocked" / "keeper.lock").mkdir()
