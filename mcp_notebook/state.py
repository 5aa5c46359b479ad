"""The state directory: what sessions keep outside of the workspace, for a week after their end.

Each session has a directory of its own, with its long outputs and its kernels' log files. Several servers of
one user share the state directory: what belongs to a living one is never removed.
"""

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from mcp_notebook.errors import StateUnusable
from mcp_notebook.identity import ProcessId

SESSIONS = "sessions"
JOURNAL = "journal.jsonl"
"""In the directory of a session that has not ended, which another server may go on with."""
KEPT_S = 7 * 24 * 3600
OWNER = "owner"
"""A file with the identity of the process that a directory belongs to; where that cannot be had, its process id."""

logger = logging.getLogger(__name__)


def prepare(home: Path) -> None:
    """Make the state directory, for this user alone, and remove what nobody can ask for any more.

    Raises:
        StateUnusable: it cannot be made or written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (home / SESSIONS).mkdir(mode=0o700, exist_ok=True)
        for directory in _expired(home / SESSIONS):
            shutil.rmtree(directory, ignore_errors=True)  # another server may be at it too
    except OSError as exc:
        raise _unusable(home, exc) from exc


def session_directory(home: Path, handle: str) -> Path:
    """Make the directory of a new session. Raises StateUnusable."""
    directory = home / SESSIONS / handle
    try:
        directory.mkdir(mode=0o700, parents=True)
        own(directory)
    except OSError as exc:
        raise _unusable(home, exc) from exc
    return directory


def own(directory: Path) -> None:
    """Mark a directory as this process's. Raises OSError."""
    me = ProcessId.of(os.getpid())
    replace_json(directory / OWNER, me.as_data() if me else os.getpid())


def take_over(directory: Path) -> None:
    """Mark the directory of a session that an earlier server had; where there is no room, its mark stays."""
    try:
        own(directory)
    except OSError as exc:
        logger.warning("%s cannot be marked as this server's: %s.", directory, exc.strerror)


def replace_json(path: Path, data: object) -> None:
    """Write a file that is read as a whole or not at all. Raises OSError."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(data))
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def leave(directory: Path) -> None:
    """Its session has ended: the week begins, if it left anything."""
    with contextlib.suppress(OSError):
        (directory / OWNER).unlink()
        os.utime(directory)
        directory.rmdir()


def is_owned(directory: Path) -> bool:
    """Whether the process that it belongs to lives, as far as can be told."""
    try:
        data = json.loads((directory / OWNER).read_bytes())
        if (process := ProcessId.from_data(data)) is not None:
            return process.may_live()
        os.kill(int(data), 0)
    except (FileNotFoundError, ProcessLookupError, ValueError, TypeError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _expired(sessions: Path) -> Iterator[Path]:
    before = time.time() - KEPT_S
    for directory in sessions.iterdir():
        with contextlib.suppress(FileNotFoundError):
            old = directory.lstat().st_mtime < before
            if old and not (directory / JOURNAL).exists() and not is_owned(directory):
                yield directory


def _unusable(home: Path, exc: OSError) -> StateUnusable:
    return StateUnusable(
        f"The state directory {home} cannot be used ({exc.strerror}): make it a directory that you may write to,"
        " or set MCP_NOTEBOOK_HOME to another one."
    )
