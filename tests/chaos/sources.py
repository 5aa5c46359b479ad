"""The cells of a chaos run: their source, by kind, and what of it answers must show."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.witness import FILE

SOURCES = {
    "quick": "lines({tag!r}, 1)",
    "lines": "lines({tag!r}, 20, 0.05)",
    "gate": "gate({tag!r})",
    "big": "lines({tag!r}, 2000, 0, 60)",
    "fail": "fail({tag!r})",
    "ask": "ask({tag!r})",
    "die": "die({tag!r})",
}
PRINTS = {"quick": 1, "lines": 20, "gate": 2, "big": 2000, "fail": 1, "ask": 1, "die": 1}
"""How many lines a cell of the kind has printed at its end."""


def source_of(kind: str, tag: str) -> str:
    """One line of Python."""
    return f"import witness; witness.{SOURCES[kind].format(tag=tag)}"


def tags_in(text: str) -> list[str]:
    """The tags of the sources in a text."""
    return re.findall(r"'(t\d+)'", text)


def lines_in(text: str, tag: str) -> list[int]:
    """The numbers of the lines of this cell that a text shows, in its order."""
    return [int(number) for number in re.findall(rf"^(?:\d+: )?{tag} line (\d+)(?: x+)?$", text, re.MULTILINE)]


@dataclass(frozen=True)
class Testimony:
    """One line of the witnesses' file."""

    what: str
    tag: str
    pid: int
    number: int


class Testimonies:
    """What the cells themselves have written down."""

    def __init__(self, place: Path) -> None:
        self._file = place / FILE
        self.all: list[Testimony] = []
        self.by_tag: dict[str, list[Testimony]] = defaultdict(list)

    def read(self) -> None:
        """Everything there is by now."""
        lines = self._file.read_text().splitlines() if self._file.exists() else []
        for line in lines[len(self.all) :]:
            what, tag, pid, number = line.split()
            testimony = Testimony(what, tag, int(pid), int(number))
            self.all.append(testimony)
            self.by_tag[tag].append(testimony)

    def of(self, tag: str, what: str) -> list[Testimony]:
        """What was testified of one cell."""
        return [each for each in self.by_tag[tag] if each.what == what]

    def torn_lives(self) -> list[int]:
        """The process ids of kernels that forgot what they had begun."""
        lives: dict[int, list[int]] = defaultdict(list)
        for each in self.all:
            if each.what == "begun":
                lives[each.pid].append(each.number)
        return [pid for pid, counted in lives.items() if counted != list(range(1, len(counted) + 1))]
