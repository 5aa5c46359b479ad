"""What is written of a kernel that outlives its server, in the kernel's own directory, for the server that adopts it.

``process.json`` says what the kernel is; ``owner`` which process, and where its end is recorded: the kernel itself
wrote that before it ran; ``kernel.json`` is its connection file.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.launch import CONNECTION, DESCRIPTION, KERNEL
from mcp_notebook.state import OWNER, replace_json


@dataclass(frozen=True)
class Description:
    """What a later server must know of a kernel, and cannot ask it."""

    name: str
    display_name: str
    language: str
    interpreter: str | None
    lean: bool
    is_python: bool
    """Whether it runs ipykernel, and our half of the kernel with it."""
    interrupt_mode: str
    withheld: tuple[str, ...]
    log: Path
    oom_kills: int | None = None
    """Of this machine, when the kernel was started."""


@dataclass(frozen=True)
class KeptKernel:
    """A kernel that a keeper started."""

    directory: Path
    identity: ProcessId
    record: Path
    """Where the keeper writes how it ended."""
    described: Description
    connection: dict[str, Any] = field(repr=False)
    """As its connection file has it; the keys are strings."""


def describe(directory: Path, description: Description) -> None:
    """Write what ``read_kept`` reads, before the kernel starts. Raises OSError."""
    replace_json(directory / DESCRIPTION, json.loads(json.dumps(asdict(description), default=str)))


def read_kept(directory: Path) -> KeptKernel | None:
    """The kernel of this directory, alive or not; None where a server's own kernel is in it, or nothing whole."""
    try:
        mark, data, connection = (
            json.loads((directory / name).read_bytes()) for name in (OWNER, DESCRIPTION, CONNECTION)
        )
        identity, record = ProcessId.from_data(mark), Path(mark["record"])
        described = Description(**{**data, "log": Path(data["log"]), "withheld": tuple(data["withheld"])})
    except (OSError, ValueError, TypeError, KeyError):  # a mark without a record is still the server's
        return None
    return KeptKernel(directory, identity, record, described, connection) if identity else None


def kept_kernels(sockets: Path) -> list[KeptKernel]:
    """All that are there, also those that have ended and were not swept yet."""
    found = (read_kept(mark.parent) for mark in sorted(sockets.glob(f"{KERNEL}*/{DESCRIPTION}")))
    return [kernel for kernel in found if kernel is not None]


def discard(directory: Path) -> None:
    """Remove the directory of a kernel whose start failed halfway, and end the process if it runs after all."""
    aside = directory.with_name(f"{directory.name}.gone")
    try:
        directory.rename(aside)  # from now on no process finds where to write that it is the owner, so none runs
    except OSError:
        return
    if (kernel := read_kept(aside)) is not None:
        kernel.identity.send_signal(9)
    shutil.rmtree(aside, ignore_errors=True)
