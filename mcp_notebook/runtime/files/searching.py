"""``search_files``: lines that match an expression, or files by name.

The tree is walked here (``walking``) and the files are searched by a program (``engines``). Files are
taken in the order of their paths; by name, those that were changed last come first. A file that holds
a NUL is binary and is passed over, unless it is UTF-16.
"""

import heapq
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync

from mcp_notebook.errors import BadRequest, FileRefused
from mcp_notebook.runtime.files import similar
from mcp_notebook.runtime.files.collecting import Collected, Counts, Lines, Names
from mcp_notebook.runtime.files.engines import Engine, Row
from mcp_notebook.runtime.files.places import Place, Workspace, names, opened, readable, reason, status
from mcp_notebook.runtime.files.walking import Found, Walk, bad_glob

SEARCH_S = 30.0
BATCH_FILES = 500
BATCH_BYTES = 60_000
LOOKED_AT = 5_000
"""So many entries are walked past before a thread is given back."""
LONGEST_PATTERN = 100_000
EXTRA_ROWS = 200
"""With context, so many more rows are looked at to count them."""

_NEWLINE = re.compile(r"(?<!\\)(?:\\\\)*\\n")
LINES_ONLY = (
    "0 results found. Note: search_files content search is line-oriented and does not run ripgrep with "
    "-U/--multiline, so `\\n` in the regex does not match line breaks. Use context=N to inspect neighboring lines, or "
    "escape as `\\\\n` when searching for a literal backslash+n."
)


@dataclass(frozen=True)
class Query:
    """What is asked for."""

    pattern: str
    path: str
    files: bool
    """By name, not by content."""
    file_glob: str | None
    limit: int
    offset: int
    output_mode: str
    context: int


@dataclass
class Search:
    """One search in progress."""

    query: Query
    place: Place
    walk: Walk
    engine: Engine
    collected: Collected
    unreadable: int = 0
    newest: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    """Files by the time of their last change, as yet unsorted."""
    text: dict[bytes, bool] = field(default_factory=dict)
    """Of the files of a batch in which something was found: whether they are text."""

    async def content(self) -> None:
        """Collect what matches in the files."""
        steps = _batches(self.walk)
        mode = "lines" if self.query.output_mode not in ("files_only", "count") else "count"
        context = self.query.context if mode == "lines" else 0
        root, prefix = _start(self.place)
        while (batch := await run_sync(next, steps, None)) is not None:
            if not batch:
                continue
            self.text.clear()
            paths = [prefix + os.fsencode("/".join(each.parts)) for each in batch]
            done, complaints = await self.engine.run(self.query.pattern, mode, context, paths, root, self._take)
            if self.collected.full:
                return
            if done == 2:
                self.unreadable += len(complaints.splitlines())
            elif done not in (0, 1):
                self.walk.problems.append(f"the program that searches ended with {done}")

    async def names(self) -> None:
        """Collect the files themselves, those that were changed last first."""
        steps = _batches(self.walk)
        while (batch := await run_sync(next, steps, None)) is not None:
            self.newest += [(-each.modified_ns, each.parts) for each in batch]
            if len(self.newest) > 2 * self.collected.wanted + LOOKED_AT:
                await run_sync(self._sort)

    def _sort(self) -> None:
        self.newest = heapq.nsmallest(self.collected.wanted + 1, self.newest)

    async def end(self) -> None:
        """Collect what only the whole search tells."""
        if self.newest:
            await run_sync(self._sort)
            self.collected.take([Row(os.fsencode(self._shown(parts)), 0, "") for _, parts in self.newest])

    async def _take(self, rows: list[Row]) -> bool:
        kept = []
        for row in rows:
            if row.path not in self.text:
                self.text[row.path] = await run_sync(_is_text, self.place, self._parts(row.path))
            if self.text[row.path]:
                kept.append(Row(os.fsencode(self._shown(self._parts(row.path))), row.number, row.content))
        self.collected.take(kept)
        return self.collected.full

    def _parts(self, path: bytes) -> tuple[str, ...]:
        if self.walk.is_file:
            return ()
        return tuple(os.fsdecode(path).removeprefix("./").split("/"))

    def _shown(self, parts: tuple[str, ...]) -> str:
        return os.path.join(self.place.given, *parts)  # noqa: PTH118  # "./a" stays "./a"


async def search(query: Query, workspace: Workspace, engine: Engine, room: int) -> dict[str, Any]:
    """The answer, of at most about ``room`` characters of JSON; what was found in time, should time run out.

    Raises:
        FileRefused: the path is outside the workspace.
    """
    place = workspace.locate(query.path)
    try:
        return await _search(query, workspace, place, engine, room)
    except BadRequest as exc:
        why = str(exc)
    except OSError as exc:  # what was to be searched is gone, or the program does not start
        why = reason(exc)
    return {"total_count": 0, "error": f"Search failed: {why}"}


