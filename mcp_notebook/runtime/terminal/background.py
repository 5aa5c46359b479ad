"""Commands that go on while others run: found again by their handle, also by the next server."""

import json
import os
import re
import secrets
import signal
from contextlib import suppress
from pathlib import Path
from shlex import quote
from typing import Any

from mcp_notebook.identity import ProcessId
from mcp_notebook.runtime.terminal.capture import Capture
from mcp_notebook.terminal import without_escapes

HANDLE = re.compile(r"p-[0-9a-f]{8}")
CHARACTER_BYTES = 4
UNKNOWN = "No background command has this handle in this session."


class Background:
    """Below ``directory`` one directory for each: its output, its process, at its end its exit code."""

    def __init__(self, directory: Path, output_chars: int) -> None:
        self._directory = directory
        self._output_chars = output_chars

    def prepare(self) -> str:
        """A new handle. Blocks."""
        handle = f"p-{secrets.token_hex(4)}"
        (self._directory / handle).mkdir(mode=0o700, parents=True)
        return handle

    def argv(self, handle: str, command: list[str]) -> list[str]:
        """Starts ``command`` as nobody's child, says its process id and ends; what comes of it is written down."""
        place = self._directory / handle
        output, ended = quote(str(place / "output")), quote(str(place / "ended"))
        run = f"{' '.join(map(quote, command))} >{output} 2>&1; echo $? >{ended}.new; mv {ended}.new {ended}"
        return ["sh", "-c", f"{{ {run}; }} </dev/null >/dev/null 2>&1 & echo $!"]

    def started(self, handle: str, pid: int) -> None:
        """It runs as this process, in a group of its own. Blocks."""
        identity = ProcessId.of(pid)
        if identity is not None:  # else it has ended already
            (self._directory / handle / "process").write_text(json.dumps(identity.as_data()))

    def poll(self, handle: str) -> dict[str, Any]:
        """The output so far, and the exit code once it has ended. Blocks."""
        place = self._place(handle)
        if place is None:
            return {"output": "", "exit_code": -1, "error": UNKNOWN}
        running = self._is_running(place)
        answer: dict[str, Any] = {"output": self._output(place), "exit_code": None, "error": None}
        answer |= {"handle": handle, "running": running}
        if not running:
            answer["exit_code"] = _code(place)
            if answer["exit_code"] is None:
                answer["error"] = "It was killed: how it ended is not known."
        return answer

    def kill(self, handle: str) -> dict[str, Any]:
        """End it, and all of its group. Blocks."""
        place = self._place(handle)
        if place is not None:
            _end(place)
        return self.poll(handle)

    def end_all(self) -> None:
        """The session has ended. Blocks."""
        for place in self._directory.glob("p-*"):
            _end(place)

    def _place(self, handle: object) -> Path | None:
        if not isinstance(handle, str) or not HANDLE.fullmatch(handle):
            return None
        place = self._directory / handle
        return place if place.is_dir() else None

    def _is_running(self, place: Path) -> bool:
        process = _process(place)
        return process is not None and process.is_alive() and not (place / "ended").exists()

    def _output(self, place: Path) -> str:
        """Of a very long one what is at its two ends: it is read again at every poll."""
        most = CHARACTER_BYTES * self._output_chars
        with suppress(OSError), (place / "output").open("rb") as file:
            data = file.read(2 * most)
            size = os.fstat(file.fileno()).st_size
            if size > 2 * most:
                file.seek(size - most)
                left_out = f"\n\n... [OUTPUT TRUNCATED - {size - 2 * most:,} bytes omitted] ...\n\n".encode()
                data = data[:most] + left_out + file.read(most)
            capture = Capture(self._output_chars)
            capture.add(data)
            return without_escapes(capture.text()).strip()
        return ""


def _process(place: Path) -> ProcessId | None:
    try:
        return ProcessId.from_data(json.loads((place / "process").read_text()))
    except (OSError, ValueError):
        return None


def _code(place: Path) -> int | None:
    try:
        code = int((place / "ended").read_text())
    except (OSError, ValueError):
        return None
    return 128 - code if 0 < code - 128 < signal.NSIG else code  # a shell tells signal n as 128 + n


def _end(place: Path) -> None:
    process = _process(place)
    if process is not None and process.is_alive():
        with suppress(OSError):
            os.killpg(os.getpgid(process.pid), signal.SIGKILL)
