"""Where a benchmark runs: directories of its own, and nothing left of it at the end."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mcp_notebook.kernels.keeping import SCRIPT as KEEPER
from mcp_notebook.settings import Settings, load
from tests.bench.processes import command_line, kill_marked, marked
from tests.conftest import environment_of

MARK = "MCP_NOTEBOOK_HOME"
"""The variable by which the processes of a benchmark are known: it holds a directory of this run. The keeper has
none, but the directory of the sockets among its arguments."""


@dataclass(frozen=True)
class Place:
    """A home, a workspace and an environment that no other process has."""

    base: Path
    workspace: Path
    environment: dict[str, str]
    settings: Settings

    def server_pid(self) -> int:
        """The server process that a relay has started here."""
        (found,) = (pid for pid in self._pids() if "serve" in command_line(pid))
        return found

    def keeper_pid(self) -> int:
        """The parent of that server's kernels."""
        (found,) = (pid for pid in self._pids() if str(KEEPER) in command_line(pid))
        return found

    def end_all(self) -> None:
        """Kill whatever was started here."""
        kill_marked(*self._marks)

    def _pids(self) -> set[int]:
        return marked(*self._marks)

    @property
    def _marks(self) -> tuple[str, str]:
        return f"{MARK}={self.environment[MARK]}", str(self.settings.sockets)


@contextmanager
def make_place() -> Iterator[Place]:
    """A fresh place; whatever was started in it is ended and removed, also after a failure."""
    base = Path(tempfile.mkdtemp(prefix="mcp-notebook-bench-"))
    workspace = base / "workspace"
    workspace.mkdir()
    environment = environment_of(base)
    settings = load(environment, workspace=workspace)
    place = Place(base, workspace, environment, settings)
    try:
        yield place
    finally:
        place.end_all()
        shutil.rmtree(settings.sockets, ignore_errors=True)
        shutil.rmtree(base, ignore_errors=True)
