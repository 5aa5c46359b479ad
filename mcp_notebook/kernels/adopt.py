"""Take over a kernel that an earlier server started and that lives."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mcp_notebook.kernels.base import KernelInfo, Process, Tasks, notes_on
from mcp_notebook.kernels.keeping import KeptProcess
from mcp_notebook.kernels.kept import KeptKernel
from mcp_notebook.kernels.local import LocalKernel


class Kept(Protocol):
    """What is known of such a kernel."""

    @property
    def info(self) -> KernelInfo: ...

    @property
    def connection(self) -> Mapping[str, Any]:
        """The content of its connection file."""

    @property
    def identity(self) -> str | None:
        """Under which it knew the earlier server (``LocalKernel.identity``): what it answers to that comes here."""

    @property
    def is_python(self) -> bool:
        """Whether it runs ipykernel."""

    @property
    def lean(self) -> bool:
        """Whether it was started with our half."""

    @property
    def interrupt_mode(self) -> str: ...

    @property
    def process(self) -> Process: ...

    @property
    def directory(self) -> Path:
        """Of its connection file and sockets; it goes with the kernel."""


def adopt(kept: Kept, tasks: Tasks) -> LocalKernel:
    """Connect to the kernel and return at once: it may be busy and not answer for long.

    What it is asked from then on waits until it does. ``tasks`` owns its watcher. The earlier server must be gone:
    two clients of one identity take each other's answers.
    """
    kernel = LocalKernel(
        kept.info,
        kept.process,
        kept.directory,
        is_python=kept.is_python,
        lean=kept.lean,
        interrupt_mode=kept.interrupt_mode,
    )
    kernel.connect(kept.connection, kept.identity)
    tasks.start_soon(kernel.watch)
    tasks.start_soon(kernel.rejoin)
    return kernel


@dataclass(frozen=True)
class _Known:
    info: KernelInfo
    connection: Mapping[str, Any]
    identity: str
    is_python: bool
    lean: bool
    interrupt_mode: str
    process: Process
    directory: Path


def known(kept: KeptKernel) -> Kept:
    """What ``adopt`` wants of a kernel that a keeper started; it may be dead."""
    described = kept.described
    info = KernelInfo(
        name=described.name,
        display_name=described.display_name,
        language=described.language,
        interpreter=described.interpreter,
        pid=kept.identity.pid,
        withheld=described.withheld,
        lean=described.lean,
        log=described.log,
        notes=notes_on(described.is_python),
    )
    return _Known(
        info,
        kept.connection,
        kept.directory.name,
        described.is_python,
        described.lean,
        described.interrupt_mode,
        KeptProcess.adopt(kept.identity, kept.record, described.oom_kills),
        kept.directory,
    )
