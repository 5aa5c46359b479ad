"""Files of the state directory that their user alone may read: read with care, and written whole."""

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

from mcp_notebook.errors import ListenerRefused, NotReadNow

LONGEST_BYTES = 4 << 20
PASSING = (
    errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS, errno.EIO, errno.EAGAIN, errno.EINTR, errno.EBUSY,
    errno.ESTALE, errno.ETIMEDOUT,
)  # fmt: skip
"""Errors that say nothing about the file."""
HTTP = "Who comes in over HTTP"


def read(path: Path, remedy: str, what: str = HTTP) -> str:
    """Its text. ``remedy`` says what to do where ``what`` is no secret.

    Raises:
        FileNotFoundError: there is none.
        NotReadNow: it cannot be read at this moment.
        ListenerRefused: somebody else may have read or written it, or it cannot be read.
    """
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as exc:
        if exc.errno in (errno.ELOOP, errno.EMLINK):
            raise refused(path, "is a symbolic link", remedy, what) from exc
        raise _unread(path, exc, remedy, what) from exc
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise refused(path, "is no regular file", remedy, what)
        if found.st_uid != os.geteuid():
            raise refused(path, "belongs to another user", remedy, what)
        if found.st_mode & 0o077:
            raise refused(path, f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})", remedy, what)
        with os.fdopen(file, "rb", closefd=False) as opened:
            return opened.read(LONGEST_BYTES).decode("utf-8", "replace")
    except OSError as exc:
        raise _unread(path, exc, remedy, what) from exc
    finally:
        os.close(file)


def make(path: Path, text: str) -> None:
    """Whole at once: a half-written one never has the name, and the first one with it stays. Raises OSError."""
    draft = _drafted(path, text)
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()


def replace(path: Path, text: str) -> None:
    """Whole at once, in place of what was there. Raises OSError."""
    draft = _drafted(path, text)
    try:
        draft.replace(path)
    except OSError:
        draft.unlink()
        raise


def refused(path: Path, why: str, remedy: str, what: str = HTTP) -> ListenerRefused:
    """Why the file cannot be used, and what to do."""
    return ListenerRefused(f"{what} must be your secret, and {path} {why}: {remedy}")


def not_read_now(path: Path, exc: OSError) -> NotReadNow:
    """Nothing is to be done about the file."""
    return NotReadNow(
        f"{path} cannot be read now ({exc.strerror}): try again. If that stays so, look for what is used up on this "
        "machine (open files, memory), or at its disk; the file may be in order."
    )


def _unread(path: Path, exc: OSError, remedy: str, what: str) -> ListenerRefused:
    if exc.errno in PASSING:
        return not_read_now(path, exc)
    return refused(path, f"cannot be read ({exc.strerror})", remedy, what)


def _drafted(path: Path, text: str) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "w") as opened:
            os.fchmod(file, 0o600)
            opened.write(text)
            opened.flush()
            os.fsync(file)
    except OSError:
        draft.unlink()
        raise
    return draft
