"""The server's side of the keeper: kernels that the keeper starts, and that any later server may take over.

``keeper.py`` has the protocol. Nothing here waits for an answer in the event loop: the requests are made in
worker threads, one at a time.
"""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from mcp_notebook.errors import KernelStartFailed
from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.base import Exit
from mcp_notebook.kernels.ending import exit_by_descriptor, exit_of_zombie, oom_kills, oom_kills_since
from mcp_notebook.kernels.launch import private_directory
from mcp_notebook.kernels.process import (
    KILL_WITHIN_S,
    check_directory,
    kill_group,
    last_lines,
    not_started,
)

SCRIPT = Path(__file__).with_name("keeper.py")
VERSION = 1
IDLE_S = 5.0
ANSWERS_WITHIN_S = 10.0
AGAIN_S = 0.01
LOOK_AGAIN_S = 0.1
RECORDED_WITHIN_S = 0.5
ORPHANED_WITHIN_S = 0.05
"""The same where nobody may be there who writes it."""
INIT = 1
"""Becomes the parent of a kernel whose keeper was killed."""
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
"""What an interpreter may need to run at all; the keeper has nothing else of the server's environment."""


class KeptProcess:
    """A process that the keeper waits for: see ``process.Process``."""

    def __init__(self, identity: ProcessId, record: Path, oom_kills: int | None) -> None:
        """``oom_kills`` is what ``ending.oom_kills`` gave when it was started."""
        self.identity = identity
        self._oom_kills = oom_kills
        self.pid = identity.pid
        self.exit: Exit | None = None
        self.dead = anyio.Event()
        self._record = record

    @classmethod
    def adopt(cls, identity: ProcessId, record: Path, oom_kills: int | None = None) -> "KeptProcess":
        """One that was started earlier, perhaps by another server; ``exit`` is known at once where it is gone."""
        process = cls(identity, record, oom_kills)
        if not identity.is_alive():
            process._end(read_exit(record, identity) or exit_of_zombie(identity.pid) or Exit())
        return process

    async def watch(self) -> None:
        """Wait for its end; run it in a task that lives as long as the kernel."""
        if self.exit is not None:
            return
        parent, descriptor = self.identity.parent(), self.identity.open_descriptor()
        try:
            if descriptor is not None:
                await anyio.wait_readable(descriptor)
            while self.identity.is_alive():  # noqa: ASYNC110 - nothing else tells of it
                await anyio.sleep(LOOK_AGAIN_S)
            self._end(await self._recorded(parent, descriptor))
        finally:
            if descriptor is not None:
                os.close(descriptor)

    def send_signal(self, number: int) -> None:
        """To this process alone, not to its group: servers that earlier cells started live on."""
        if self.exit is None:
            self.identity.send_signal(number)

    def kill_group(self) -> None:
        """SIGKILL to a process that does not end, and to the children that it waits for."""
        if self.exit is None and self.identity.is_alive():
            kill_group(self.pid)

    async def kill(self) -> None:
        """SIGKILL to the process, then wait until its end is known. What the keeper wrote of it is removed."""
        self.send_signal(9)
        with anyio.move_on_after(KILL_WITHIN_S, shield=True):
            await self.dead.wait()
        self._record.unlink(missing_ok=True)

    def _end(self, how: Exit) -> None:
        self.exit = replace(how, oom_kills=oom_kills_since(self._oom_kills))
        self.dead.set()

    async def _recorded(self, parent: ProcessId | None, descriptor: int | None) -> Exit:
        """How it ended; the keeper, its parent, needs a moment to write it. Without a keeper the system may tell."""
        known = None
        began = anyio.current_time()
        while True:
            if (how := read_exit(self._record, self.identity)) is not None:
                return how
            orphaned = parent is not None and (parent.pid == INIT or not parent.is_alive())
            known = known or exit_by_descriptor(descriptor) or (exit_of_zombie(self.pid) if orphaned else None)
            patience_s = ORPHANED_WITHIN_S if known or orphaned else RECORDED_WITHIN_S
            if (known and orphaned) or anyio.current_time() - began > patience_s:
                return known or Exit()
            await anyio.sleep(AGAIN_S)


def read_exit(record: Path, identity: ProcessId) -> Exit | None:
    """What the keeper wrote of the end of this process, if it did."""
    try:
        end = json.loads(record.read_bytes())
    except (OSError, ValueError):
        return None
    if ProcessId.from_data(end) != identity:
        return None
    return Exit(code=end.get("code"), signal=end.get("signal"), peak_memory_bytes=end.get("peak_memory_bytes"))


