"""What ``mcp-notebook doctor`` finds of processes: the server, what dead ones left, other installations."""

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from mcp_notebook import __version__
from mcp_notebook.control import LOCK, SOCKET, command
from mcp_notebook.errors import NotebookError
from mcp_notebook.finding import Finding
from mcp_notebook.kernels.kept import discard, kept_kernels
from mcp_notebook.left import kernel_directories, waiting
from mcp_notebook.lock import Lock
from mcp_notebook.settings import Settings


def findings(settings: Settings) -> Iterator[Finding]:
    """What is dead and belongs to nobody is removed, and said."""
    yield _server(settings)
    yield from _dead_sockets(settings.sockets)
    yield from _dead_kernels(settings)
    yield from _installations(os.environ.get("PATH", ""))


def _server(settings: Settings) -> Finding:
    try:
        status = command(settings, "status")
    except (NotebookError, OSError) as exc:
        text, _, remedy = str(exc).partition(". ")
        return Finding("warn", f"server: {text}", remedy or "Try again.")
    if status is None:
        left = len(waiting(settings.home))
        text = f"{_count(left, 'session')} of an earlier one, which the next client's server goes on with"
        return Finding("ok", f"server: none runs; {text}" if left else "server: none runs; the next client starts one")
    about = (
        f"server: process {status['pid']}, version {status['version']}, {_count(len(status['sessions']), 'session')}"
    )
    if status["version"] != __version__:
        remedy = (
            f"This is {__version__}. When a client starts a version that is newer than the server, the server hands"
            " over to it, with all sessions; an older one uses the server as it is."
        )
        return Finding("warn", about, remedy)
    return Finding("ok", about)


def _dead_sockets(directory: Path) -> Iterator[Finding]:
    """Of servers and keepers that were killed. Who starts at this moment has the lock before the socket."""
    for socket_name, lock_name in ((SOCKET, LOCK), ("keeper.sock", "keeper.lock")):
        path = directory / socket_name
        if not path.exists() or _accepts(path):
            continue
        lock = Lock.take(directory / lock_name)
        if lock is None:
            continue
        if not _accepts(path):
            path.unlink(missing_ok=True)
            yield Finding("ok", f"removed {path}, on which nobody listened any more")
        lock.release()


def _dead_kernels(settings: Settings) -> Iterator[Finding]:
    dead = [kernel for kernel in kept_kernels(settings.sockets) if not kernel.identity.may_live()]
    used = kernel_directories(settings.home) if dead else {}
    for kernel in dead:
        handle = used.get(kernel.directory)
        if handle is not None:
            yield Finding(
                "warn",
                f"session {handle}: its kernel, process {kernel.identity.pid}, is dead",
                "The session says how it died: restart or rebuild the kernel, or stop the session.",
            )
        elif kernel.described.log.is_relative_to(settings.home):
            discard(kernel.directory)
            yield Finding("ok", f"removed {kernel.directory}, of a dead kernel that no session has")


def _installations(path: str) -> Iterator[Finding]:
    """Clients start the first one on their own PATH, which may not be this one."""
    here = shutil.which(sys.argv[0]) or sys.argv[0]
    found = {Path(here).resolve(): here} if Path(here).name == "mcp-notebook" else {}
    for directory in path.split(os.pathsep):
        program = Path(directory) / "mcp-notebook"
        if os.access(program, os.X_OK):
            found.setdefault(program.resolve(), str(program))
    if len(found) > 1:
        remedy = "Remove all but one, or give clients the full path of the one that they should start."
        yield Finding("warn", f"installations: {', '.join(found.values())}", remedy)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
    return True