async def _search(query: Query, workspace: Workspace, place: Place, engine: Engine, room: int) -> dict[str, Any]:
    if missing := await run_sync(_missing, place, workspace):
        return {"total_count": 0, "error": missing}
    glob = _name_glob(query.pattern) if query.files else query.file_glob
    if problem := (bad_glob(glob) if glob else None) or (None if query.files else _too_odd(query.pattern)):
        raise BadRequest(problem)
    walk = Walk(place, glob, str(workspace.cwd))
    if not query.files and (complaint := await engine.complaint(query.pattern)):
        if "is not allowed in a regex" in complaint and _has_newline(query.pattern):
            return {"total_count": 0, "warning": LINES_ONLY}
        raise BadRequest(complaint)
    running = Search(query, place, walk, engine, _collected(query, room))
    with anyio.move_on_after(SEARCH_S) as time:
        await (running.names() if query.files else running.content())
    await running.end()
    return _answer(running, in_time=not time.cancelled_caught)


def _collected(query: Query, room: int) -> Collected:
    if query.files or query.output_mode == "files_only":
        return Names(query.limit, query.offset, room)
    if query.output_mode == "count":
        return Counts(query.limit, query.offset, room)
    return Lines(query.limit, query.offset, room, extra=EXTRA_ROWS if query.context else 0)


def _answer(running: Search, *, in_time: bool) -> dict[str, Any]:
    answer = running.collected.answer()
    if not in_time:
        answer |= {"truncated": True, "limit_reason": "search_timeout"}
    if answer.get("truncated"):
        after = running.collected.after
        answer["hint"] = (
            f"Results truncated. Use offset={after} to see more, or narrow with a more specific pattern or file_glob."
        )
    problems = running.walk.problems
    if count := len(problems) + running.unreadable:
        first = f", the first: {problems[0]}" if problems else ""
        answer["warning"] = f"At least {count} files or directories could not be read{first}"
    if not answer["total_count"] and not running.query.files and _has_newline(running.query.pattern):
        answer["warning"] = LINES_ONLY
    return answer


def _missing(place: Place, workspace: Workspace) -> str | None:
    """Why there is nothing to search, if there is nothing."""
    try:
        if place.given:
            status(place)
            return None
    except OSError:
        pass
    told = f"Path not found: {place.given}"
    directory = os.path.dirname(place.given)  # noqa: PTH120  # "a/b/" is in "a/b"
    try:
        likely = similar.paths(place.given, names(workspace.locate(directory or ".")))
    except FileRefused:
        likely = []
    return f"{told}. Similar paths: {', '.join(likely)}" if likely else told


def _name_glob(pattern: str) -> str:
    name = pattern.rpartition("/")[2]
    return name if name.startswith("*") else f"*{name}"


def _too_odd(pattern: str) -> str | None:
    if "\0" in pattern:
        return "the pattern has a NUL character"
    try:
        length = len(pattern.encode())
    except UnicodeEncodeError:
        return "the pattern has a lone surrogate"
    return f"the pattern has more than {LONGEST_PATTERN:,} bytes" if length > LONGEST_PATTERN else None


def _has_newline(pattern: str) -> bool:
    return "\n" in pattern or _NEWLINE.search(pattern) is not None


def _start(place: Place) -> tuple[Path, bytes]:
    """From where files are named to the program, and what comes before each name."""
    if place.path.is_dir():
        return place.path, b"./"
    return place.path.parent, b"./" + os.fsencode(place.path.name)


def _batches(walk: Walk) -> Iterator[list[Found]]:
    """As many files as one command line takes; fewer, or none, where few are found among many entries."""
    batch: list[Found] = []
    looked_at = size = 0
    for found in walk:
        looked_at += 1
        if found is not None:
            batch.append(found)
            size += sum(map(len, found.parts)) + len(found.parts)
        if len(batch) >= BATCH_FILES or size >= BATCH_BYTES or looked_at >= LOOKED_AT:
            yield batch
            batch, looked_at, size = [], 0, 0
    yield batch


def _is_text(place: Place, parts: tuple[str, ...]) -> bool:
    try:
        with opened(Place(readable(place.given), place.path.joinpath(*parts), place.root)) as descriptor:
            head = os.pread(descriptor, 2, 0)
            if head in (b"\xff\xfe", b"\xfe\xff"):
                return True
            while chunk := os.read(descriptor, 1 << 20):
                if b"\0" in chunk:
                    return False
    except (OSError, FileRefused):
        return False
    return True
