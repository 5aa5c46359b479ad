"""One life of the process in which Hermes's tools run, from its start to the end of all that they have started."""

import asyncio
import itertools
import json
import math
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import psutil
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.buffered import BufferedByteReceiveStream

from mcp_notebook.errors import HermesFailed
from mcp_notebook.runtime.hermes.worker import VARIABLE
from mcp_notebook.runtime.logs import StderrLog

PROGRAM = Path(__file__).with_name("worker.py")
STOP_WITHIN_S = 5.0
"""Hermes takes up to 3 s to end a command that does not want to."""
END_WITHIN_S = 9.0
"""The worker gives up its own clean-up a little sooner."""
POLL_S = 0.01
ROUNDS = 500
FRAME_BYTES = 1000
"""What a line has around the answer."""


@dataclass
class _Asked:
    ended: anyio.Event = field(default_factory=anyio.Event)
    message: dict[str, Any] | None = None
    """What was answered; None where the worker died before."""


class Worker:
    """Begins when it is made, in the background; ``ready`` is set once it can be asked, or has failed."""

    def __init__(
        self, python: Path, workspace: Path, environment: Mapping[str, str], log: Path, most_bytes: int, within_s: float
    ) -> None:
        self.ready = anyio.Event()
        self.ended = anyio.Event()
        self.version: str | None = None
        """Of hermes-agent, once it can be asked."""
        self._python = python
        self._workspace = workspace
        self._mark = secrets.token_hex(8)
        self._environment = {**environment, VARIABLE: self._mark}
        self._log = StderrLog(log)
        self._most_bytes = most_bytes
        self._within_s = within_s
        self._numbers = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._lines, self._to_write = anyio.create_memory_object_stream[dict[str, Any]](math.inf)
        self._over = anyio.Event()
        self._killed = False
        self._why = ""
        # In nobody's task group: the call that starts it may end long before it does.
        self._task = asyncio.create_task(self._live(), name=f"Hermes in {python}")

    @property
    def over(self) -> bool:
        """Whether it can be asked nothing any more."""
        return self._over.is_set()

    @property
    def why(self) -> str:
        """Why it ended, with its last words."""
        return ": ".join(each for each in (self._why, self._log.last_words().rstrip(".")) if each)

    def end(self, why: str, *, kill: bool = False) -> None:
        """Have it end, by itself or at once; ``ended`` is set when nothing of it is left."""
        self._why = self._why or why
        self._killed = self._killed or kill
        self._over.set()

    async def ask(self, name: str, args: dict[str, Any]) -> Any:
        """What Hermes's tool answers. If cancelled, stops it, and ends the worker where that cannot be.

        Raises:
            HermesFailed: it died in the meantime, or the tool raised.
        """
        number, asked = next(self._numbers), _Asked()
        self._asked[number] = asked
        try:
            self._send({"id": number, "name": name, "args": args})
            await asked.ended.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.CancelScope(shield=True):
                await self._stop(number, asked)
            raise
        finally:
            del self._asked[number]
        if asked.message is None:
            await self.ended.wait()
            raise HermesFailed(
                f"Hermes in {self._python} ended during {name}(): {self.why}. Whether the call took effect is not "
                "known. The next call starts it again, in the workspace and without what was exported."
            )
        if "error" in asked.message:
            raise HermesFailed(asked.message["error"])
        return asked.message["answer"]

    def _send(self, message: dict[str, Any]) -> None:
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):  # it ends: so does the call
            self._lines.send_nowait(message)

    async def _stop(self, number: int, asked: _Asked) -> None:
        self._send({"stop": number})
        with anyio.move_on_after(STOP_WITHIN_S):
            await asked.ended.wait()
        if not asked.ended.is_set():
            self.end("a call that was given up could not be stopped", kill=True)
            await self.ended.wait()

    async def _live(self) -> None:
        try:
            process = await self._start()
        except (OSError, ValueError) as exc:
            self._why = getattr(exc, "strerror", None) or str(exc)
        else:
            try:
                await self._serve(process)
            finally:
                await self._end(process)
        finally:
            self._over.set()
            for asked in self._asked.values():
                asked.ended.set()
            self._lines.close()
            self._to_write.close()
            self.ready.set()
            self.ended.set()

    async def _start(self) -> Process:
        log = self._log.open()
        try:
            # Of its own Python: neither what PYTHONPATH names, which is the kernel's, nor what lies beside the script.
            options = ["mcp-notebook", self._mark, str(self._most_bytes)]
            return await anyio.open_process(
                [str(self._python), "-E", "-P", str(PROGRAM), *options],
                stderr=log,
                cwd=self._workspace,
                env=self._environment,
                start_new_session=True,
            )
        finally:
            os.close(log)

    async def _serve(self, process: Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._write, process.stdin)
            tasks.start_soon(self._read, process.stdout)
            tasks.start_soon(self._be_ready)
            await self._over.wait()
            tasks.cancel_scope.cancel()

    async def _be_ready(self) -> None:
        with anyio.move_on_after(self._within_s):
            await self.ready.wait()
        if not self.ready.is_set():
            self.end(f"it was not ready within {self._within_s:g} s", kill=True)

    async def _write(self, pipe: ByteSendStream) -> None:
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):  # ``_read`` sees its death
            async for message in self._to_write:
                await pipe.send(json.dumps(message).encode() + b"\n")

    async def _read(self, pipe: ByteReceiveStream) -> None:
        lines = BufferedByteReceiveStream(pipe)
        try:
            while True:
                self._take(json.loads(await lines.receive_until(b"\n", self._most_bytes + FRAME_BYTES)))
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._over.set()
        except (anyio.DelimiterNotFound, ValueError, KeyError):
            self.end("it wrote what cannot be understood", kill=True)

    def _take(self, message: dict[str, Any]) -> None:
        if "ready" in message:
            self.version = message["ready"]
            self.ready.set()
        elif asked := self._asked.get(message["id"]):
            asked.message = message
            asked.ended.set()

    async def _end(self, process: Process) -> None:
        """At the end of its input it ends by itself, and cleans up; bounded."""
        with anyio.CancelScope(shield=True):
            if not self._killed:
                assert process.stdin is not None
                with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await process.stdin.aclose()
                with anyio.move_on_after(END_WITHIN_S):
                    while process.returncode is None:  # noqa: ASYNC110 - process.wait() waits for its pipes too
                        await anyio.sleep(POLL_S)
            if process.returncode is not None and not self._why:
                self._why = _ended_with(process.returncode)
            await anyio.to_thread.run_sync(_kill_all, self._mark)
            with suppress(ProcessLookupError):
                process.kill()
            with anyio.move_on_after(END_WITHIN_S):
                await process.aclose()


def _ended_with(status: int) -> str:
    return f"its process was killed by signal {-status}" if status < 0 else f"its exit status is {status}"


def _kill_all(mark: str) -> None:
    """The worker and what it has started, also what outlived it, until there is none. Blocks."""
    for _ in range(ROUNDS):
        found = _living(mark)
        if not found:
            return
        for each in found:
            with suppress(psutil.Error):
                each.kill()
        time.sleep(POLL_S)  # not psutil's wait, which would take the worker's exit status from asyncio


def _living(mark: str) -> list[psutil.Process]:
    found: list[psutil.Process] = []
    for each in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if each.status() != psutil.STATUS_ZOMBIE and each.environ().get(VARIABLE) == mark:
                found += [each, *each.children(recursive=True)]
    return found
