"""A server's process with messages as lines on its pipes: the stdio transport of MCP.

Our own, and not the SDK's, for what a caller wants to know when a server dies: its exit status and its last
words. The process leads a session of its own, so that what it started can be ended with it. How a server is
ended is the specification's: https://modelcontextprotocol.io/specification/2025-11-25/basic/lifecycle#shutdown
"""

import json
import os
import signal
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
from anyio.abc import ByteReceiveStream, ByteSendStream, Process
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage
from mcp_types import jsonrpc_message_adapter

from mcp_notebook.runtime.logs import StderrLog
from mcp_notebook.runtime.servers.configuration import Entry

Inbound = MemoryObjectSendStream[SessionMessage | Exception]
Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]

GRACE_S = 2.0
"""How long a server has to end after its input was closed, and again after SIGTERM."""
LAST_OUTPUT_S = 0.5
"""How long output is awaited after the end of the process: its children may hold the pipe for ever."""
POLL_S = 0.01


class ServerProcess:
    """One life of a server. ``exit_status`` and ``complaint`` say how it ended."""

    def __init__(self, entry: Entry, environment: Mapping[str, str], log: Path, most_bytes: int) -> None:
        self._entry = entry
        self._environment = {**environment, **entry.env}
        self._log = StderrLog(log)
        self.last_words = self._log.last_words
        self._most_bytes = most_bytes
        self.exit_status: int | None = None
        """As of ``subprocess``; None as long as it runs, and if a signal of ours ended it."""
        self.complaint = ""
        """Why we ended it, if it broke the protocol."""
        self.closed = anyio.Event()
        """Set when no message can come any more."""

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Streams]:
        """The transport for the SDK's ``Client``; at its end no process is left.

        Raises:
            OSError: the program cannot be started.
        """
        with anyio.CancelScope(shield=True):  # asyncio leaves a process and pipes behind if cancelled in this
            process = await self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        inbound, received = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        sent, outbound = anyio.create_memory_object_stream[SessionMessage](0)
        with inbound, received, sent, outbound:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, process.stdout, inbound)
                tasks.start_soon(_write, process.stdin, outbound)
                tasks.start_soon(self._watch, process, inbound)
                try:
                    yield received, sent
                finally:
                    received.close()  # what comes now is read and dropped: a server may need to be rid of it
                    with anyio.CancelScope(shield=True):
                        await self._end(process)
                    tasks.cancel_scope.cancel()

    async def _start(self) -> Process:
        log = self._log.open()
        try:
            return await anyio.open_process(
                [self._entry.command, *self._entry.args],
                stderr=log,
                cwd=self._entry.cwd,
                env=self._environment,
                start_new_session=True,
            )
        except FileNotFoundError as exc:
            if not self._entry.cwd.is_dir():
                raise OSError('its "cwd" is no directory') from exc
            raise OSError('its "command" was not found: install it, or give the whole path') from exc
        finally:
            os.close(log)

    async def _read(self, pipe: ByteReceiveStream, inbound: Inbound) -> None:
        """Hand over every line that is a message; other lines are a server's banner or debug prints."""
        buffer = bytearray()
        searched = 0
        with suppress(anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            while True:
                buffer += await pipe.receive()
                while (end := buffer.find(b"\n", searched)) >= 0:
                    line = bytes(buffer[:end])
                    del buffer[: end + 1]
                    searched = 0
                    await _deliver(line, inbound)
                searched = len(buffer)
                if searched > self._most_bytes:
                    self.complaint = f"it sent a message of more than {self._most_bytes:,} bytes"
                    break
        self._close(inbound)

    async def _watch(self, process: Process, inbound: Inbound) -> None:
        """Notice the death of a process whose children hold its pipes open."""
        await _exited(process)
        with anyio.move_on_after(LAST_OUTPUT_S):
            await self.closed.wait()
        self._close(inbound)

    def _close(self, inbound: Inbound) -> None:
        self.closed.set()
        inbound.close()

    async def _end(self, process: Process) -> None:
        """Close its input, then SIGTERM, then SIGKILL, the last two to all that it started; bounded."""
        assert process.stdin is not None
        with suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await process.stdin.aclose()
        await _within_grace(lambda: process.returncode is not None)
        self.exit_status = process.returncode
        for number in (signal.SIGTERM, signal.SIGKILL):
            if not _signal_all(process.pid, number):
                break
            await _within_grace(lambda: not _signal_all(process.pid, 0))
        with anyio.move_on_after(GRACE_S):
            await process.aclose()


async def _deliver(line: bytes, inbound: Inbound) -> None:
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        try:  # half a surrogate pair or invalid UTF-8 in a text should not cost the caller the answer
            document = json.loads(line.decode(errors="replace"))
            mended = json.dumps(document, ensure_ascii=False).encode(errors="replace")
            message = jsonrpc_message_adapter.validate_json(mended, by_name=False)
        except (ValueError, RecursionError):
            return
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
        await inbound.send(SessionMessage(message))


async def _write(pipe: ByteSendStream, outbound: MemoryObjectReceiveStream[SessionMessage]) -> None:
    """A server that reads no more is seen by ``_read`` or ``_watch``, or waited for by the caller's patience."""
    with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError, OSError):
        async for each in outbound:
            line = each.message.model_dump_json(by_alias=True, exclude_unset=True)
            await pipe.send(line.encode() + b"\n")
    outbound.close()


async def _exited(process: Process) -> None:
    """Not ``process.wait()``, which also waits until everybody has closed the pipes."""
    if hasattr(os, "pidfd_open"):
        try:
            handle = os.pidfd_open(process.pid)
        except ProcessLookupError:
            return
        try:
            await anyio.wait_readable(handle)
        finally:
            os.close(handle)
        return
    while process.returncode is None:  # noqa: ASYNC110 - elsewhere than on Linux there is nothing to wait for
        await anyio.sleep(LAST_OUTPUT_S)


async def _within_grace(done: Callable[[], bool]) -> None:
    for _ in range(int(GRACE_S / POLL_S)):
        if done():
            return
        await anyio.sleep(POLL_S)


def _signal_all(group: int, number: int) -> bool:
    """Whether there is anybody in the group."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    except PermissionError:  # macOS says so of what is dead and not yet waited for
        return number == 0
    return True
