"""The user's own git, run so that it never waits for a person and never outlives its call.

It gets the environment of the session's client, less what would point it to another repository. Its words are read in
English, and passed on without what is secret in them.
"""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Self

import anyio
import anyio.to_thread
from anyio.abc import Process

from mcp_notebook.errors import GitFailed
from mcp_notebook.terminal import plain

QUICK_S = 60.0
"""For what needs neither network nor hooks."""
_ENDS_WITHIN_S = 3.0
_MOST_BYTES = 64_000_000
_MUCH_BYTES = 500_000
"""From here on reading and writing take milliseconds, which others should not wait for."""
_MOST_WORDS_CHARS = 1500
_OF_A_REPOSITORY = frozenset({
    "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_COMMON_DIR", "GIT_CONFIG", "GIT_DIR", "GIT_GRAFT_FILE",
    "GIT_GLOB_PATHSPECS", "GIT_ICASE_PATHSPECS", "GIT_IMPLICIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_LITERAL_PATHSPECS",
    "GIT_NAMESPACE", "GIT_NOGLOB_PATHSPECS", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX", "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE", "GIT_WORK_TREE",
})  # fmt: skip
"""Left out: whoever started the client inside of a hook did not mean our repository."""
_OF_A_TERMINAL = frozenset({"GPG_TTY"})
"""Left out: the signing of a commit would ask there for a passphrase."""
_NEVER_ASKING = {
    "GIT_TERMINAL_PROMPT": "0",
    "GCM_INTERACTIVE": "never",
    "SSH_ASKPASS_REQUIRE": "never",
    "GIT_EDITOR": ":",
    "GIT_PAGER": "cat",
    "GIT_OPTIONAL_LOCKS": "0",
}
_USERINFO = re.compile(r"(?<=://)[^\s/?#]+@")
_HEADER = re.compile(r"(?i)(authorization: *)(?:\w+ +)?\S+")


@dataclass(frozen=True)
class Done:
    """How a git ended, and what it said."""

    code: int
    stdout: str
    stderr: str

    @property
    def words(self) -> str:
        """What a person would read of it, in one line, without the passwords of URLs."""
        return in_one_line(self.stderr.strip() or self.stdout.strip())[:_MOST_WORDS_CHARS]


def in_one_line(text: str) -> str:
    """What a terminal would show of it, without secrets."""
    return without_secrets(" ".join(plain(text.encode(errors="replace").decode()).split()))


def without_secrets(text: str) -> str:
    """The text without what is before the @ of a URL, and without headers that authenticate."""
    return _HEADER.sub(r"\1[hidden]", _USERINFO.sub("", text))


@dataclass(frozen=True)
class Git:
    """git in one directory, with the environment of whoever wants it."""

    directory: Path
    environment: Mapping[str, str]

    @classmethod
    def of(cls, directory: Path, client: Mapping[str, str]) -> Self:
        """For a client's environment."""
        kept = {
            name: value
            for name, value in client.items()
            if name not in _OF_A_REPOSITORY | _OF_A_TERMINAL and not name.startswith("GIT_TRACE") and "\0" not in value
        }
        if "LC_ALL" in kept:  # only the messages are to be English
            kept["LANG"] = kept.pop("LC_ALL")
        kept.pop("LANGUAGE", None)
        return cls(directory, kept | {"LC_MESSAGES": "C"} | _NEVER_ASKING)

    def having(self, **more: str) -> Self:
        """The same with more variables, such as the index to use."""
        return replace(self, environment={**self.environment, **more})

    async def over_network(self) -> Self:
        """The same with an ssh that asks nobody, unless the user has chosen his own."""
        chosen = self.environment.get("GIT_SSH_COMMAND") or self.environment.get("GIT_SSH")
        if chosen or await self.maybe("config", "--get", "core.sshCommand"):
            return self
        return self.having(GIT_SSH_COMMAND="ssh -o BatchMode=yes")

    async def run(self, *arguments: str, stdin: bytes = b"", timeout_s: float = QUICK_S) -> Done:
        """Run it to its end. If cancelled or late, it and all that it started end first.

        Raises:
            GitFailed: there is no git, no room for what it says, or it took longer than ``timeout_s``.
        """
        try:
            return await self._run(arguments, stdin, timeout_s)
        except OSError as exc:
            raise GitFailed(
                f"`git {arguments[0]}` cannot be run: {exc.strerror or exc}. Make room, or try again."
            ) from exc

    async def _run(self, arguments: tuple[str, ...], stdin: bytes, timeout_s: float) -> Done:
        # Files and no pipes: what a hook leaves running would keep these open.
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            await anyio.to_thread.run_sync(_give, given, stdin) if len(stdin) > _MUCH_BYTES else _give(given, stdin)
            process = await self._started(arguments, given, out, err)
            try:
                with anyio.fail_after(timeout_s):
                    code = await process.wait()
            except TimeoutError:
                raise GitFailed(
                    f"`git {arguments[0]}` did not end within {timeout_s:g} s and was ended. It may wait for a person, "
                    "for the network or for a hook: try it in a terminal."
                ) from None
            finally:
                await _end(process)
            if out.seek(0, os.SEEK_END) > _MUCH_BYTES:
                return Done(code, await anyio.to_thread.run_sync(_text, out, "surrogateescape"), _text(err, "replace"))
            return Done(code, _text(out, "surrogateescape"), _text(err, "replace"))

    async def text(self, *arguments: str, stdin: bytes = b"") -> str:
        """What it prints, without the line end.

        Raises:
            GitFailed: it failed, with its words.
        """
        done = await self.run(*arguments, stdin=stdin)
        if done.code:
            raise GitFailed(f"`git {arguments[0]}` failed: {done.words or f'exit code {done.code}'}")
        return done.stdout.removesuffix("\n")

    async def maybe(self, *arguments: str) -> str | None:
        """The same; None if it failed or printed nothing."""
        done = await self.run(*arguments)
        return done.stdout.removesuffix("\n") or None if done.code == 0 else None

    async def _started(self, arguments: tuple[str, ...], given: IO[bytes], out: IO[bytes], err: IO[bytes]) -> Process:
        program = shutil.which("git", path=self.environment.get("PATH", os.defpath))
        if program is None:
            raise GitFailed("git is not in the PATH of the session's client. Install it, or mend PATH.")
        try:
            return await anyio.open_process(
                [program, *arguments],
                cwd=self.directory,
                env=self.environment,
                stdin=given,
                stdout=out,
                stderr=err,
                start_new_session=True,  # no terminal to ask at, and one group to end
            )
        except (OSError, ValueError) as exc:
            raise GitFailed(f"git cannot be started in {self.directory} ({exc}).") from exc


async def _end(process: Process) -> None:
    """It, and what it started: first git, which then removes its locks, then what is left of hooks and transports."""
    if process.returncode is not None:
        return
    with anyio.CancelScope(shield=True):
        for how in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, how)
            with anyio.move_on_after(_ENDS_WITHIN_S):
                await process.wait()


def _give(file: IO[bytes], data: bytes) -> None:
    file.write(data)
    file.seek(0)


def _text(file: IO[bytes], errors: str) -> str:
    file.seek(0)
    return file.read(_MOST_BYTES).decode(errors=errors)
