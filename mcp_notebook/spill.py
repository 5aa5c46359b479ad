"""The whole text of one long output, in a file: appended to and read in pieces.

Not what decides how much text is long (outputs.py). The file is UTF-8; lone surrogates, which UTF-8
does not have, are written as Python's "surrogatepass" does and come back as they were.
"""

import codecs
import os
import tempfile
from bisect import bisect_right
from pathlib import Path

from mcp_notebook.errors import NotebookError

STEP_CHARS = 65_536
"""Written and read at once; so far apart are the places whose byte offset is remembered."""


class SpilledText:
    """A text that only grows. Any thread may read while one appends.

    A full disk does not raise: ``failed`` then says so, the text stays what was written until
    then, and what is appended later is dropped, for a text with a hole would be a false one.
    """

    def __init__(self, directory: Path, name: str = "output") -> None:
        """A new, empty file of its own, for this user alone; ``name`` is how the file's begins."""
        self.path: Path | None = None
        self.failed: str | None = None
        self._chars = 0
        self._bytes = 0
        self._checkpoint_chars = [0]
        self._checkpoint_bytes = [0]
        self._descriptor: int | None = None
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._descriptor, path = tempfile.mkstemp(".txt", f"{name}-", directory)  # mode 0600
            self.path = Path(path)
        except OSError as exc:
            self._fail(exc)

    @classmethod
    def reopened(cls, path: Path) -> "SpilledText":
        """The text that another process left in a file; read once from end to end. It does not grow.

        Raises:
            OSError: the file is gone.
        """
        text = cls.__new__(cls)
        text.path, text.failed, text._descriptor = path, None, None
        text._chars = text._bytes = 0
        text._checkpoint_chars, text._checkpoint_bytes = [0], [0]
        decoder = codecs.getincrementaldecoder("utf-8")("surrogatepass")
        with path.open("rb") as file:
            while data := file.read(STEP_CHARS):
                chars = len(decoder.decode(data))
                pending = len(decoder.getstate()[0])
                text._bytes = file.tell() - pending
                text._chars += chars
                if text._chars - text._checkpoint_chars[-1] >= STEP_CHARS:
                    text._checkpoint_chars.append(text._chars)
                    text._checkpoint_bytes.append(text._bytes)
        return text

    @property
    def chars(self) -> int:
        """How many characters are kept, from the first on."""
        return self._chars

    @property
    def size_bytes(self) -> int:
        return self._bytes

    def append(self, text: str) -> None:
        for start in range(0, len(text), STEP_CHARS):
            if self.failed:
                return
            self._append_step(text[start : start + STEP_CHARS])

    def read(self, start_char: int, n_chars: int) -> str:
        """At most ``n_chars`` from ``start_char`` (from 0) on; "" beyond the end.

        Raises:
            NotebookError: the file is gone.
        """
        end_char = min(start_char + n_chars, self._chars)
        if not 0 <= start_char < end_char:
            return ""
        first = bisect_right(self._checkpoint_chars, start_char) - 1
        after = bisect_right(self._checkpoint_chars, end_char)
        start_byte = self._checkpoint_bytes[first]
        end_byte = self._checkpoint_bytes[after] if after < len(self._checkpoint_bytes) else self._bytes
        text = self._read_bytes(start_byte, end_byte).decode("utf-8", "surrogatepass")
        skipped = self._checkpoint_chars[first]
        return text[start_char - skipped : end_char - skipped]

    def close(self) -> None:
        """Give the file's descriptor back; reading goes on, and appending opens the file again."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def remove(self) -> None:
        """Delete the file: the output it belongs to is gone."""
        self.close()
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _append_step(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        try:
            self._write(data)
        except OSError as exc:
            self._fail(exc)
            return
        if self._chars - self._checkpoint_chars[-1] >= STEP_CHARS:
            self._checkpoint_bytes.append(self._bytes)
            self._checkpoint_chars.append(self._chars)
        self._bytes += len(data)
        self._chars += len(text)  # last: a reader in another thread goes by it

    def _write(self, data: bytes) -> None:
        if self._descriptor is None and self.path is not None:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW)
        assert self._descriptor is not None
        written = 0
        while written < len(data):
            written += os.pwrite(self._descriptor, data[written:], self._bytes + written)

    def _fail(self, exc: OSError) -> None:
        kept = f"only its first {self._chars:,} characters are kept" if self._chars else "nothing is kept"
        self.failed = f"The output could not be written to disk ({exc.strerror}): {kept}."
        self.close()

    def _read_bytes(self, start: int, end: int) -> bytes:
        assert self.path is not None  # there are characters, so there was a file
        try:
            with self.path.open("rb") as file:
                file.seek(start)
                return file.read(end - start)
        except OSError as exc:
            raise NotebookError(
                "The rest of this output is no longer on disk. Run the cell again to get it anew."
            ) from exc
