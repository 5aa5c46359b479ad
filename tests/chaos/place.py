"""Where a chaos run happens: a user with a daemon that listens, and two small disks that can be filled."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psutil

from mcp_notebook.errors import BadRequest
from tests.chaos import witness
from tests.daemons import User, wait_until

DISKS = ("state", "workspace")
FILLER = ".filler"
SETTINGS = "spill_over_chars = 40000\nidle_exit_s = 600\n"
CHUNK = 1 << 20


class Place:
    """All files of it lie below ``base``; ``base/state`` and ``base/workspace`` should be small disks of their own."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.cells = base / "cells"
        self.cells.mkdir()
        shutil.copy(witness.__file__, self.cells / "witness.py")
        self.user = User(base, PYTHONPATH=str(self.cells))
        self.user.settings.home.mkdir(mode=0o700, exist_ok=True)
        (self.user.settings.home / "settings.toml").write_text(SETTINGS)
        self.port = _free_port()
        self._servers: list[subprocess.Popen[bytes]] = []

    def listens(self) -> bool:
        """Whether somebody accepts connections over HTTP."""
        with socket.socket() as tried:
            return tried.connect_ex(("127.0.0.1", self.port)) == 0

    def serve(self) -> None:
        """A daemon over HTTP, as a service manager has it; one that runs already is told to listen there."""
        wait_until(self._serves, 120)

    def _serves(self) -> bool:
        """Whether it is so now; if not, it has been tried."""
        if self.listens():
            return True
        with (self.base / "server.log").open("ab") as log:
            command = [sys.executable, "-m", "mcp_notebook", "serve", "--http", f"127.0.0.1:{self.port}"]
            process = subprocess.Popen(
                command,
                env=self.user.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._servers.append(process)
        wait_until(lambda: self.listens() or process.poll() is not None, 60)
        return self.listens()  # else a daemon was about to end, or another one has just begun

    def daemon(self) -> psutil.Process | None:
        """The process that listens."""
        try:
            pid = int((self.user.settings.sockets / "daemon.lock").read_text())
            process = psutil.Process(pid)
            return process if "serve" in process.cmdline() else None
        except (OSError, ValueError, psutil.Error):
            return None

    def keeper(self) -> psutil.Process | None:
        """The kernels' parent."""
        return next((p for p in self.user.processes() if any("keeper.py" in word for word in p.cmdline())), None)

    def status(self) -> dict[str, dict[str, object]]:
        """What the daemon says of each session, by handle; empty when it says nothing."""
        try:
            return {each["session"]: each for each in self.user.status()["sessions"]}
        except (AssertionError, BadRequest, OSError):
            return {}

    def reap(self) -> None:
        """Take note of servers of ours that have ended."""
        for process in self._servers:
            process.poll()

    def fill(self, disk: str) -> None:
        """Until nothing can be written any more."""
        with (self.base / disk / FILLER).open("ab", buffering=0) as file:
            for size in (CHUNK, 4096, 1):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError as exc:
                    if exc.errno != errno.ENOSPC:
                        raise

    def empty(self, disk: str) -> None:
        """There is room again."""
        (self.base / disk / FILLER).unlink(missing_ok=True)

    def has_disks(self) -> bool:
        """Whether filling one concerns nobody else."""
        return all(os.path.ismount(self.base / disk) for disk in DISKS)

    def close(self) -> None:
        """Kill everything."""
        self.user.end()
        for process in self._servers:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        port: int = tried.getsockname()[1]
        return port
