"""mcp-notebook as a program with a real client on its pipes, on disks and with powers of a test's choice."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters

from tests.conftest import environment_of

UNSHARE = ("unshare", "--mount", "--map-root-user")
"""Mounts end with the program; not every machine allows them."""


@asynccontextmanager
async def program(base: Path, *before: str, era: str = "auto", within_s: float = 100) -> AsyncIterator[Client]:
    """A client of ``mcp-notebook``, whose files all lie below ``base``; ``before`` is a command that starts it."""
    place(base)
    command = [*before, sys.executable, "-m", "mcp_notebook", "--embedded", "--workspace", str(workspace(base))]
    environment = environment_of(base) | {"JUPYTER_PATH": str(base / "jupyter")}
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=environment)
    with anyio.fail_after(within_s):
        async with Client(parameters, mode=era, cache=None) as client:
            yield client


@contextmanager
def hearing_interrupts() -> Iterator[None]:
    """What is started in the block hears Ctrl-C, also where the tests run in the background, which does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def workspace(base: Path) -> Path:
    """Where the program opens and saves notebooks."""
    return base / "workspace"


def place(base: Path) -> Path:
    """The workspace, made if it is not there yet."""
    workspace(base).mkdir(exist_ok=True)
    return workspace(base)


def owner_only() -> tuple[str, ...]:
    """Before a command: without root's power to read and write what modes forbid."""
    return ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.getuid() == 0 else ()


def on_disk(directory: Path, options: str) -> tuple[str, ...]:
    """Before a command: a file system of its own is mounted on ``directory``."""
    mount = 'mount -t tmpfs -o "$1" tmpfs "$2" && shift 2 && exec "$@"'
    return (*UNSHARE, "sh", "-c", mount, "sh", options, str(directory))


def with_small_files(_directory: Path, kilobytes: str) -> tuple[str, ...]:
    """Before a command: no file may become larger, as on a disk that is full."""
    return ("bash", "-c", 'ulimit -f "$1" && shift && exec "$@"', "bash", kilobytes)


def works(command: Sequence[str]) -> bool:
    """Whether this machine lets us start programs so."""
    if command and shutil.which(command[0]) is None:
        return False
    return subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0
