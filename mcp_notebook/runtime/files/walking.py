"""The files of a tree in the order of their paths, as ripgrep would find them.

Hidden files, ignored files and symlinks are passed over; a glob of the caller goes before both
rules, so it finds hidden and ignored files too. Nothing is followed out of the tree.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field

from mcp_notebook.runtime.files import globs, ignoring
from mcp_notebook.runtime.files.places import Place, directory, readable, reason, status


@dataclass(frozen=True)
class Found:
    """A file below the place that is searched."""

    parts: tuple[str, ...]
    """The names on the way to it; none if the place is the file itself."""
    modified_ns: int


@dataclass
class Walk:
    """One walk: iterated, it gives a file, or None for anything else that it looked at."""

    place: Place
    glob: str | None
    relative_to: str
    """The directory from which a glob with slashes counts."""
    problems: list[str] = field(default_factory=list)
    """What could not be looked into, and why."""
    is_file: bool = False
    """Whether the place turned out to be a file itself."""

    def __post_init__(self) -> None:
        rule = ignoring.parse(self.glob) if self.glob else None
        self._chosen = ignoring.Rules.of([rule] if rule else [])
        self._only_chosen = rule is not None and rule.ignores

    def __iter__(self) -> Iterator[Found | None]:
        mode = status(self.place)
        if not stat.S_ISDIR(mode.st_mode):
            if stat.S_ISREG(mode.st_mode):
                self.is_file = True
                yield Found((), mode.st_mtime_ns)
            return
        yield from self._below()

    def _below(self) -> Iterator[Found | None]:
        waiting: list[tuple[tuple[str, ...], ignoring.Level | None]] = [((), ignoring.above(self.place.path))]
        pending: list[Iterator[Found | tuple[str, ...] | None]] = []
        levels: list[ignoring.Level] = []
        while waiting or pending:
            if waiting:
                parts, above = waiting.pop()
                levels.append(ignoring.level_of(self.place.root, self.place.parts + parts, above))
                pending.append(self._entries(parts, levels[-1]))
            found = next(pending[-1], False)
            if found is False:
                pending.pop()
                levels.pop()
            elif isinstance(found, tuple):
                waiting.append((found, levels[-1]))
                yield None
            elif found is None or isinstance(found, Found):
                yield found

    def _entries(self, parts: tuple[str, ...], level: ignoring.Level) -> Iterator[Found | tuple[str, ...] | None]:
        """The directory's files, as tuples its directories, and None for what is passed over."""
        try:
            listed = self._list(self.place.parts + parts)
        except OSError as exc:
            self.problems.append(f"{readable('/'.join(parts) or self.place.given)}: {reason(exc)}")
            return
        for name, is_directory, modified_ns in listed:
            path = f"{level.base}/{name}"
            if modified_ns is None or not self._wanted(path, name, level, is_directory=is_directory):
                yield None
            else:
                yield (*parts, name) if is_directory else Found((*parts, name), modified_ns)

    def _list(self, parts: tuple[str, ...]) -> list[tuple[str, bool, int | None]]:
        """Name, whether it is a directory, and the time of its change; without that it is neither."""
        entries: list[tuple[str, bool, int | None]] = []
        with directory(self.place.root, parts) as descriptor:
            listed = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=descriptor)
        try:
            with os.scandir(listed) as found:
                for entry in found:
                    try:
                        is_directory = entry.is_dir(follow_symlinks=False)
                        is_file = entry.is_file(follow_symlinks=False)
                        times = entry.stat(follow_symlinks=False).st_mtime_ns if is_file else 0
                    except OSError:  # gone meanwhile
                        continue
                    entries.append((entry.name, is_directory, times if is_file or is_directory else None))
        finally:
            os.close(listed)
        return sorted(entries, key=lambda entry: os.fsencode(entry[0]))

    def _wanted(self, path: str, name: str, level: ignoring.Level, *, is_directory: bool) -> bool:
        if self._chosen is not None:
            chosen = self._chosen.ignores(self._relative(path), is_directory=is_directory)
            if chosen is not None:
                return chosen
            if self._only_chosen and not is_directory:
                return False
        ignored = level.ignores(path, is_directory=is_directory)
        if ignored is not None:
            return not ignored
        return not name.startswith(".")

    def _relative(self, path: str) -> str:
        for base in (self.relative_to, str(self.place.path)):
            if path.startswith(prefix := base.rstrip("/") + "/"):
                return path[len(prefix) :]
        return path.lstrip("/")


def bad_glob(glob: str) -> str | None:
    """Why the glob cannot be used, if it cannot."""
    try:
        ignoring.parse(glob)
    except globs.BadGlob as exc:
        return f"error parsing glob '{glob}': {exc}"
    return None
