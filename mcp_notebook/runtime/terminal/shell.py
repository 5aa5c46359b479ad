"""The shell of a session between its commands: a directory and exported variables, kept in two files.

Each command is a process of its own that begins with what the one before left. So nothing is lost when a command
is killed or the server is, and no command can spoil the shell for the next ones. Where the machine has no bash its
``sh`` does the same.
"""

import os
import shutil
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from shlex import quote

import anyio
import anyio.abc
import psutil

TERMINATE_WITHIN_S = 1.0
INLINE_CHARS = 60_000
"""A longer command is read from a file: the system limits the length of an argument."""
NO_DIRECTORY = 126

_SCRIPT = """\
{cd} || exit {no_directory}
{begin}__mcp_notebook_save() {{
  __mcp_notebook_save() {{ :; }}
  ( umask 077{forget}; export -p >{new}."$$" && command -p mv -f {new}."$$" {variables}{keep_place} ) || :
}}
trap '{{ __mcp_notebook_save; }} 2>/dev/null' EXIT
eval {command}; {{ set -- "$?"; set +x; __mcp_notebook_save; }} 2>/dev/null; exit "$1"
"""
"""It saves before it exits too: the command may have set a trap of its own. All that could fail if the command has
changed PATH, IFS or the like is written so that it does not."""
_KEPT_BY_BASH = "; export -n BASHOPTS BASH_VERSINFO EUID PPID PWD SHELLOPTS UID"
"""It refuses to have these set, and in POSIX mode ends when the next command would; PWD may have been made readonly."""


class Shell:
    """``directory`` holds its files; ``start`` is the first working directory."""

    def __init__(self, directory: Path, start: Path) -> None:
        self._directory = directory
        self._start = start
        self._variables, self._place = directory / "variables", directory / "cwd"

    @property
    def cwd(self) -> Path:
        """Where the next command runs."""
        with suppress(OSError):
            place = Path(os.fsdecode(self._place.read_bytes().removesuffix(b"\n")))
            if place.is_dir():
                return place
        return self._start

    def argv(self, command: str, workdir: str | None) -> list[str]:
        """What runs ``command``; a ``workdir``, relative to the shell's own directory, holds for it alone. Blocks."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = quote(command)
        if len(command) > INLINE_CHARS:
            file = self._directory / f"command-{os.urandom(4).hex()}"
            file.write_text(command, encoding="utf-8", errors="surrogateescape")
            text = f'"$(cat {quote(str(file))}; rm -f {quote(str(file))})"'
        bash = shutil.which("bash")
        new, place = quote(str(self._directory / "new")), quote(str(self._place))
        directory = quote(str(self.cwd / workdir if workdir else self.cwd))
        begin = f". {quote(str(self._variables))} >/dev/null 2>&1\n" if self._variables.exists() else ""
        script = _SCRIPT.format(
            cd=f"{'builtin ' if bash else ''}cd -- {directory}",
            begin=begin if bash or not begin else f"{begin}PWD={directory}\n",
            no_directory=NO_DIRECTORY,
            forget=_KEPT_BY_BASH if bash else "",
            new=new,
            variables=quote(str(self._variables)),
            keep_place="" if workdir else f'; pwd -P >{new}."$$" && command -p mv -f {new}."$$" {place}',
            command=text,
        )
        return [bash, "--norc", "--noprofile", "-c", script] if bash else ["sh", "-c", script]

    def forget(self) -> None:
        """Remove what it keeps: variables may hold secrets. Blocks."""
        for file in (self._variables, self._place):
            file.unlink(missing_ok=True)

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """What a command's process begins with: after the first one, what that left is all there is."""
        if not self._variables.exists():
            return given
        return {name: given[name] for name in ("PATH",) if name in given}


async def end_group(process: anyio.abc.Process) -> None:
    """End a command and all that it started, by SIGTERM, then SIGKILL; those that left its group too."""
    with anyio.CancelScope(shield=True):
        below = await anyio.to_thread.run_sync(_descendants, process.pid)
        _signal(process.pid, below, signal.SIGTERM)
        with anyio.move_on_after(TERMINATE_WITHIN_S):
            await process.wait()
        _signal(process.pid, below, signal.SIGKILL)
        await process.wait()


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _signal(group: int, below: list[psutil.Process], number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
    for each in below:
        with suppress(psutil.Error):
            each.send_signal(number)
