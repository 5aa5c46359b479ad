"""A page of a text file, its lines numbered.

Files and lines may be of any size: a file is passed in chunks, of a line only its beginning is kept,
and behind the page no more than ``COUNTED`` bytes are read to count the lines.
"""

import io
import os
from dataclasses import dataclass
from typing import Any

from mcp_notebook.errors import FileRefused
from mcp_notebook.runtime.files import cells
from mcp_notebook.runtime.files.places import Place, opened, reason

MOST_LINES = 2000
LINE_CHARS = 2000
PAGE_CHARS = 100_000
LARGE_BYTES = 512_000
NOTEBOOK_BYTES = 50_000_000
COUNTED = 1 << 28
"""Bytes behind the page that are read to count lines."""

_CHUNK = 1 << 20
_SAMPLE = 1000
_BOM = "\ufeff"
# A character has at most four bytes; one more tells that the line goes on.
_LINE_BYTES = 4 * (LINE_CHARS + 1)

_BINARY = """
.png .jpg .jpeg .gif .bmp .ico .webp .tiff .tif .mp4 .mov .avi .mkv .webm .wmv .flv .m4v .mpeg .mpg
.mp3 .wav .ogg .flac .aac .m4a .wma .aiff .opus .zip .tar .gz .bz2 .7z .rar .xz .z .tgz .iso .exe
.dll .so .dylib .bin .o .a .obj .lib .app .msi .deb .rpm .doc .docx .xls .xlsx .ppt .pptx .odt .ods
.odp .ttf .otf .woff .woff2 .eot .pyc .pyo .class .jar .war .ear .node .wasm .rlib .sqlite .sqlite3
.db .mdb .idx .psd .ai .eps .sketch .fig .xd .blend .3ds .max .swf .fla .lockb .dat .data .split
"""
BINARY = frozenset(_BINARY.split())
"""Suffixes of files that are not read as text."""


@dataclass(frozen=True)
class Page:
    """Lines as they are shown, without their ends."""

    lines: list[str]
    total: int
    """Line ends in the file, or as many as were counted."""
    more: bool
    """Whether something follows."""
    counted: bool = True
    """Whether ``total`` is that of the whole file."""
    rest: int = 0
    """1 if something follows the last line end."""


def read(place: Place, offset: int, limit: int) -> dict[str, Any]:
    """The answer of ``read_file`` about the lines from ``offset`` (1 is the first).

    Raises:
        FileRefused: it is no text, or nothing that can be read.
        OSError: it is not there, or the system says no.
    """
    suffix = place.path.suffix.lower()
    if suffix == ".ipynb" and (answer := _notebook(place, offset, limit)):
        return answer
    if suffix in BINARY:
        raise FileRefused(
            f"Cannot read binary file '{place.given}' ({suffix}). "
            "Use vision_analyze for images, or terminal to inspect binary files."
        )
    with opened(place) as descriptor, io.FileIO(descriptor, closefd=False) as file:
        size = os.fstat(descriptor).st_size
        if _looks_binary(os.pread(descriptor, _SAMPLE, 0)):
            text = "Binary file - cannot display as text. Use appropriate tools to handle this file type."
            return unread(text, file_size=size, is_binary=True)
        page = _page(io.BufferedReader(file), offset, limit)
    answer = unread(None, file_size=size) | _shown(page, offset, limit)
    if size > LARGE_BYTES and limit > 200 and answer["truncated"]:
        answer["_hint"] = (
            f"This file is large ({size:,} bytes). Consider reading only the section you need with offset and limit "
            "to keep context usage efficient."
        )
    return answer


def unread(error: str | None, **known: Any) -> dict[str, Any]:
    """The shape of an answer, with nothing read."""
    answer = {
        "content": "",
        "total_lines": 0,
        "file_size": 0,
        "truncated": False,
        "is_binary": False,
        "is_image": False,
    }
    return answer | known | ({"error": error} if error else {})


def failed(place: Place, exc: OSError) -> dict[str, Any]:
    """The answer about a file that is there but cannot be read."""
    return unread(f"Failed to read file: {place.given}: {reason(exc)}")


