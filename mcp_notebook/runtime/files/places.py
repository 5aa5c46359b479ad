"""Where a path of a caller leads, and how it is opened without being led elsewhere.

A path is resolved once, symlinks followed, and refused outside the workspace. What is then opened is
reached from the workspace downwards, one name at a time, and no symlink is followed on the way: one
that somebody puts there after the path was resolved ends the call instead of leading out.

What remains: a directory that is moved out of the workspace while a call holds it is followed, a hard
link or a mount in the workspace is the workspace's, and ripgrep opens the files that it is given by
their paths. A kernel has the power of its user anyway: this prevents accidents, and sandboxed kernels
from reading through us what they could not read themselves by leaving a link behind.
"""

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from mcp_notebook.errors import FileRefused

LONGEST_BYTES = 4095
"""Other programs could not name what has a longer path."""
# Directories on the way need not be readable; not every system has O_PATH.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class Place:
    """Something in the workspace, or where something could be."""

    given: str
    """As the caller named it, its ``~`` replaced."""
    path: Path
    """Absolute and resolved."""
    root: Path
    """The workspace."""

    @property
    def parts(self) -> tuple[str, ...]:
        """The names from the workspace downwards; none for the workspace itself."""
        return self.path.relative_to(self.root).parts


@dataclass(frozen=True)
class Workspace:
    """What paths are resolved in."""

    root: Path
    cwd: Path
    """Where relative paths start, which may be anywhere."""
    home: str | None
    """What ``~`` stands for."""

    @classmethod
    def of(cls, root: Path, cwd: Path, environment: Mapping[str, str]) -> "Workspace":
        """That of a session, whose ``environment`` says where home is."""
        return cls(root, cwd, environment.get("HOME"))

    def locate(self, path: object, *, follow: bool = True) -> Place:
        """Where ``path`` leads; without ``follow``, a symlink at its end is the place itself.

        Raises:
            FileRefused: outside the workspace, or no path.
        """
        if not isinstance(path, str):
            raise FileRefused(f"path must be a string, not {type(path).__name__}.")
        if "\0" in path:
            raise FileRefused("path contains a NUL character.")
        given = self._without_tilde(path)
        real = self._resolved(given, follow)
        if len(os.fsencode(real)) > LONGEST_BYTES:
            raise FileRefused(f"path has more than {LONGEST_BYTES} bytes.")
        if not real.is_relative_to(self.root):
            raise FileRefused(f"{path} is outside the workspace {self.root}. Name a path inside it.")
        return Place(given, real, self.root)

    def _without_tilde(self, path: str) -> str:
        if self.home and (path == "~" or path.startswith("~/")):
            return self.home + path[1:]
        return path

    def _resolved(self, given: str, follow: bool) -> Path:
        joined = os.path.join(self.cwd, given)  # noqa: PTH118  # a Path would drop what a trailing slash says
        directory, name = os.path.split(joined)
        try:
            if follow or name in ("", ".", ".."):
                return Path(os.path.realpath(joined))
            return Path(os.path.realpath(directory), name)
        except (OSError, UnicodeEncodeError) as exc:
            raise FileRefused(f"{given!r} is no path: {exc}.") from exc


@contextlib.contextmanager
def directory(root: Path, parts: tuple[str, ...], *, make: bool = False) -> Iterator[int]:
    """A descriptor of the directory, reached without following a symlink; made where it is missing, if asked for.

    Raises:
        OSError: no such directory, or a symlink is on the way.
    """
    descriptor = os.open(root, _PASS)
    try:
        for part in parts:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, dir_fd=descriptor)
            deeper = os.open(part, _PASS | os.O_NOFOLLOW, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def parent(place: Place, *, make: bool = False) -> Iterator[tuple[int, str]]:
    """The directory in which ``place`` is, and its name there.

    Raises:
        OSError: as ``directory``; the workspace itself is no file.
    """
    if not place.parts:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    with directory(place.root, place.parts[:-1], make=make) as descriptor:
        yield descriptor, place.parts[-1]


def status(place: Place) -> os.stat_result:
    """What is there, without following a symlink.

    Raises:
        OSError: nothing, or it cannot be reached.
    """
    with directory(place.root, place.parts[:-1]) as descriptor:
        return os.stat(place.parts[-1] if place.parts else ".", dir_fd=descriptor, follow_symlinks=False)


@contextlib.contextmanager
def opened(place: Place) -> Iterator[int]:
    """A descriptor to read the regular file with, from its beginning.

    Raises:
        OSError: it is not there or must not be read.
        FileRefused: it is no regular file: a pipe would block and a device has no end.
    """
    with parent(place) as (descriptor, name):
        _refuse_other_kinds(place, os.stat(name, dir_fd=descriptor, follow_symlinks=False))
        file = os.open(name, _READ, dir_fd=descriptor)
    try:
        _refuse_other_kinds(place, os.fstat(file))
        yield file
    finally:
        os.close(file)


def _refuse_other_kinds(place: Place, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if stat.S_ISLNK(found.st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if not stat.S_ISREG(found.st_mode):
        raise FileRefused(
            f"Cannot read '{place.given}': this is a device file that would block or produce infinite output."
        )


def names(place: Place) -> Iterator[str]:
    """What a directory holds, in no order; nothing where it cannot be listed."""
    with contextlib.suppress(OSError), directory(place.root, place.parts) as descriptor:
        listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
        try:
            with os.scandir(listed) as entries:
                yield from (entry.name for entry in entries)
        finally:
            os.close(listed)


def readable(name: str) -> str:
    """A name as text that any answer can carry: bytes that are not UTF-8 are replaced."""
    return os.fsencode(name).decode(errors="replace") if not name.isascii() else name


def reason(exc: OSError) -> str:
    """Why the system said no, in its words."""
    return exc.strerror or type(exc).__name__
