"""A file that holds the latest value of each key, appended to as things happen.

One line is ``[key, value]`` in JSON; null removes the key. What is appended is there after the writer was killed, at
any moment. After a crash of the whole machine it is there if ``sync`` came between: who writes has it called in a
thread, soon after; nothing here waits for a disk but ``sync`` and ``Compaction.write``. A line that was cut short, by
a full disk or such a crash, is passed over and counted.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_notebook.packing import pack, pack_nodes, unpack
from mcp_notebook.versions import VERSION

COMPACT_BYTES = 32 << 20
"""A file is rewritten when it has grown by so much, and to more than twice of what it held then."""

to_disk = getattr(os, "fdatasync", os.fsync)
"""Return when what was written to a descriptor is on the disk."""


def directory_to_disk(directory: Path) -> None:
    """Return when the names in it are on the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Journal:
    """Open for appending; made, with what is above it, when it is not there. Whoever opens it is its only writer."""

    def __init__(self, path: Path) -> None:
        self.failed: str | None = None
        """Why not everything is kept, once a write has failed."""
        self.sync_failed: str | None = None
        """Why it may not all be there after a crash of the machine."""
        self.path = path
        self._descriptor = -1
        self._bytes = self._compacted = 0
        self._open()

    @property
    def is_open(self) -> bool:
        return self._descriptor >= 0

    @property
    def is_bloated(self) -> bool:
        """Whether most of it may be old."""
        return self._bytes > self._compacted * 2 + COMPACT_BYTES

    def put(self, entries: Mapping[str, Any]) -> bool:
        """Append all of ``entries``, in one write; returns whether they are kept. A full disk does not raise."""
        return self._append(b"".join(_line(key, value) for key, value in entries.items()))

    def duplicate(self) -> int:
        """Its file under another descriptor, which is the caller's, for ``to_disk`` in a thread. Raises OSError."""
        return os.dup(self._descriptor)

    def compaction(self) -> "Compaction":
        """Begin to rewrite the file with what is still valid: its ``write`` is for a thread, then comes ``replace``."""
        return Compaction(self.path, self._bytes)

    def replace(self, compaction: "Compaction") -> None:
        """Go on in the rewritten file, with what was appended since it was begun. Killed meanwhile, either is whole."""
        try:
            if compaction.failed is None:
                compaction.take_over(self._descriptor, self._bytes)
        except OSError as exc:
            compaction.failed = exc.strerror
        if compaction.failed is not None:
            compaction.discard()
            self.failed = compaction.failed
            self._compacted = self._bytes
            return
        self.close()
        self._open()

    def close(self) -> None:
        """Nothing is appended afterwards."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def remove(self) -> None:
        """Close it and delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _open(self) -> None:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self.path, flags, 0o600)
            self._bytes = self._compacted = os.fstat(self._descriptor).st_size
            if self._bytes and os.pread(self._descriptor, 1, self._bytes - 1) != b"\n":
                self._append(b"\n")
            if not self._bytes:
                self._append(_line("version", VERSION))
        except OSError as exc:
            self.failed = exc.strerror

    def _append(self, data: bytes) -> bool:
        if self._descriptor < 0:
            return False
        try:
            written = os.write(self._descriptor, data)
        except OSError as exc:
            self.failed = exc.strerror
            return False
        self._bytes += written
        if written < len(data):  # the next line must not join what was cut
            self.failed = os.strerror(28)
            os.ftruncate(self._descriptor, self._bytes - written)
            self._bytes -= written
            return False
        return True


class Compaction:
    """A journal's file rewritten, beside it, while it is appended to."""

    def __init__(self, path: Path, size: int) -> None:
        self.failed: str | None = None
        self._path = path
        self._size = size
        """What is beyond it came later."""
        self._temporary = path.with_suffix(".new")

    def write(self) -> None:
        """Write what was valid, and have it on the disk: a crash must not leave a shorter journal. Blocks."""
        try:
            lines = (_line(key, value) for key, value in read(self._path, self._size).entries.items())
            descriptor = os.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.writelines(lines)
                file.flush()
                to_disk(descriptor)
        except OSError as exc:
            self.failed = exc.strerror

    def take_over(self, descriptor: int, size: int) -> None:
        """Add what was appended meanwhile, and put it in the place of the journal. Raises OSError."""
        with self._temporary.open("ab") as file:
            while self._size < size:
                chunk = os.pread(descriptor, min(1 << 20, size - self._size), self._size)
                if not chunk:
                    raise OSError(5, os.strerror(5))
                self._size += file.write(chunk)
        self._temporary.replace(self._path)

    def discard(self) -> None:
        """Nothing is left of it."""
        with suppress(OSError):
            self._temporary.unlink(missing_ok=True)


@dataclass
class Found:
    """What a journal holds."""

    entries: dict[str, Any] = field(default_factory=dict)
    """The latest value of each key, in the order in which the keys were last set."""
    damaged: int = 0
    """Lines that say nothing."""


def read(path: Path, size: int | None = None) -> Found:
    """What the file says, or its first ``size`` bytes. Raises OSError."""
    found = Found()
    entries = found.entries
    left = size if size is not None else 1 << 62
    with path.open("rb") as file:
        for line in file:
            left -= len(line)
            if left < 0:
                break
            try:
                key, value = unpack(line)
                if not isinstance(key, str):
                    raise TypeError
            except (ValueError, TypeError, RecursionError):
                found.damaged += bool(line.strip())
                continue
            entries.pop(key, None)
            if value is not None:
                entries[key] = value
    return found


def _line(key: str, value: Any) -> bytes:
    return (pack if type(value) is dict else pack_nodes)([key, value]) + b"\n"
