"""Secrets that are made once, such as the one that opens the HTTP listener for its own user: files of the state
directory that he alone can read.
"""

import re
import secrets
from pathlib import Path

from mcp_notebook import secret_files
from mcp_notebook.errors import ListenerRefused

FILE = "http-token"
WHAT = "The token for HTTP"
REMEDY = "remove it, and the next start makes a new one."
_BYTES = 32
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
        secret_files.make(path, f"{secrets.token_urlsafe(_BYTES)}\n")
        return _read(path, what)
    except OSError as exc:
        raise ListenerRefused(
            f"{what} cannot be kept in {path} ({exc.strerror}): make its directory writable."
        ) from exc


def _read(path: Path, what: str) -> str:
    text = secret_files.read(path, REMEDY, what).strip()
    if not _TOKEN.fullmatch(text):
        raise secret_files.refused(path, "holds no token", REMEDY, what)
    return text
