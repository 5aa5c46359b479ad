"""Long pages: their head and tail for the caller, the whole in a file of the session."""

import contextlib
import hashlib
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

DIRECTORY = "web"
HEAD = 0.75
"""The part of what is shown that comes from the beginning."""
MOST_KEPT_BYTES = 200_000_000
"""Of all files of a session; the oldest go."""


def excerpt(text: str, limit: int, url: str, directory: Path) -> str:
    """``text``, or of one longer than ``limit`` so many characters and a note of what is missing and where it is.

    Blocks: a long text is written below ``directory``.
    """
    if len(text) <= limit:
        return text
    head = text[: int(limit * HEAD)]
    tail = text[len(text) - (limit - len(head)) :]
    try:
        where = f"The full text is in the file {_keep(text, url, directory / DIRECTORY)}"
    except OSError as exc:
        where = f"The full text could not be kept ({exc.strerror}): raise char_limit"
    left_out = len(text) - limit
    return f"{head}\n\n[... {left_out:,} of {len(text):,} characters are left out here. {where} ...]\n\n{tail}"


def _keep(text: str, url: str, directory: Path) -> Path:
    """The same URL gets the same file, replaced at once: a reader sees one page or the other."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    host = re.sub(r"[^A-Za-z0-9.-]+", "-", url.partition("://")[2].partition("/")[0])[:60].strip("-.")
    digest = hashlib.sha256(url.encode("utf-8", "replace")).hexdigest()[:12]
    path = directory / f"{host or 'page'}-{digest}.md"
    temporary = directory / f".{secrets.token_hex(8)}"
    try:
        temporary.touch(mode=0o600, exist_ok=False)
        temporary.write_text(text, encoding="utf-8", errors="replace")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _forget_oldest(directory.glob("*.md"), path)
    return path


def _forget_oldest(files: Iterable[Path], newest: Path) -> None:
    stats = []
    for file in files:
        with contextlib.suppress(OSError):  # another call was quicker
            stats.append((file.stat(), file))
    total = 0
    for found, file in sorted(stats, key=lambda each: each[0].st_mtime_ns, reverse=True):
        total += found.st_size
        if total > MOST_KEPT_BYTES and file != newest:
            file.unlink(missing_ok=True)
