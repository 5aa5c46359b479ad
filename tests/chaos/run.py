"""One run: the steps of a seed, one after the other, and what is left when it is over."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.chaos.asking import FINAL
from tests.chaos.deeds import Deeds
from tests.chaos.place import Place
from tests.chaos.steps import Step
from tests.chaos.world import World

NOT_FOLLOWED = "not followed"
"""Of an execution whose cell was deleted or ran again before its end was seen, or whose call came to nothing."""
GONE_WITHIN_S = 40.0
KEPT_FOR_A_WEEK = (".txt", ".log")
"""Long outputs and the kernels' logs."""


@dataclass
class Outcome:
    """What a run has found."""

    steps: int
    faults: list[str] = field(default_factory=list)
    done: dict[str, int] = field(default_factory=dict)
    """How often each deed was done."""
    cells: int = 0
    calls: int = 0
    endings: dict[str, int] = field(default_factory=dict)
    """How many executions ended in each way."""
    kernels: int = 0
    seconds: float = 0.0


def run(base: Path, steps: Sequence[Step], say: Callable[[str], None], *, go_on: bool = True) -> Outcome:
    """Do the steps in ``base``; each fault is said at once."""
    began = time.monotonic()
    outcome = Outcome(len(steps))
    world = World(Place(base))
    try:
        world.open()
        deeds = Deeds(world)
        for number, step in enumerate(steps):
            world.book.step = number
            known = len(world.book.faults)
            say(f"{number:4} {step}")
            deeds.do(step)
            outcome.done[step.deed] = outcome.done.get(step.deed, 0) + 1
            for fault in world.book.faults[known:]:
                say(f"FAULT {fault}")
            if world.book.faults and not go_on:
                break
        known = len(world.book.faults)
        if go_on or not world.book.faults:
            _end(world)
        for fault in world.book.faults[known:]:
            say(f"FAULT {fault}")
    finally:
        _count(world, outcome)
        world.close()
    outcome.seconds = time.monotonic() - began
    return outcome


def _count(world: World, outcome: Outcome) -> None:
    book = world.book
    outcome.faults = list(book.faults)
    outcome.cells, outcome.calls = len(book.cells), len(book.calls)
    outcome.kernels = len({each.pid for each in world.witness.all})
    for ran in book.ran.values():
        ending = ran.status if ran.status in FINAL else NOT_FOLLOWED
        outcome.endings[ending] = outcome.endings.get(ending, 0) + 1


def _end(world: World) -> None:
    """Sessions, clients and the daemon end in good order; then nothing may be left."""
    place, book = world.place, world.book
    keeper = place.keeper()
    stopped = place.user.command("sessions", "stop", "--all")
    if stopped.returncode:
        book.fault(f"sessions stop --all: {stopped.stdout}{stopped.stderr}")
    for actor in world.actors.values():
        actor.close()
    daemon = place.daemon()
    if daemon is not None:
        daemon.terminate()
    _, alive = psutil.wait_procs(place.user.processes(), timeout=GONE_WITHIN_S)
    for process in alive:
        book.fault(f"process {process.pid} was left: {' '.join(process.cmdline())[:200]}")
    if keeper is not None:  # else it was killed, and nobody has needed another one
        for path in place.user.settings.sockets.rglob("*"):
            book.fault(f"{path.name} was left among the sockets")
    for path in (place.user.settings.home / "sessions").rglob("*"):
        if path.is_file() and path.suffix not in KEPT_FOR_A_WEEK:
            book.fault(f"{path.parent.name}/{path.name} was left")
