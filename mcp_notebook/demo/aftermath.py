"""The end of the demo: its sessions stopped as a user stops them, and then nothing left of it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from mcp_notebook.control import command
from mcp_notebook.demo.telling import DemoFailed, indented, tell
from mcp_notebook.errors import NotebookError
from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.kept import discard, kept_kernels
from mcp_notebook.settings import Settings, load

CLIENT = "client.json"
"""In the state directory: the process of the client that plays now."""
ENDED_WITHIN_S = 10.0
LOOK_AGAIN_S = 0.02


def stop_sessions(home: Path) -> None:
    """What is told at the end of the story."""
    tell("\nNo client is left, the session waits for the next one. It is ended by hand.\n")
    tell("$ mcp-notebook sessions stop --all")
    done = subprocess.run(
        [sys.executable, "-m", "mcp_notebook", "sessions", "stop", "--all"],
        env=_environment(home),
        capture_output=True,
        text=True,
        check=False,
    )
    tell(indented(done.stdout))
    if done.returncode:
        raise DemoFailed(f"the sessions could not be stopped: {done.stderr}")


def end_all(home: Path) -> None:
    """End server, kernels and their keeper, however the story went, and remove what they kept."""
    if not home.exists():
        return
    settings = load(_environment(home))
    _end_client(home / CLIENT)
    _end_server(settings)
    for kernel in kept_kernels(settings.sockets):
        discard(kernel.directory)
    _end_keeper(settings.sockets / "keeper.sock")
    shutil.rmtree(settings.sockets, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)


def _environment(home: Path) -> dict[str, str]:
    return os.environ | {"MCP_NOTEBOOK_HOME": str(home)}


def _end_client(path: Path) -> None:
    """One whose demo was killed; its relay ends with it."""
    try:
        client = ProcessId.from_data(json.loads(path.read_bytes()))
    except (OSError, ValueError):
        return
    if client is not None:
        client.send_signal(signal.SIGKILL)


def _end_server(settings: Settings) -> None:
    until = time.monotonic() + ENDED_WITHIN_S
    while time.monotonic() < until:
        try:
            if command(settings, "hand_over") is None:
                return
        except (NotebookError, OSError):  # it is ending
            pass
        time.sleep(LOOK_AGAIN_S)


def _end_keeper(path: Path) -> None:
    """Ask until it agrees, which it does when it has seen the last kernel's end, and is gone."""
    until = time.monotonic() + ENDED_WITHIN_S
    while path.exists() and time.monotonic() < until:
        with socket.socket(socket.AF_UNIX) as keeper:
            try:
                keeper.connect(str(path))
                keeper.sendall(b'{"stop": 1}\n')
                keeper.recv(1 << 16)
            except OSError:
                return
        time.sleep(LOOK_AGAIN_S)
