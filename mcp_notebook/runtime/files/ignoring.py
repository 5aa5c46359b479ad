"""What a search passes over: the rules of ``.gitignore``, ``.ignore`` and ``.rgignore`` files.

As ripgrep has it: rules of a deeper directory go before those above it, a later rule before an earlier
one, ``.rgignore`` before ``.ignore`` before ``.gitignore`` before ``.git/info/exclude``. The last two
hold inside a git repository only. Rules of directories above the workspace hold too; the user's own
git configuration is not read, so what is found does not depend on who runs the server.
"""

import contextlib
import io
import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mcp_notebook.runtime.files import globs
from mcp_notebook.runtime.files.places import directory

LONGEST_BYTES = 256_000
"""Of a file with rules, no more than this is read."""
KINDS = (".rgignore", ".ignore", ".gitignore", "exclude")
_ONLY_IN_GIT = (".gitignore", "exclude")


@dataclass(frozen=True)
class Rule:
    """One line of such a file."""

    regex: str
    ignores: bool
    directories_only: bool


@dataclass(frozen=True)
class Rules:
    """The lines of one file, the last that matches decides."""

    of_files: re.Pattern[str]
    of_directories: re.Pattern[str]
    files_ignore: tuple[bool, ...]
    directories_ignore: tuple[bool, ...]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> "Rules | None":
        """None without any rule."""
        ordered = list(rules)[::-1]
        if not ordered:
            return None
        for_files = [rule for rule in ordered if not rule.directories_only]
        return cls(
            _any(for_files),
            _any(ordered),
            tuple(rule.ignores for rule in for_files),
            tuple(rule.ignores for rule in ordered),
        )

    def ignores(self, path: str, *, is_directory: bool) -> bool | None:
        """None where no rule matches."""
        pattern = self.of_directories if is_directory else self.of_files
        found = pattern.match(path)
        if found is None or found.lastindex is None:
            return None
        return (self.directories_ignore if is_directory else self.files_ignore)[found.lastindex - 1]


@dataclass(frozen=True)
class Level:
    """A directory with what its files say, and those above it."""

    base: str
    """Absolute, without a slash at its end."""
    rules: dict[str, Rules]
    is_repository: bool
    above: "Level | None"

    def ignores(self, path: str, *, is_directory: bool) -> bool | None:
        """Whether the absolute path is passed over; False where a rule says it is not, None where none does."""
        levels = list(self._upwards())
        in_git = any(level.is_repository for level in levels)
        for kind in KINDS:
            if kind in _ONLY_IN_GIT and not in_git:
                continue
            for level in levels:
                if rules := level.rules.get(kind):
                    said = rules.ignores(path[len(level.base) + 1 :], is_directory=is_directory)
                    if said is not None:
                        return said
                if kind in _ONLY_IN_GIT and level.is_repository:
                    break
        return None

    def _upwards(self) -> "Iterator[Level]":
        level: Level | None = self
        while level is not None:
            yield level
            level = level.above


def parse(line: str) -> Rule | None:
    """One line; None for a comment, an empty line and one that cannot be read.

    Raises:
        BadGlob: it cannot be read.
    """
    if line.startswith("#"):
        return None
    if not line.endswith("\\ "):
        line = line.rstrip()
    ignores = not line.startswith("!")
    # Alone, an exclamation mark stands for everything.
    line = line.removeprefix("!") if line != "!" else "**"
    directories_only = line.endswith("/")
    line = line.removesuffix("/")
    if not line:
        return None
    if "/" not in line:
        line = "**/" + line
    return Rule(globs.regex(line.removeprefix("/")), ignores, directories_only)


def above(path: Path) -> Level | None:
    """The rules of all directories above this one."""
    level = None
    for parent in reversed(path.parents):
        level = level_of(Path(parent.anchor), parent.parts[1:], level)
    return level


def level_of(root: Path, parts: tuple[str, ...], above: Level | None) -> Level:
    """The rules of the directory ``parts`` below ``root``; what cannot be read has none."""
    rules: dict[str, Rules] = {}
    is_repository = False
    with contextlib.suppress(OSError), directory(root, parts) as descriptor:
        for kind in KINDS[:3]:
            if found := _read(descriptor, kind):
                rules[kind] = found
        with contextlib.suppress(OSError):
            os.stat(".git", dir_fd=descriptor, follow_symlinks=False)
            is_repository = True
            with directory(root, (*parts, ".git", "info")) as info:
                if found := _read(info, "exclude"):
                    rules["exclude"] = found
    return Level(str(root.joinpath(*parts)).rstrip("/"), rules, is_repository, above)


def _read(descriptor: int, name: str) -> Rules | None:
    try:
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=descriptor)
    except OSError:
        return None
    with io.FileIO(file) as opened:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            return None
        text = (opened.read(LONGEST_BYTES) or b"").decode(errors="surrogateescape")
    return Rules.of(_rules(text.removeprefix("\ufeff")))


def _rules(text: str) -> Iterator[Rule]:
    for line in text.split("\n"):
        with contextlib.suppress(globs.BadGlob):
            if rule := parse(line.removesuffix("\r")):
                yield rule


def _any(rules: list[Rule]) -> re.Pattern[str]:
    # One group each, whose number says which of them it was; none matches without any.
    either = "|".join(f"({rule.regex})" for rule in rules) or "(?!)"
    return re.compile(rf"(?:{either})\Z", re.DOTALL)
