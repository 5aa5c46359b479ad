"""The program that searches in files: ripgrep where the session has it, else ``grep.py``.

Both are given the files by name, so what is searched does not depend on which it is. The dialect of
expressions does: ripgrep has no look-around and no back-references but character classes by name and
by property (``[[:alpha:]]``, ``\\p{Greek}``), Python the reverse; and Python lets ``.`` match a byte
that is no UTF-8.
"""

import contextlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio.abc import Process

SHOWN_CHARS = 500
ENDS_WITHIN_S = 5.0
_SCRIPT = Path(__file__).with_name("grep.py")
_RIPGREP = ("--no-config", "--null", "--line-number", "--no-heading", "--with-filename", "--color=never", "--text")
_IN_ORDER = ("--threads=1", "--no-mmap", "--no-context-separator", "--no-ignore", "--hidden", "--no-column")
_NUMBERED = re.compile(rb"(\d+)([:-]?)")
# Of a record no more is kept: the longest path, a number, and what is shown at four bytes a character.
_KEPT_BYTES = 4096 + 32 + 4 * SHOWN_CHARS


@dataclass(frozen=True)
class Row:
    """A line that was found, one of its context, or a file's count."""

    path: bytes
    number: int
    """Of the line; in a count, how many."""
    content: str


Take = Callable[[list[Row]], Awaitable[bool]]
"""Takes rows as they come; True asks for no more."""


@dataclass(frozen=True)
class Engine:
    """How one search is run."""

    ripgrep: str | None
    environment: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str], workspace: Path) -> "Engine":
        """That of a session: a ripgrep in the workspace is not run, for a sandboxed kernel could have put it there."""
        found = shutil.which("rg", path=environment.get("PATH", ""))
        if found and (not Path(found).is_absolute() or Path(found).resolve().is_relative_to(workspace)):
            found = None
        return cls(found, {"PATH": environment.get("PATH", "")})

    def command(self, pattern: str, mode: str, context: int, files: Sequence[bytes]) -> list[str | bytes]:
        """The command line; ``mode`` is ``lines`` or ``count``."""
        if not self.ripgrep:
            return [sys.executable, "-I", "-S", "-X", "utf8", str(_SCRIPT), mode, f"{context}", pattern, *files]
        what = ["--count"] if mode == "count" else [f"--context={context}"]
        return [self.ripgrep, *_RIPGREP, *_IN_ORDER, *what, f"--regexp={pattern}", "--", *files]

    async def complaint(self, pattern: str) -> str | None:
        """Why the expression cannot be searched for, if it cannot."""

        async def ignore(_rows: list[Row]) -> bool:
            return False

        status, errors = await self.run(pattern, "lines", 0, [b"/dev/null"], Path("/"), ignore)
        lines = [line for line in errors.removeprefix("rg: ").splitlines() if line.strip()]
        return "\n".join(lines) if status == 2 else None

    async def run(
        self, pattern: str, mode: str, context: int, files: Sequence[bytes], directory: Path, take: Take
    ) -> tuple[int, str]:
        """Search the files, named from ``directory``; the program's status and what it complained about.

        The program is killed when no more is wanted and when this is cancelled.
        """
        with tempfile.TemporaryFile() as errors:
            # Cancelled while it starts, the program would be left to itself.
            with anyio.CancelScope(shield=True):
                process = await anyio.open_process(
                    self.command(pattern, mode, context, files),
                    stdin=subprocess.DEVNULL,
                    stderr=errors,
                    cwd=directory,
                    env=dict(self.environment),
                )
            try:
                await _hand_over(process, take)
            finally:
                status = await _end(process)
            errors.seek(0)
            return status, errors.read(10_000).decode(errors="replace").strip()


async def _hand_over(process: Process, take: Take) -> None:
    rows = Rows()
    assert process.stdout is not None
    async for chunk in process.stdout:
        if (ready := rows.feed(chunk)) and await take(ready):
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            return
    await process.wait()


async def _end(process: Process) -> int:
    with anyio.move_on_after(ENDS_WITHIN_S, shield=True):
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        await process.aclose()
    return process.returncode if process.returncode is not None else -1


class Rows:
    """What the program prints, taken apart as it comes."""

    def __init__(self) -> None:
        self._pending = bytearray()
        self._in_path = True
        self._skipping = False

    def feed(self, chunk: bytes) -> list[Row]:
        """The rows that the chunk completes."""
        rows: list[Row] = []
        for piece in re.findall(rb"[^\0\n]*[\0\n]|[^\0\n]+", chunk):
            self._keep(piece)
            # A path may hold line ends, a line may hold NULs.
            if self._in_path and piece.endswith(b"\0"):
                self._in_path = False
            elif not self._in_path and piece.endswith(b"\n"):
                rows += self._row()
        return rows

    def _keep(self, piece: bytes) -> None:
        if len(self._pending) < _KEPT_BYTES:
            self._pending += piece

    def _row(self) -> list[Row]:
        path, _, rest = bytes(self._pending).partition(b"\0")
        self._pending.clear()
        self._in_path = True
        numbered = _NUMBERED.match(rest)
        if numbered is None:
            return []
        content = rest[numbered.end() :].removesuffix(b"\n").decode(errors="replace")[:SHOWN_CHARS]
        return [Row(path, int(numbered[1]), content)]
