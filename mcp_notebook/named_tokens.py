"""The tokens of named principals: a file of the state directory with a hash of each, and whom it lets in.

A token is 256 random bits, so that its plain hash gives nothing away; it is shown once, when it is made. Servers read
the file again when it has changed.
"""

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mcp_notebook import secret_files
from mcp_notebook.errors import BadRequest, ListenerRefused, NotReadNow, StateUnusable

FILE = "tokens.json"
REMEDY = "remove it, and make the tokens anew with `mcp-notebook token add`."
PREFIX = "mnb_"
"""Begins each token, so that those who look for secrets in files find it."""
_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NamedToken:
    """Whose it is, a hash of it, and when it was made, in ISO form."""

    name: str
    sha256: str
    made: str


def add(home: Path, name: str) -> str:
    """Make a token for the principal ``name`` and return it.

    Raises:
        BadRequest: no name that can be used, or one that has a token.
        ListenerRefused, StateUnusable: the file is no secret, or cannot be written.
    """
    if not _NAME.fullmatch(name) or name.lower() == "local":
        raise BadRequest(
            f"{name!r} cannot be a principal's name: take up to 64 letters, digits and . _ @ + -, beginning with a"
            " letter or digit, and not `local`, which is you."
        )
    token = f"{PREFIX}{secrets.token_urlsafe(_BYTES)}"
    with _changing(home) as tokens:
        if any(each.name == name for each in tokens):
            raise BadRequest(f"{name} has a token: `mcp-notebook token revoke {name}` first, or take another name.")
        tokens.append(NamedToken(name, _hash(token), datetime.now(UTC).isoformat(timespec="seconds")))
    return token


def revoke(home: Path, name: str) -> None:
    """Let nobody in by the token of ``name`` any more. Raises as ``add``."""
    with _changing(home) as tokens:
        left = [each for each in tokens if each.name != name]
        if len(left) == len(tokens):
            raise BadRequest(f"{name!r} has no token: `mcp-notebook token list` shows who has one.")
        tokens[:] = left


def listed(home: Path) -> list[NamedToken]:
    """Those that there are, by name. Raises ListenerRefused; NotReadNow where nothing can be told of them."""
    try:
        text = secret_files.read(home / FILE, REMEDY)
    except FileNotFoundError:
        return []
    try:
        tokens = [NamedToken(name, each["sha256"], each["made"]) for name, each in json.loads(text).items()]
        usable = all(_NAME.fullmatch(each.name) and _HASH.fullmatch(each.sha256) for each in tokens)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        usable = False
    if not usable:
        raise secret_files.refused(home / FILE, "holds no tokens", REMEDY)
    return sorted(tokens, key=lambda each: each.name)


class NamedTokens:
    """The file as a server sees it: read again when it has changed, and empty while it cannot be used."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._seen: tuple[int, ...] | None = None
        self._names: dict[str, str] = {}
        self._told = ""

    def name_of(self, token: str) -> str | None:
        """Whom the token lets in. Blocks, hardly ever for long.

        Raises:
            NotReadNow: the file has changed and cannot be read at this moment: a token may have been revoked in it.
        """
        seen = self._stamp()
        if seen is None or seen != self._seen:
            self._seen = None
            self._names, is_sure = ({}, False) if seen is None else self._read()
            self._seen = seen if is_sure else None
        return self._names.get(_hash(token))

    def _stamp(self) -> tuple[int, ...] | None:
        """Changes with the file; None while there is none, or none that may be looked at."""
        try:
            found = (self._home / FILE).lstat()
        except OSError as exc:
            if exc.errno in secret_files.PASSING:
                unread = secret_files.not_read_now(self._home / FILE, exc)
                self._tell(unread)
                raise unread from exc
            return None
        return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size

    def _read(self) -> tuple[dict[str, str], bool]:
        """The names by hash, and whether they stay so until the file changes: leave to read it comes without that."""
        try:
            names = {each.sha256: each.name for each in listed(self._home)}
        except NotReadNow as exc:
            self._tell(exc)
            raise
        except ListenerRefused as exc:
            self._tell(exc)
            return {}, not isinstance(exc.__cause__, OSError)
        self._told = ""
        return names, True

    def _tell(self, exc: ListenerRefused) -> None:
        """Once, and not for every request that comes."""
        if str(exc) != self._told:
            logger.warning("Nobody with a token of his own comes in: %s", exc)
            self._told = str(exc)


@contextlib.contextmanager
def _changing(home: Path) -> Iterator[list[NamedToken]]:
    """The tokens, written when the block ends; one process at a time."""
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        directory = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as exc:
        raise _unusable(home, exc) from exc
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        tokens = listed(home)
        yield tokens
        data = {each.name: {"sha256": each.sha256, "made": each.made} for each in tokens}
        secret_files.replace(home / FILE, json.dumps(data, indent=1))
    except OSError as exc:
        raise _unusable(home, exc) from exc
    finally:
        os.close(directory)


def _unusable(home: Path, exc: OSError) -> StateUnusable:
    return StateUnusable(
        f"Tokens cannot be kept in {home} ({exc.strerror}): make it a directory that you may write to."
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