def _looks_binary(sample: bytes) -> bool:
    text = sample.decode(errors="replace")
    return sum(ord(char) < 32 and char not in "\n\r\t" for char in text) > 0.3 * len(text)


def _page(file: io.BufferedReader, offset: int, limit: int) -> Page:
    ends = _skip(file, offset - 1)
    lines: list[str] = []
    ended = True
    while len(lines) < limit and (line := _line(file)) is not None:
        text, ended = line
        lines.append(text)
        ends += ended
    if ended:
        # What follows the last line end is shown as a line of its own, though nothing is in it.
        lines.append("")
    if offset == 1:
        lines[0] = lines[0].removeprefix(_BOM)
    more = bool(file.peek(1))
    behind, whole, rest = _count(file)
    return Page(lines, ends + behind, more, whole, rest)


def _skip(file: io.BufferedReader, ends: int) -> int:
    """Go behind so many line ends; how many there were."""
    passed = 0
    while passed < ends and (chunk := file.read(_CHUNK)):
        here = chunk.count(b"\n")
        if passed + here >= ends:
            position = -1
            for _ in range(ends - passed):
                position = chunk.index(b"\n", position + 1)
            file.seek(position + 1 - len(chunk), os.SEEK_CUR)
            return ends
        passed += here
    return passed


def _line(file: io.BufferedReader) -> tuple[str, bool] | None:
    """The next line, cut if it is long, and whether it ended; None at the end of the file."""
    data = file.readline(_LINE_BYTES)
    if not data:
        return None
    piece = data
    while not piece.endswith(b"\n") and (piece := file.readline(_CHUNK)):
        pass
    text = data.removesuffix(b"\n").decode(errors="replace")
    if len(text) > LINE_CHARS:
        text = text[:LINE_CHARS] + "... [truncated]"
    return text, piece.endswith(b"\n")


def _count(file: io.BufferedReader) -> tuple[int, bool, int]:
    """The line ends from here, whether all were counted, and 1 if something follows the last."""
    ends = rest = 0
    for _ in range(COUNTED // _CHUNK):
        chunk = file.read(_CHUNK)
        if not chunk:
            return ends, True, rest
        ends += chunk.count(b"\n")
        rest = 0 if chunk.endswith(b"\n") else 1
    return ends, not file.peek(1), rest


def _shown(page: Page, offset: int, limit: int) -> dict[str, Any]:
    total = f"{page.total + page.rest}" if page.counted else f"more than {page.total}"
    kept = _within_budget([f"{number}|{line}" for number, line in enumerate(page.lines, start=offset)])
    answer = {"content": "\n".join(kept), "total_lines": page.total, "truncated": page.more}
    after = offset + len(kept)
    if len(kept) < len(page.lines):
        hint = (
            f"Output truncated at the {PAGE_CHARS:,}-char read budget after {len(kept)} line(s) "
            f"(showing lines {offset}-{after - 1} of {total}). Use offset={after} to continue."
        )
        return answer | {"truncated": True, "truncated_by": "bytes", "next_offset": after, "hint": hint}
    if page.more:
        last = offset + limit - 1
        answer["hint"] = f"Use offset={last + 1} to continue reading (showing {offset}-{last} of {total} lines)"
    return answer


def _within_budget(lines: list[str]) -> list[str]:
    """As many of the lines as fit, joined, into a page."""
    length = -1
    for count, line in enumerate(lines):
        length += len(line) + 1
        if length > PAGE_CHARS:
            return lines[:count]
    return lines


def _notebook(place: Place, offset: int, limit: int) -> dict[str, Any] | None:
    with opened(place) as descriptor, io.FileIO(descriptor, closefd=False) as file:
        size = os.fstat(descriptor).st_size
        text = cells.text(file.read()) if size <= NOTEBOOK_BYTES else None
    if text is None:
        return None
    lines = text.splitlines()
    shown = [line if len(line) <= LINE_CHARS else line[:LINE_CHARS] + "... [truncated]" for line in lines]
    page = Page(shown[offset - 1 : offset - 1 + limit], len(lines), len(lines) > offset + limit - 1)
    return {"file_size": size, "extracted_document": True} | _shown(page, offset, limit)
