"""Secrets that are made once, such as the one that opens the HTTP listener: files of the state directory that its user
alone can read.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
from pathlib import Path

from mcp_notebook.errors import ListenerRefused

FILE = "http-token"
WHAT = "The token for HTTP"
_BYTES = 32
_LONGEST_FILE = 4096
_TOKEN = re.compile(r"[A-Za-z0-9_-]{32,}")


def token(home: Path, file: str = FILE, what: str = WHAT) -> str:
    """The secret in ``file`` of this state directory; the first call makes it. Servers that start at once agree on one.

    Raises:
        ListenerRefused: somebody else may have read or written the file, or it cannot be used. It speaks of ``what``.
    """
    path = home / file
    try:
        return _read(path, what)
    except FileNotFoundError:
        pass
    try:
        _make(path)
        return _read(path, what)
    except OSError as exc:
        raise ListenerRefused(
            f"{what} cannot be kept in {path} ({exc.strerror}): make its directory writable."
        ) from exc


def _read(path: Path, what: str) -> str:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as exc:
        why = "is a symbolic link" if exc.errno in (errno.ELOOP, errno.EMLINK) else f"cannot be read ({exc.strerror})"
        raise _refused(path, what, why) from exc
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise _refused(path, what, "is no regular file")
        if found.st_uid != os.geteuid():
            raise _refused(path, what, "belongs to another user")
        if found.st_mode & 0o077:
            raise _refused(path, what, f"is open to others (mode {stat.S_IMODE(found.st_mode):04o})")
        text = os.read(file, _LONGEST_FILE).decode("ascii", "replace").strip()
    finally:
        os.close(file)
    if not _TOKEN.fullmatch(text):
        raise _refused(path, what, "holds no token")
    return text


def _make(path: Path) -> None:
    """Whole at once: a half-written one never has the name, and the first one with it stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file, 0o600)
        os.write(file, f"{secrets.token_urlsafe(_BYTES)}\n".encode())
        os.fsync(file)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.close(file)
        draft.unlink()


def _refused(path: Path, what: str, why: str) -> ListenerRefused:
    return ListenerRefused(f"{what} must be your secret, and {path} {why}: remove it; the next start makes a new one.")