class Keeper:
    """The keeper of this user, started when it is needed."""

    def __init__(self, sockets: Path, log: Path, *, idle_s: float = IDLE_S) -> None:
        self._sockets = sockets
        self._log = log
        self._idle_s = idle_s
        self._lock = anyio.Lock()
        self._line: _Line | None = None

    async def start(
        self,
        argv: Sequence[str],
        *,
        environment: Mapping[str, str],
        cwd: Path,
        log: Path,
        record: Path,
        owner: Path | None = None,
    ) -> KeptProcess:
        """Start ``argv``; its stdout and stderr go to ``log``, its stdin is empty, how it ended to ``record``.

        The process writes its identity to ``owner`` before it becomes the program. The connection stays open: the
        keeper does not end as long as this server may need it.

        Raises:
            KernelStartFailed: the program or the keeper cannot be started.
        """
        check_directory(cwd)
        paths = {"cwd": cwd, "log": log, "record": record} | ({"owner": owner} if owner else {})
        asked = {
            "argv": [_plain(each) for each in argv],
            "environment": {_plain(name): _plain(value) for name, value in environment.items()},
            **{name: _plain(str(path.absolute())) for name, path in paths.items()},
        }
        oom = oom_kills()
        async with self._lock:
            identity, why = await anyio.to_thread.run_sync(self._start, asked)
        if identity is None:
            raise not_started(argv[0], log, why)
        return KeptProcess(identity, record, oom)

    async def hello(self) -> dict[str, Any]:
        """What the keeper says of itself; it is started when there is none. Raises KernelStartFailed."""
        async with self._lock:
            return (await anyio.to_thread.run_sync(self._connected)).hello

    def close(self) -> None:
        """Let go of the keeper, which ends when no kernel lives."""
        if self._line is not None:
            self._line.close()
            self._line = None

    def _start(self, asked: dict[str, Any]) -> tuple[ProcessId | None, str]:
        line = self._connected()
        try:
            answer = line.ask({"start": asked})
        except OSError as exc:
            self.close()
            raise KernelStartFailed(
                f"The keeper of the kernels went away while it started one ({exc}). Call again."
            ) from exc
        return ProcessId.from_data({**line.hello, **answer}) if "pid" in answer else None, str(answer.get("error"))

    def _connected(self) -> "_Line":
        """The connection, just tried, so that what is asked next finds a keeper that does not end."""
        if self._line is not None:
            try:
                self._line.greet()
            except OSError:
                self.close()
            else:
                return self._line
        private_directory(self._sockets, self._sockets)
        until = time.monotonic() + ANSWERS_WITHIN_S
        while True:
            try:
                self._line = _Line(self._sockets / "keeper.sock")
            except OSError as exc:
                if time.monotonic() > until:
                    raise self._unusable(str(exc)) from exc
            else:
                return self._line
            self._launch()

    def _launch(self) -> None:
        """Start a keeper that listens, unless there is one."""
        try:
            self._log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            done = subprocess.run(
                [sys.executable, "-I", "-S", SCRIPT, self._sockets.absolute(), self._log.absolute(), str(self._idle_s)],
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as exc:
            raise self._unusable(str(exc)) from exc
        if done.returncode:
            raise self._unusable(f"exit code {done.returncode}")
        time.sleep(AGAIN_S)

    def _unusable(self, why: str) -> KernelStartFailed:
        said = last_lines(self._log, 1)
        return KernelStartFailed(
            f"The keeper of the kernels, {SCRIPT}, cannot be started or does not answer ({why}). It wrote to"
            f" {self._log}: {said or '(nothing)'}"
        )


class _Line:
    """One connection. Raises OSError whatever is wrong with it, but KernelStartFailed for another version."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(ANSWERS_WITHIN_S)
            self._socket.connect(str(path))
            self.hello = self.greet()
        except BaseException:
            self._socket.close()
            raise

    def greet(self) -> dict[str, Any]:
        hello = self.ask({"hello": VERSION})
        if hello.get("version") != VERSION:
            raise KernelStartFailed(
                f"The keeper of the kernels, process {hello.get('pid')}, is of another version. Shut its kernels down"
                " with the mcp-notebook that started them; it ends after them."
            )
        return hello

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        answer = bytearray()
        while not answer.endswith(b"\n"):
            data = self._socket.recv(1 << 16)
            if not data:
                raise ConnectionError("it closed the connection")
            answer += data
        try:
            answered = json.loads(answer)
        except ValueError as exc:
            raise ConnectionError("its answer is no JSON") from exc
        return answered if isinstance(answered, dict) else {}

    def close(self) -> None:
        self._socket.close()


def _plain(text: str) -> str:
    """Text as UTF-8 has it, whatever the locale that this Python decoded it with: the keeper's may be another."""
    return os.fsencode(text).decode("utf-8", "surrogateescape")
