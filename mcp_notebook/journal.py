"""A file that holds the latest value of each key, appended to as things happen.

One line is ``[key, value]`` in JSON; null removes the key. What is appended is there after the writer was
killed, at any moment; after a crash of the whole machine the last lines may be missing. A line that was cut
short (a full disk) is passed over.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mcp_notebook.packing import pack, pack_nodes, unpack

VERSION = 1
COMPACT_BYTES = 32 << 20
"""A file is rewritten when it has grown by so much, and to more than twice of what it held then."""


class Journal:
    """Open for appending; made, with what is above it, when it is not there. Whoever opens it is its only writer."""

    def __init__(self, path: Path) -> None:
        self.failed: str | None = None
        """Why not everything is kept, once a write has failed."""
        self._path = path
        self._descriptor = -1
        self._bytes = self._compacted = 0
        self._open()

    def put(self, entries: Mapping[str, Any]) -> bool:
        """Append all of ``entries``, in one write; returns whether they are kept. A full disk does not raise."""
        kept = self._append(b"".join(_line(key, value) for key, value in entries.items()))
        if self._bytes > self._compacted * 2 + COMPACT_BYTES:
            self.compact()
        return kept

    def compact(self) -> None:
        """Rewrite the file with what is still valid."""
        temporary = self._path.with_suffix(".new")
        try:
            temporary.write_bytes(b"".join(_line(key, value) for key, value in read(self._path).items()))
            temporary.chmod(0o600)
            temporary.replace(self._path)
        except OSError as exc:
            temporary.unlink(missing_ok=True)
            self.failed = exc.strerror
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
        self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o600)
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


def read(path: Path) -> dict[str, Any]:
    """The latest value of each key, in the order in which the keys were last set. Raises OSError."""
    found: dict[str, Any] = {}
    with path.open("rb") as file:
        for line in file:
            try:
                key, value = unpack(line)
            except (ValueError, TypeError, RecursionError):
                continue
            if not isinstance(key, str):
                continue
            found.pop(key, None)
            if value is not None:
                found[key] = value
    return found


def _line(key: str, value: Any) -> bytes:
    return (pack if type(value) is dict else pack_nodes)([key, value]) + b"\n"
