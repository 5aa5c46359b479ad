"""A kernel's process: started in a session of its own, its output in a file, its death known at once."""

import contextlib
import os
import resource
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import anyio
import anyio.to_thread

from mcp_notebook.errors import KernelStartFailed
from mcp_notebook.kernels.base import Exit
from mcp_notebook.kernels.ending import exit_of, oom_kills, oom_kills_since, peak_bytes

KILL_WITHIN_S = 5.0
WATCHED_BY_THREADS = 10_000


class KernelProcess:
    """One child process. ``dead`` is set within milliseconds of its end; ``exit`` then says how."""

    def __init__(self, popen: "subprocess.Popen[bytes]") -> None:
        self._popen = popen
        self.pid = popen.pid
        self.exit: Exit | None = None
        self.dead = anyio.Event()
        self._reaped: Exit | None = None
        self._oom_kills = oom_kills()
        self._ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        """Before a child becomes the program it has what we have, and that counts."""

    async def watch(self) -> None:
        """Wait for the end of the process; run it in a task that lives as long as the kernel."""
        if not await self._wait_by_descriptor():
            await anyio.to_thread.run_sync(self._reap, abandon_on_cancel=True, limiter=_watchers())
        self.exit = replace(self._reap(), oom_kills=oom_kills_since(self._oom_kills))
        self.dead.set()

    def send_signal(self, number: int) -> None:
        """To this process alone, not to its group: servers that earlier cells started live on."""
        if self.exit is None:
            self._popen.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL to a process that does not end, and to the children that it waits for."""
        if self.exit is None:
            kill_group(self.pid)

    async def kill(self) -> None:
        """SIGKILL to the process, then wait until it is reaped."""
        self.send_signal(signal.SIGKILL)
        with anyio.move_on_after(KILL_WITHIN_S, shield=True):
            await self.dead.wait()

    def _reap(self) -> Exit:
        """Wait for it, if nobody has."""
        if self._reaped is None:
            try:
                _, status, usage = os.wait4(self.pid, 0)
            except ChildProcessError:  # ``send_signal`` looked first
                code = self._popen.wait()
                self._reaped = Exit(signal=-code) if code < 0 else Exit(code=code)
            else:
                self._popen.returncode = os.waitstatus_to_exitcode(status)
                peak = peak_bytes(usage.ru_maxrss) if usage.ru_maxrss > self._ours else None
                self._reaped = exit_of(status, peak)
        return self._reaped

    async def _wait_by_descriptor(self) -> bool:
        """False where there are no process descriptors, or none is left."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except (AttributeError, OSError):
            return False
        await wait_for_end(descriptor)
        return True


async def wait_for_end(descriptor: int) -> None:
    """Of the process that this process descriptor stands for; closes it."""
    try:
        await anyio.wait_readable(descriptor)
    finally:
        os.close(descriptor)


@lru_cache(maxsize=1)
def _watchers() -> anyio.CapacityLimiter:
    """Threads that wait for a kernel's end take none of those that do short work."""
    return anyio.CapacityLimiter(WATCHED_BY_THREADS)


def start_process(argv: Sequence[str], *, environment: Mapping[str, str], cwd: Path, log: Path) -> KernelProcess:
    """Start ``argv``; its stdout and stderr go to ``log``, its stdin is empty.

    Raises:
        KernelStartFailed: the program cannot be started at all.
    """
    check_directory(cwd)
    # A program started in a shell's background ignores SIGINT, and so would all its children, interrupts included.
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as output:
            popen = subprocess.Popen(
                argv,
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_heed_interrupts if ignored else None,
            )
    except OSError as exc:
        raise not_started(argv[0], log, str(exc)) from exc
    return KernelProcess(popen)


def check_directory(cwd: Path) -> None:
    """Raises KernelStartFailed: a kernel cannot run there."""
    if not cwd.is_dir():
        raise KernelStartFailed(f"The directory {cwd}, in which the kernel should run, is gone. Make it again.")


def not_started(program: str, log: Path, why: str) -> KernelStartFailed:
    """What is raised where a program cannot be started at all."""
    return KernelStartFailed(
        f"The kernel's process {program} could not be started, its output in {log} ({why}). Check that the program"
        " exists, and that files can be written there."
    )


def kill_group(pid: int) -> None:
    """SIGKILL to the process group of a process that was started in a session of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def last_lines(log: Path, count: int = 15) -> str:
    """The end of what a process said, for an error message."""
    try:
        return "\n".join(log.read_text(errors="replace").strip().splitlines()[-count:])
    except OSError:
        return ""
