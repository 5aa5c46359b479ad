"""All kills: each column in a thread of its own, with a user of its own, a few at a time."""

import tempfile
import traceback
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.reliability.desk import COLUMNS, HTTP, IDLE, Column, desk
from tests.reliability.trial import Trial, cancels
from tests.reliability.victims import CASES, RELAY, Victims

AT_A_TIME = 4

Found = dict[tuple[Victims, Column], dict[str, str]]
"""By who was killed and where: what was lost."""


def cases(column: Column) -> list[Victims]:
    """Who can be killed there."""
    return [victims for victims in CASES if column.transport != HTTP or RELAY not in victims]


def run(base: Path, columns: Iterable[Column] = COLUMNS) -> Found:
    """Kill everybody everywhere."""
    found: Found = {}
    order = sorted(columns, key=lambda column: (column.transport == HTTP, column.moment == IDLE))  # the longest first
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for part in threads.map(lambda column: _column(base, column), order):
            found |= part
    return found


def _column(base: Path, column: Column) -> Found:
    """In one session after the other: a new one after each trial in which something was lost."""
    found: Found = {}
    left = list(enumerate(cases(column)))
    while left:
        with desk(Path(tempfile.mkdtemp(dir=base)), column) as somebody:
            while left:
                number, victims = left.pop(0)
                try:
                    lost = Trial(somebody, column, victims, number).run()
                    if cancels(column, victims):
                        lost |= Trial(somebody, column, victims, number, waits=False).run()
                except Exception as exc:
                    lost = {"everything": "".join(traceback.format_exception(exc, limit=-3))}
                found[victims, column] = lost
                if lost:
                    break
    return found
