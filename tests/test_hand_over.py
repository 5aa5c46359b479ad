"""A newer version takes over from the running one while it is used: no call is lost, and no kernel dies."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcp_notebook
from tests.daemons import User, build, text_of, user, wait_until
from tests.relays import Relay

NEXT = "99.0.0"
CELLS = 40


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Where a second build of the product is, with a raised version number."""
    return build(tmp_path / "newer", NEXT)


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path) as found:
        yield found


def test_under_load(somebody: User, newer: Path) -> None:
    """One client in the middle of a long cell, one with many calls under way, and the newer version comes."""
    with Relay(somebody, "--agent", "long") as long, Relay(somebody, "--agent", "many") as many:
        long.initialize()
        many.initialize()
        pid = long.call("execute_cell", source="import os; n = 1; os.getpid()").splitlines()[-1]
        before = many.call("execute_cell", source="count = 0; import os; os.getpid()").splitlines()[-1]
        first = somebody.status()
        source = "import time\nfor i in range(30):\n    print('line', i, flush=True); time.sleep(0.1)\nn += 1"
        waiting = long.begin("tools/call", {"name": "execute_cell", "arguments": {"source": source}})
        numbers = [
            many.begin("tools/call", {"name": tool, "arguments": arguments})
            for index in range(CELLS)
            for tool, arguments in (
                ("execute_cell", {"source": "count += 1; time = __import__('time'); time.sleep(0.05); count"}),
                ("edit_cell", {"source": f"# note {index}", "edit_mode": "insert", "cell_type": "markdown"}),
            )
        ]
        with Relay(somebody, "--agent", "newer", PYTHONPATH=str(newer)) as fresh:
            fresh.initialize()
            assert "ok" in fresh.call("execute_cell", source="1")
            status = somebody.status()
            assert (first["version"], status["version"]) == (mcp_notebook.__version__, NEXT)
            assert status["pid"] != first["pid"]

            answer = text_of(long.answer(waiting))
            assert [line for line in answer.splitlines() if line.startswith("line")] == [f"line {i}" for i in range(30)]
            for number in numbers:
                assert not many.answer(number)["result"].get("isError"), "a call was lost"
            assert many.call("execute_cell", source="count").splitlines()[-1] == str(CELLS)
            document = many.call("read_notebook", outputs="none")
            notes = many.call("execute_cell", source="import os; os.getpid()").splitlines()[-1]
            assert notes == before
            assert f"{2 * CELLS + 2} cells" in document or f"{2 * CELLS + 2} cells" in document.replace(",", "")
            assert long.call("execute_cell", source="n, os.getpid()").splitlines()[-1] == f"(2, {pid})"


def test_a_run_of_several_cells_goes_on(somebody: User) -> None:
    """``run_all`` was in its second cell when its server was killed; the next one begins the rest."""
    with Relay(somebody) as relay:
        relay.initialize()
        for index in range(4):
            relay.call("execute_cell", source=f"import time; time.sleep(0.4); at = {index}; at")
        answer = relay.call("control_kernel", action="run_all", wait_s=0.6)
        found = re.search(r"r-[0-9a-f]{8}", answer)
        assert found, answer
        run_id = found[0]
        somebody.kill_running_server()
        wait_until(lambda: "4 of 4 cells ran" in relay.call("get_output", execution_id=run_id, wait_s=5))


def test_it_is_not_the_older_one_that_takes_over(somebody: User, newer: Path) -> None:
    """An older relay works with a newer server."""
    with Relay(somebody, PYTHONPATH=str(newer)) as fresh:
        fresh.initialize()
        fresh.call("execute_cell", source="1")
        with Relay(somebody) as older:
            older.initialize()
            assert "ok" in older.call("execute_cell", source="1")
            assert somebody.status()["version"] == NEXT
