"""Every way to stop waiting for a cell, over both transports and eras, on cells that are stuck in every way.

What is found is a table of docs/reliability.md: ``make reliability`` writes it.
"""

import os

import pytest

from tests.reliability.desk import ERAS, Column
from tests.reliability.stopping import EVENTS, PLACES, Found, events, expected, run
from tests.reliability.stuck import CELLS
from tests.reliability.table import INTERRUPTS, NO_RELAY, PAGE, on_page, put_on_page
from tests.reliability.test_kills import WRITE

pytestmark = pytest.mark.timeout(600)
"""The first test waits for everything."""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What became of the cells."""
    return run(tmp_path_factory.mktemp("stuck"))


@pytest.mark.parametrize("column", PLACES, ids=lambda column: f"{column.transport} {ERAS[column.era]}")
def test_only_who_means_it_interrupts_a_cell(found: Found, column: Column) -> None:
    """Each cell is interrupted with its state kept and no process left, or runs on as if nothing had happened."""
    hoped_for = {event: dict.fromkeys(CELLS, expected(event, column)) for event in events(column)}
    assert {event: found[event, column] for event in events(column)} == hoped_for


def test_the_page_says_what_becomes_of_them(found: Found) -> None:
    """The table in docs/reliability.md is the one of this run."""
    if os.environ.get(WRITE):
        put_on_page(_table(found), INTERRUPTS)
    assert on_page(INTERRUPTS) == _table(found)


def _table(found: Found) -> str:
    titles = [f"{column.transport}, {ERAS[column.era]}" for column in PLACES]
    lines = [f"| what happens | {' | '.join(titles)} |", "|---" * (1 + len(titles)) + "|"]
    for event in EVENTS:
        fates = [_together(found[event, place]) if event in events(place) else NO_RELAY for place in PLACES]
        lines.append(f"| {event} | {' | '.join(fates)} |")
    return "\n".join(lines)


def _together(fates: dict[str, str]) -> str:
    """What became of all, or of each."""
    if set(fates) == set(CELLS) and len(set(fates.values())) == 1:
        return next(iter(fates.values()))
    return "; ".join(f"{kind}: {fate}" for kind, fate in fates.items())


def test_the_page_names_the_cells() -> None:
    """What each of them is stuck in."""
    said = " ".join(PAGE.read_text().split())
    assert [kind for kind in CELLS if kind not in said] == []
