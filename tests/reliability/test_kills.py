"""kill -9 of client, relay, daemon and keeper, in turn and in pairs, idle and mid-cell, over both transports and eras.

What is found is the table of docs/reliability.md: ``make reliability`` writes it.
"""

import json
import os
from pathlib import Path

import pytest

from tests.reliability.desk import COLUMNS, HTTP, IDLE, Column, desk
from tests.reliability.matrix import Found, cases, run
from tests.reliability.table import on_page, put_on_page, table
from tests.reliability.victims import kill

pytestmark = pytest.mark.timeout(600)
"""The first test waits for everything."""

WRITE = "MCP_NOTEBOOK_WRITE_DOCS"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What was lost in each trial."""
    return run(tmp_path_factory.mktemp("kills"))


@pytest.mark.parametrize("column", COLUMNS, ids=str)
def test_nothing_is_lost(found: Found, column: Column) -> None:
    """Whoever is killed."""
    lost = {victims: found[victims, column] for victims in cases(column)}
    assert {victims: what for victims, what in lost.items() if what} == {}


def test_the_page_says_what_was_found(found: Found) -> None:
    """The table in docs/reliability.md is the one of this run."""
    if os.environ.get(WRITE):
        put_on_page(table(found))
    assert on_page() == table(found)


def test_a_notebook_is_opened_again_over_http(tmp_path: Path) -> None:
    """At once after the daemon was killed: no client over HTTP has a lease that could be waited for."""
    with desk(tmp_path, Column(HTTP, "legacy", IDLE)) as somebody:
        opened = json.loads(somebody.client.call("open_session", notebook="a.py"))
        kill([somebody.user.status()["pid"]])
        somebody.start_server()
        somebody.connect_again()
        again = json.loads(somebody.client.call("open_session", notebook="a.py"))
        assert (again["session"], again["created"]) == (opened["session"], False)
