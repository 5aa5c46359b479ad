"""What was asked and done in a chaos run, in its order: what the checks judge the server's answers by.

Moments are numbers that only grow. Nothing here talks to a server.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.reliability.clients import Program

NEVER = 1 << 60


@dataclass
class Trouble:
    """Something that was done to a part, such as ``death:A`` or ``full:state``, and how long it lasts."""

    what: str
    began: int
    ended: int = NEVER


@dataclass
class Asked:
    """One call of a client."""

    actor: str
    session: str
    tool: str
    arguments: dict[str, Any]
    program: Program
    number: int
    step: int
    began: int
    tag: str = ""
    """Of the cell that it runs or writes."""
    kind: str = ""
    troubles: list[Trouble] = field(default_factory=list)
    """They end with its answer."""
    ended: int = NEVER
    text: str = ""
    is_error: bool = False
    failed: bool = False
    """The client has no answer of the server."""
    excused: str = ""
    """Why it need not be answered."""

    @property
    def is_open(self) -> bool:
        """It was not answered, and may be yet."""
        return self.ended == NEVER

    @property
    def is_carried_out(self) -> bool:
        """The server says so."""
        return not (self.is_open or self.is_error or self.failed)

    @property
    def is_doubtful(self) -> bool:
        """Whether it may have had an effect although nobody said so."""
        return self.is_open or self.failed or "not known whether the call was carried out" in self.text

    def __str__(self) -> str:
        said = {name: value for name, value in self.arguments.items() if name != "session"}
        return f"{self.actor} {self.tool}({said})"


@dataclass
class Cell:
    """A cell of which the server has spoken, or that an unanswered call may have made."""

    session: str
    tag: str
    cell_id: str = ""
    sources: set[str] = field(default_factory=set)
    """What it may hold."""
    past: set[str] = field(default_factory=set)
    """What it may have held before."""
    changed: int = 0
    """When the last call that changes it was begun, or answered."""
    must_exist: bool = False
    may_be_gone: bool = False
    """A call that deletes it has begun."""
    is_gone: bool = False
    """A call that deletes it was carried out."""
    began: int = 0
    ended: int = NEVER


@dataclass
class Ran:
    """One execution of a cell, by the tag in its source."""

    tag: str
    kind: str
    session: str
    call: Asked
    cell_id: str = ""
    execution_id: str = ""
    status: str = ""
    """The last that was seen; an end stays what it is."""
    seen: int = NEVER
    """When its end was seen."""
    is_latest: bool = True
    """No later one of its cell was asked for."""
    replayed: int = 0
    """How often a rebuild may have run it again."""

    @property
    def began(self) -> int:
        return self.call.began


class Book:
    """All of a run."""

    def __init__(self) -> None:
        self.calls: list[Asked] = []
        self.cells: dict[str, Cell] = {}
        """By the tag that it had first."""
        self.ran: dict[str, Ran] = {}
        self.troubles: list[Trouble] = []
        self.faults: list[str] = []
        self._known: set[str] = set()
        self.step = 0
        self._now = 0

    def tick(self) -> int:
        """The next moment."""
        self._now += 1
        return self._now

    def begin(self, *whats: str) -> list[Trouble]:
        """These things happen from now on."""
        begun = [Trouble(what, self.tick()) for what in whats]
        self.troubles += begun
        return begun

    def end(self, troubles: Iterable[Trouble]) -> None:
        """And now no more."""
        for trouble in troubles:
            trouble.ended = min(trouble.ended, self.tick())

    def end_all(self, what: str) -> None:
        """No such thing goes on."""
        self.end(trouble for trouble in self.troubles if trouble.what == what)

    def met(self, what: str, since: int, until: int = NEVER) -> bool:
        """Whether such a thing was going on in between."""
        return any(t.what == what and t.began <= until and t.ended >= since for t in self.troubles)

    def count(self, what: str, since: int = 0, until: int = NEVER) -> int:
        """How often it began in between."""
        return sum(t.what == what and since <= t.began <= until for t in self.troubles)

    def may_be_lost(self, since: int, until: int) -> bool:
        """Whether what happened in between may be forgotten: it could not be written, and then the daemon ended."""
        return any(
            unsafe.what == "unsafe"
            and lost.what == "lost:daemon"
            and unsafe.began <= lost.began <= unsafe.ended
            and since <= lost.began
            and until >= unsafe.began
            for unsafe in self.troubles
            for lost in self.troubles
        )

    def fault(self, text: str) -> None:
        """Something that must not be; each is told once."""
        if text not in self._known:
            self.faults.append(f"step {self.step}: {text}")
        self._known.add(text)

    def open_calls(self) -> list[Asked]:
        """What nobody has answered yet, and somebody must or may."""
        return [call for call in self.calls if call.is_open and not call.excused]

    def cell_of(self, session: str, cell_id: str) -> Cell | None:
        """The cell that has this id, if the server has named it."""
        return next((c for c in self.cells.values() if (c.session, c.cell_id) == (session, cell_id)), None)

    def acknowledged(self, session: str) -> list[Cell]:
        """The cells that are surely there, in the order in which they came."""
        return [c for c in self.cells.values() if c.session == session and c.must_exist and not c.may_be_gone]
