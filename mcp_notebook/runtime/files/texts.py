"""A file's text, to be changed and written back: what is not changed stays as it is, byte for byte.

Bytes that are not UTF-8 are kept as lone surrogates; a byte order mark is kept apart.
"""

import os
from dataclasses import dataclass

from mcp_notebook.errors import FileRefused
from mcp_notebook.runtime.files.places import Place, opened

LONGEST_BYTES = 64_000_000
"""A file that is longer is not edited."""
_BOM = b"\xef\xbb\xbf"
_HEAD = 4096


@dataclass(frozen=True)
class Text:
    """What a file holds."""

    text: str
    """Without the mark."""
    marked: bool
    """Whether a byte order mark comes first."""
    stamp: os.stat_result
    """What the system said of the file when it was read."""

    @property
    def newline(self) -> str | None:
        """How its lines end, by its beginning; None where none does."""
        return newline_of(self.text)


def load(place: Place) -> Text:
    """The whole file.

    Raises:
        OSError: it is not there, or the system says no.
        FileRefused: it is no regular file, or too long.
    """
    with opened(place) as descriptor, open(descriptor, "rb", closefd=False) as file:
        stamp = os.fstat(descriptor)
        data = file.read(LONGEST_BYTES + 1)
    if len(data) > LONGEST_BYTES:
        raise FileRefused(f"{place.given} is too long to edit: more than {LONGEST_BYTES:,} bytes.")
    return Text(data.removeprefix(_BOM).decode(errors="surrogateescape"), data.startswith(_BOM), stamp)


def conventions(place: Place) -> tuple[str | None, bool]:
    """How the lines of the file end and whether it begins with a mark: what a new content takes over.

    Raises:
        OSError, FileRefused: as ``load``, but for the length.
    """
    with opened(place) as descriptor:
        head = os.pread(descriptor, _HEAD + len(_BOM), 0)
    return newline_of(head.removeprefix(_BOM).decode(errors="replace")), head.startswith(_BOM)


def newline_of(text: str) -> str | None:
    """CRLF where the beginning has one, else LF where it has that."""
    head = text[:_HEAD]
    return "\r\n" if "\r\n" in head else "\n" if "\n" in head else None


def with_newlines(text: str, newline: str | None) -> str:
    """The text with every line ended so; None leaves it."""
    if newline is None:
        return text
    text = text.replace("\r\n", "\n")
    return text.replace("\r", "\n").replace("\n", "\r\n") if newline == "\r\n" else text


def encoded(text: str, *, marked: bool) -> bytes:
    """The bytes to write.

    Raises:
        FileRefused: a lone surrogate, which no file can hold.
    """
    try:
        data = text.encode(errors="surrogateescape")
    except UnicodeEncodeError as exc:
        raise FileRefused(f"The content cannot be written in UTF-8: {exc.reason} at character {exc.start}.") from exc
    return data if not marked or data.startswith(_BOM) else _BOM + data


def shown(text: str) -> str:
    """Text for an answer, in which bytes that are not UTF-8 are replaced."""
    return text.encode(errors="surrogateescape").decode(errors="replace")
