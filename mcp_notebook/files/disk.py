"""Files as bytes: read whole, compared cheaply, replaced atomically.

Knows nothing of notebooks. Several files are replaced together: all are written and synced
beside their targets first, then renamed one after the other, so that a full or a read-only
disk is met before anything changed.
"""

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp_notebook.errors import FileRefused, SaveFailed

ABSENT = ""
"""The digest of a file that is not there."""
TEMPORARY = ".mcp-notebook-"
"""How the names of files that live for the time of a save begin."""
LEFT_BEHIND_S = 3600.0

# Two writes within one tick of a file system's clock (2 s on FAT) can leave the same time.
_CLOCK_TICK_NS = 2_000_000_000
_WHAT_TO_DO = {
    errno.ENOSPC: "Free some space and save again, or save to another path.",
    errno.EDQUOT: "The disk quota is used up: free some space and save again.",
    errno.EFBIG: "The file would be larger than this process may write: clear large outputs and save again.",
    errno.EROFS: "The file system is read-only: save to another path.",
    errno.EACCES: "Permission is missing: save to another path, or have the permissions changed.",
    errno.EPERM: "Permission is missing: save to another path, or have the permissions changed.",
    errno.ENAMETOOLONG: "Save under a shorter name.",
}

# Between the look at what is there and the renames nobody else of this process may write.
_RENAMING = threading.Lock()


@dataclass(frozen=True)
class Stamp:
    """What ``stat`` said of a file whose content is known; None where that proves nothing."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def contents(path: Path) -> bytes | None:
    """The whole file, None if there is none.

    Raises:
        FileRefused: unreadable, or no regular file (a pipe would block for ever).
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise FileRefused(f"{path} is not a regular file. Name a notebook file.")
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise FileRefused(f"{path} cannot be read ({exc.strerror}). Fix its permissions or name another file.") from exc


def digest(data: bytes | None) -> str:
    """SHA-256 in hex; ``ABSENT`` for None."""
    return ABSENT if data is None else hashlib.sha256(data).hexdigest()


def stamp(path: Path) -> Stamp | None:
    """The file's stamp if it is old enough that any later write must change it, else None."""
    try:
        found = path.stat()
    except OSError:
        return None
    newest = max(found.st_mtime_ns, found.st_ctime_ns)
    if time.time_ns() - newest < _CLOCK_TICK_NS:
        return None
    return Stamp(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


def target(path: Path, workspace: Path | None) -> Path:
    """Where a write to ``path`` ends, symlinks followed (also one whose target does not exist yet).

    Raises:
        FileRefused: that is outside the workspace.
    """
    real = Path(os.path.realpath(path))
    if workspace is not None and not real.is_relative_to(workspace):
        raise FileRefused(f"{path} leads to {real}, outside the workspace {workspace}. Name a path inside it.")
    return real


def replace(files: Mapping[Path, bytes], *, expected: Mapping[Path, str]) -> bool:
    """Give every file its new bytes, in the order given, or leave all as they are.

    Missing parent directories are made. False, and nothing done, if a file's digest is no
    longer the ``expected`` one. A crash between two renames leaves the earlier files new.

    Raises:
        SaveFailed: naming the path; everything on disk is as before.
    """
    staged: dict[Path, Path] = {}
    for directory in {path.parent for path in files}:
        _sweep(directory)
    try:
        for path, data in files.items():
            with _save_errors(path):
                staged[path] = _staged(path, data)
        with _RENAMING:
            if any(digest(contents(path)) != was for path, was in expected.items()):
                return False
            _rename_all(staged)
        return True
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def create(path: Path, data: bytes) -> bool:
    """Write a file that nobody has; False, and nothing done, if there is one. Missing directories are made.

    Raises:
        SaveFailed: naming the path; there is no such file.
    """
    with _save_errors(path):
        _sweep(path.parent)
        staged = _staged(path, data)
        try:
            try:
                path.hardlink_to(staged)
            except FileExistsError:
                return False
            except OSError:  # no hard links on this file system
                if not _written_if_absent(path, data):
                    return False
            _sync_directory(path.parent)
            return True
        finally:
            staged.unlink(missing_ok=True)


def _written_if_absent(path: Path, data: bytes) -> bool:
    try:
        file = path.open("xb")
    except FileExistsError:
        return False
    try:
        with file:
            file.write(data)
    except BaseException:
        path.unlink()
        raise
    return True


def _sweep(directory: Path) -> None:
    """Remove what a program that was killed while it saved has left here."""
    before = time.time() - LEFT_BEHIND_S
    for left in [*directory.glob(f"{TEMPORARY}*.tmp"), *directory.glob(f"{TEMPORARY}*.old")]:
        with contextlib.suppress(OSError):
            if left.lstat().st_ctime < before:
                left.unlink()


def _staged(path: Path, data: bytes) -> Path:
    """The data in a synced temporary file beside ``path``, with the mode that ``path`` has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        with os.fdopen(descriptor, "wb") as file:
            _refuse_special(path)
            _refuse_write_protected(path)
            file.write(data)
            _keep_owner_and_mode(file.fileno(), path)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def is_special(path: Path) -> bool:
    """Whether it is there and neither a regular file nor a directory: a device, a pipe, a socket."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _refuse_special(path: Path) -> None:
    # A rename would put a file in the place of /dev/null.
    if is_special(path):
        raise SaveFailed(f"{path} is a device, a pipe or a socket, and stays as it is. Save to another path.")


def _refuse_write_protected(path: Path) -> None:
    # Renaming would get around the file's own mode, which somebody set on purpose.
    if path.exists() and not os.access(path, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _keep_owner_and_mode(descriptor: int, path: Path) -> None:
    try:
        old = path.stat()
    except FileNotFoundError:
        return
    new = os.fstat(descriptor)
    if (old.st_uid, old.st_gid) != (new.st_uid, new.st_gid):
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, old.st_uid, old.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))


def _rename_all(staged: Mapping[Path, Path]) -> None:
    done: list[tuple[Path, Path | None]] = []
    try:
        for path, temporary in staged.items():
            with _save_errors(path):
                backup = _backup(path)
                done.append((path, backup))
                temporary.replace(path)
    except BaseException:
        _take_back(done)
        raise
    for path, backup in done:
        if backup is not None:
            backup.unlink(missing_ok=True)
        _sync_directory(path.parent)


def _backup(path: Path) -> Path | None:
    """A second name for the old file until all renames are done; None if there is no old file."""
    if not path.exists():
        return None
    backup = path.with_name(f"{TEMPORARY}{secrets.token_hex(8)}.old")
    try:
        backup.hardlink_to(path)
    except OSError:  # no hard links on this file system
        backup.write_bytes(path.read_bytes())
    return backup


def _take_back(done: list[tuple[Path, Path | None]]) -> None:
    for path, backup in reversed(done):
        with contextlib.suppress(OSError):
            if backup is None:
                path.unlink(missing_ok=True)
            else:
                backup.replace(path)
                # rename(2) does nothing when both names are one file: the failed rename changed nothing
                backup.unlink(missing_ok=True)


def _sync_directory(directory: Path) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a directory
        descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _save_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        advice = _WHAT_TO_DO.get(exc.errno or 0, "Save to another path.")
        reason = exc.strerror or type(exc).__name__
        raise SaveFailed(f"{path} could not be written: {reason}. Nothing was changed on disk. {advice}") from exc
