"""The main job, told as it happens: real clients, a live notebook, and checks by other people's tools.

The clients are processes of their own on the MCP SDK, and they start the server the way that any client does. The
data is what lies in ``data/``. Server, sessions and kernels are of this demo alone: their state is in a directory
below its own, and both are gone at the end.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

from mcp_notebook.demo import aftermath
from mcp_notebook.demo.checks import check
from mcp_notebook.demo.story import DATA, NOTEBOOK, PLOT, SOURCE
from mcp_notebook.demo.telling import DemoFailed, tell

__all__ = ["main"]

NEEDED = ("pandas", "matplotlib", "nbclient")
HOME = ".mcp-notebook"
"""The state directory, in the demo's directory."""


def main(directory: Path | None = None) -> int:
    """Play the story in ``directory`` (``out/demo`` below the current one); the exit code of a program."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        tell(f"The demo also needs {', '.join(missing)}. Install them with:")
        tell(f"  {sys.executable} -m pip install matplotlib nbclient pandas")
        return 1
    workspace = (directory or Path("out") / "demo").resolve()
    try:
        _prepare(workspace)
        _play(workspace)
        check(workspace)
    except DemoFailed as exc:
        tell(f"\nThe demo stopped: {exc}")
        return 1
    tell(f"\nThe files are in {workspace}:")
    for path in sorted(workspace.iterdir()):
        tell(f"  {path.name:24}{path.stat().st_size:>9,} bytes")
    return 0


def _prepare(workspace: Path) -> None:
    try:
        workspace.mkdir(parents=True, exist_ok=True)
        aftermath.end_all(workspace / HOME)  # of a demo that was killed
        for name in (NOTEBOOK, SOURCE, PLOT):
            (workspace / name).unlink(missing_ok=True)
        shutil.copyfile(str(files("mcp_notebook") / "data" / DATA), workspace / DATA)
    except OSError as exc:
        raise DemoFailed(f"{workspace} cannot be written ({exc.strerror}). Name another directory.") from exc


def _play(workspace: Path) -> None:
    """Two clients, one after the other; the first one does not live to say goodbye."""
    home = workspace / HOME
    try:
        _client("first", workspace, ends=-signal.SIGKILL)
        _client("second", workspace, ends=0)
        aftermath.stop_sessions(home)
    finally:
        aftermath.end_all(home)


def _client(part: str, workspace: Path, *, ends: int) -> None:
    """Play a part in a process of its own, which ends with this exit code or has said why not."""
    environment = os.environ | {"MCP_NOTEBOOK_HOME": str(workspace / HOME)}
    command = [sys.executable, "-m", "mcp_notebook.demo.client", part, str(workspace)]
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode != ends:
        raise DemoFailed(done.stderr.strip() or f"the {part} client ended with exit code {done.returncode}.")
