"""Files are replaced, removed and renamed in whole: a reader sees the old or the new, never a part.

The new content goes to a temporary file beside the target, is synced and renamed over it; mode and,
where we may, owner are kept. Other hard links keep the old content. All names are reached as
``places`` does it. The name of the temporary file is one that the saving of notebooks sweeps away
should a killed server have left it.
"""

import contextlib
import errno
import os
import secrets
import stat

from mcp_notebook.errors import FileRefused
from mcp_notebook.runtime.files.places import Place, parent

TEMPORARY = ".mcp-notebook-"
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def write(place: Place, data: bytes, expected: os.stat_result | None = None) -> None:
    """Make ``data`` the content of the file; directories on the way are made.

    Raises:
        OSError: the system says no; what was there is still there.
        FileRefused: it is no regular file, or no longer the ``expected`` one.
    """
    with parent(place, make=True) as (directory, name):
        old = _old(directory, name, place)
        temporary = f"{TEMPORARY}{secrets.token_hex(8)}.tmp"
        file = os.open(temporary, _NEW, 0o666, dir_fd=directory)
        try:
            try:
                _fill(file, data, old)
            finally:
                os.close(file)
            _refuse_changed(_old(directory, name, place), expected, place)
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=directory)
            raise
        _sync(directory)


def remove(place: Place) -> None:
    """Remove the file, or the symlink.

    Raises:
        OSError: the system says no.
    """
    with parent(place) as (directory, name):
        os.unlink(name, dir_fd=directory)
        _sync(directory)


def move(source: Place, target: Place) -> None:
    """Give the file another name, under which there must be nothing.

    Raises:
        OSError: the system says no, or there is something.
    """
    with parent(source) as (from_directory, name), parent(target) as (to_directory, new):
        try:
            # Unlike a rename, a link never replaces what is there.
            os.link(name, new, src_dir_fd=from_directory, dst_dir_fd=to_directory, follow_symlinks=False)
        except OSError as exc:
            if exc.errno not in (errno.EPERM, errno.ENOTSUP, errno.EMLINK):
                raise
            os.rename(name, new, src_dir_fd=from_directory, dst_dir_fd=to_directory)
        else:
            os.unlink(name, dir_fd=from_directory)
        _sync(to_directory)


def _old(directory: int, name: str, place: Place) -> os.stat_result | None:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(found.st_mode):
        raise FileRefused(f"{place.given} is not a regular file.")
    # Renaming would get around the file's own mode, which somebody set on purpose.
    if not os.access(name, os.W_OK, dir_fd=directory, effective_ids=True):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return found


def _fill(file: int, data: bytes, old: os.stat_result | None) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]
    if old is not None:
        with contextlib.suppress(PermissionError):
            os.fchown(file, old.st_uid, old.st_gid)
        os.fchmod(file, stat.S_IMODE(old.st_mode))
    os.fsync(file)


def _refuse_changed(found: os.stat_result | None, expected: os.stat_result | None, place: Place) -> None:
    if expected is None:
        return
    if found is None or _identity(found) != _identity(expected):
        raise FileRefused(f"{place.given} was changed by somebody else meanwhile. Read it again.")


def _identity(of: os.stat_result) -> tuple[int, int, int]:
    return of.st_ino, of.st_size, of.st_mtime_ns


def _sync(directory: int) -> None:
    with contextlib.suppress(OSError):  # some file systems cannot sync a directory
        descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
