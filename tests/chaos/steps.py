"""The steps of a chaos run, out of a seed: pure, so that a run can be repeated, and shortened by hand.

A step names whom it concerns, never what is true at the time: each is a legal thing to do at any moment.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass

ACTORS = ("a", "b", "c", "d")
"""Clients; see ``actors``. The last works in the session of the first."""
SESSIONS = ("A", "B", "C")
KINDS = {"quick": 6, "lines": 5, "gate": 5, "big": 2, "fail": 2, "ask": 2, "die": 1}
"""What a cell does, and how often it is chosen."""
WAITS = ("0", "0.5", "20")
SETTLE_EVERY = 10

WEIGHTS = {
    "run": 30,
    "rerun": 6,
    "edit": 6,
    "insert": 3,
    "delete": 3,
    "save": 6,
    "look": 6,
    "interrupt": 6,
    "cancel": 5,
    "answer": 3,
    "restart": 3,
    "rebuild": 3,
    "end": 2,
    "kill": 16,
    "pause": 8,
    "flood": 3,
    "fill": 4,
    "terminate": 2,
    "hand-over": 2,
}
"""How often each is chosen."""


@dataclass(frozen=True)
class Step:
    """``deed`` is done by or to ``whom``; what ``how`` means is the deed's."""

    deed: str
    whom: str = "-"
    how: str = "-"
    number: int = 0

    def __str__(self) -> str:
        return f"{self.deed} {self.whom} {self.how} {self.number}"

    @classmethod
    def parse(cls, line: str) -> "Step":
        """What ``str`` made."""
        deed, whom, how, number = line.split()
        return cls(deed, whom, how, int(number))


SETTLE = Step("settle")


def steps(seed: int, count: int) -> list[Step]:
    """So many, the last of which settles everything."""
    chance = random.Random(seed)
    made: list[Step] = []
    while len(made) < count - 1:
        made.append(SETTLE if len(made) % SETTLE_EVERY == SETTLE_EVERY - 1 else _step(chance))
    return [*made, SETTLE]


def read_steps(lines: Iterable[str]) -> list[Step]:
    """Of a file in which each line is a step; what begins with # is passed over."""
    return [Step.parse(line) for line in lines if line.strip() and not line.startswith("#")]


def _step(chance: random.Random) -> Step:
    deed = _chosen(chance, WEIGHTS)
    actor = chance.choice(ACTORS)
    number = chance.randrange(1000)
    match deed:
        case "run" | "rerun":
            return Step(deed, actor, f"{_chosen(chance, KINDS)}:{chance.choice(WAITS)}", number)
        case "kill":
            count = chance.choice((1, 1, 2))
            return Step(deed, ",".join(chance.sample(victims(), count)), "-", number)
        case "pause":
            return Step(deed, chance.choice(victims()), "-", chance.randrange(1, 4))
        case "fill":
            return Step(deed, chance.choice(("state", "workspace")), "-", chance.randrange(1, 5))
        case "terminate" | "hand-over":
            return Step(deed, "daemon", "-", number)
        case _:
            return Step(deed, actor, "-", number)


def victims() -> list[str]:
    """Whom ``kill`` and ``pause`` can meet; the daemon more often than each other."""
    clients = [f"client:{actor}" for actor in ACTORS]
    relays = [f"relay:{actor}" for actor in ("a", "b")]
    kernels = [f"kernel:{session}" for session in SESSIONS]
    return [*clients, *relays, *kernels, "daemon", "daemon", "daemon", "keeper"]


def _chosen(chance: random.Random, weights: dict[str, int]) -> str:
    return chance.choices(list(weights), weights=list(weights.values()))[0]
