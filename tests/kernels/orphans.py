"""Kernels whose server was killed, as a new one finds them."""

import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from mcp_notebook.kernels.base import Exit, KernelInfo


class OrphanProcess:
    """A process that is nobody's child any more."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exit: Exit | None = None
        self.dead = anyio.Event()
        self._descriptor = os.pidfd_open(pid)

    async def watch(self) -> None:
        try:
            await anyio.wait_readable(self._descriptor)
        finally:
            os.close(self._descriptor)
        self.exit = Exit()
        self.dead.set()

    def send_signal(self, number: int) -> None:
        if self.exit is None:
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    async def kill(self) -> None:
        with suppress(ProcessLookupError):
            self.send_signal(signal.SIGKILL)
        await self.dead.wait()


@dataclass(frozen=True)
class Orphan:
    """See ``kernels.adopt.Kept``."""

    info: KernelInfo
    connection: Mapping[str, Any]
    identity: str
    is_python: bool
    lean: bool
    interrupt_mode: str
    process: OrphanProcess
    directory: Path

    @classmethod
    def kept(cls, data: Mapping[str, Any]) -> "Orphan":
        """Of what the earlier server had said."""
        directory = Path(data["directory"])
        return cls(
            info=KernelInfo("kernel", "An orphan", "python", pid=data["pid"]),
            connection=json.loads((directory / "kernel.json").read_text()),
            identity=data["identity"],
            is_python=data["is_python"],
            lean=data["lean"],
            interrupt_mode=data["interrupt_mode"],
            process=OrphanProcess(data["pid"]),
            directory=directory,
        )
