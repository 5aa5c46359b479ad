"""``terminal``: commands in a shell of the session, whose directory and exported variables last.

Shapes and limits are those of Hermes's ``terminal``.
"""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread

from mcp_notebook.runtime.host import Host
from mcp_notebook.runtime.terminal.background import Background
from mcp_notebook.runtime.terminal.capture import Capture
from mcp_notebook.runtime.terminal.meaning import meaning_of
from mcp_notebook.runtime.terminal.shell import Shell, end_group
from mcp_notebook.terminal import without_escapes

TIMED_OUT = 124
NOT_RUN = -1


class Terminal:
    """The shell of one session."""

    def __init__(self, host: Host) -> None:
        self._host = host
        directory = host.directory / "terminal"
        self._shell = Shell(directory, host.workspace)
        self._background = Background(directory, host.policy.terminal_output_chars)

    @property
    def cwd(self) -> Path:
        """Where the next command runs, and what relative paths begin at."""
        return self._shell.cwd

    async def run(
        self,
        command: str,
        timeout: float | None = None,  # noqa: ASYNC109 - its name on the wire
        workdir: str | None = None,
        background: bool = False,
    ) -> dict[str, Any]:
        """``{output, exit_code, error}`` of a command, stdout and stderr in one.

        After ``timeout`` seconds all that it started is ended and ``exit_code`` is 124. In the ``background`` it goes
        on and the answer has a ``handle``; it ends with the session.
        """
        if wrong := self._wrong(command, timeout, workdir):
            return wrong
        try:
            argv = await anyio.to_thread.run_sync(self._shell.argv, command, workdir)
            environment = self._shell.environment(self._host.environment)
            if background:
                return await self._start(argv, environment)
            return await self._finish(command, argv, environment, timeout or self._host.policy.terminal_timeout_s)
        except (OSError, ValueError) as exc:  # such as a null character, or no more processes
            return _not_run(f"The command could not be run: {exc}")

    async def poll(self, handle: str) -> dict[str, Any]:
        """As ``run``, and ``running``, of a command in the background: what it has written until now."""
        return await anyio.to_thread.run_sync(self._background.poll, handle)

    async def kill(self, handle: str) -> dict[str, Any]:
        """End a command in the background; answers as ``poll``."""
        return await anyio.to_thread.run_sync(self._background.kill, handle)

    async def end(self) -> None:
        """The session ends, and with it what it has in the background, and its variables."""
        await anyio.to_thread.run_sync(self._background.end_all)
        await anyio.to_thread.run_sync(self._shell.forget)

    def _wrong(self, command: object, timeout: object, workdir: object) -> dict[str, Any] | None:
        longest = self._host.policy.terminal_longest_s
        if not isinstance(command, str):
            return _not_run(f"Invalid command: expected string, got {type(command).__name__}") | {"status": "error"}
        if workdir is not None and not isinstance(workdir, str):
            return _not_run(f"Invalid workdir: expected string, got {type(workdir).__name__}") | {"status": "error"}
        if timeout is not None and (
            not isinstance(timeout, int | float) or isinstance(timeout, bool) or not timeout >= 0
        ):
            return _not_run(f"Invalid timeout: expected a number of seconds, got {timeout!r}") | {"status": "error"}
        if timeout is not None and timeout > longest:
            return {
                "error": f"Foreground timeout {timeout}s exceeds the maximum of {longest:g}s."
                " Use background=True and poll its handle for long-running commands."
            }
        return None

    async def _start(self, argv: list[str], environment: Mapping[str, str]) -> dict[str, Any]:
        handle = await anyio.to_thread.run_sync(self._background.prepare)
        command = self._background.argv(handle, argv)
        started = await anyio.run_process(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
        await anyio.to_thread.run_sync(self._background.started, handle, int(started.stdout))
        return {"output": "", "exit_code": None, "error": None, "handle": handle, "running": True}

    async def _finish(
        self, command: str, argv: list[str], environment: Mapping[str, str], within_s: float
    ) -> dict[str, Any]:
        capture = Capture(self._host.policy.terminal_output_chars)
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        try:
            try:
                with anyio.CancelScope(shield=True):  # else a program that starts just now is lost sight of
                    process = await anyio.open_process(
                        argv,
                        env=environment,
                        stdin=subprocess.DEVNULL,
                        stdout=writing,
                        stderr=writing,
                        start_new_session=True,
                    )
            finally:
                os.close(writing)
            in_time = await _watched(process, capture, reading, within_s)
            capture.take(reading)
        finally:
            os.close(reading)
        if not in_time:
            return _answer(capture.text(f"\n[Command timed out after {within_s:g}s]"), TIMED_OUT)
        assert process.returncode is not None
        answer = _answer(capture.text(), process.returncode)
        if meaning := meaning_of(command, process.returncode):
            answer["exit_code_meaning"] = meaning
        return answer


async def _watched(process: anyio.abc.Process, capture: Capture, reading: int, within_s: float) -> bool:
    """Take in what it writes until it ends; whether it ended in time. If cancelled, it is ended too."""
    try:
        with anyio.move_on_after(within_s):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(capture.read, reading)
                await process.wait()
                tasks.cancel_scope.cancel()
    finally:
        in_time = process.returncode is not None
        if not in_time:
            await end_group(process)
    return in_time


def _answer(output: str, exit_code: int) -> dict[str, Any]:
    return {"output": without_escapes(output).strip(), "exit_code": exit_code, "error": None}


def _not_run(why: str) -> dict[str, Any]:
    return {"output": "", "exit_code": NOT_RUN, "error": why}
