"""How much memory a session's kernel and its children may have: a word at 80 %, and the end above all of it.

Looked at only while a cell runs, and once after it: an idle kernel wakes nobody.
"""

from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread

from mcp_notebook.certificate import in_mb
from mcp_notebook.execution import Execution
from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.base import Kernel
from mcp_notebook.kernels.memory import family, resident_bytes, shared_out_bytes

LOOK_S = 0.1
CLOSE_LOOK_S = 0.02
"""From half of the limit on: memory fills fast."""
CLOSE = 0.5
WARN = 0.8
FORGET = 0.6
"""Below this share the warning may be given again."""


class MemoryLimit:
    """Of one session. ``stop`` is called with why, just before the kernel is killed."""

    def __init__(
        self, limit_mb: int | None, running: Callable[[], Execution | None], stop: Callable[[str], None]
    ) -> None:
        self._limit = limit_mb * 1_000_000 if limit_mb is not None else None
        self._running = running
        self._stop = stop
        self._begun = anyio.Event()
        self._warned = False
        self._thread = anyio.CapacityLimiter(1)
        """Its own: memory fills fast, and all others may be busy."""

    def begin(self) -> None:
        """A cell begins to run."""
        if self._limit is not None:
            self._begun.set()

    async def watch(self, kernel: Kernel) -> None:
        """Until the kernel is dead, or the task is cancelled; returns at once where there is no limit."""
        pid = kernel.info.pid
        if self._limit is None or pid is None:
            return
        self._warned = False
        while kernel.exit is None:
            if self._running() is None:
                await self._begun.wait()
            self._begun = anyio.Event()
            used = 0
            while kernel.exit is None:
                await anyio.sleep(CLOSE_LOOK_S if used > self._limit * CLOSE else LOOK_S)
                was_running = self._running()
                used = await self._look(kernel, pid, self._limit)
                if was_running is None:
                    break

    async def _look(self, kernel: Kernel, pid: int, limit: int) -> int:
        """What is in use."""
        pids, used = await anyio.to_thread.run_sync(_in_use, pid, limit, limiter=self._thread)
        if used > limit and kernel.exit is None:
            await self._end(kernel, pids, used, limit)
        elif used > limit * WARN:
            self._warn(used, limit)
        elif used < limit * FORGET:
            self._warned = False
        return used

    def _warn(self, used: int, limit: int) -> None:
        running = self._running()
        if self._warned or running is None:
            return
        self._warned = True
        running.note(
            f"The kernel has {in_mb(used)} in memory, more than 80 % of its limit of {in_mb(limit)} ([limits]"
            " memory_mb). Above the limit it is stopped, and its variables are lost: delete what is not needed."
        )

    async def _end(self, kernel: Kernel, pids: Sequence[int], used: int, limit: int) -> None:
        children = "1 child process" if len(pids) == 2 else f"{len(pids) - 1:,} child processes"
        whose = "it" if len(pids) == 1 else f"it and {children}"
        self._stop(
            f", because {whose} had {in_mb(used)} in memory and the limit is {in_mb(limit)} ([limits] memory_mb)"
        )
        others = [child for child in map(ProcessId.of, pids[1:]) if child is not None]
        try:
            await kernel.kill()
        finally:
            for child in others:
                child.send_signal(9)


def _in_use(pid: int, limit: int) -> tuple[list[int], int]:
    """The process and its children, and what they have in memory. Blocks: a few files for each of them."""
    pids = family(pid)
    used = resident_bytes(pids)
    return pids, shared_out_bytes(pids) if used > limit * WARN and len(pids) > 1 else used
