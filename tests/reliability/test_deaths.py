"""Kernels that die, of every cause and in every situation: what is told of it, to whom, and what brings them back.

Real relays, one server at a time, and a keeper that is killed; one user for all of it.
"""

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.calls import status, value
from tests.daemons import User, user, wait_until
from tests.kernels.keepers import SYSTEM_TELLS_ENDS
from tests.relays import Relay, Relays, relays
from tests.reliability.victims import is_gone, keeper_of, kill

LIMIT_MB = 300
FILL = f"hoard = []\nwhile True: hoard.append(b'x' * {4 << 20})"


@dataclass(frozen=True)
class Cause:
    """What a cell does, and how its death is told."""

    source: str
    said: str
    by_us: bool = False
    """Whether the server ends the kernel, and so knows why in any case."""


CAUSES = {
    "exit": Cause("os._exit(9)", "ended with exit code 9"),
    "kill": Cause("os.kill(os.getpid(), 9)", "was killed by signal 9 (SIGKILL)"),
    "segfault": Cause("import ctypes; ctypes.string_at(0)", "was killed by signal 11 (SIGSEGV"),
    "memory": Cause(FILL, f"the limit is {LIMIT_MB} MB ([limits] memory_mb)", by_us=True),
}
UNKNOWN = "ended, cause unknown"


class Dying:
    """A session whose kernel is about to die, with what was defined in it."""

    def __init__(self, somebody: User, started: Relays, agent: str) -> None:
        self.user = somebody
        self.agent = agent
        self.relay: Relay = started.start("--agent", agent)
        self.first = self._cell("import os\nword, pair = 'kept', [1, 2]")
        self.second = self._cell("pair.append(3)\nof_second = len(pair)\nof_second")
        self.failed = self._cell("1 / 0")

    def dies(self, cause: Cause) -> tuple[str, str]:
        """The answer of the call that waited, and the cell."""
        answer = self.relay.call("execute_cell", source=cause.source)
        return answer, value(answer, "cell")

    def told(self) -> str:
        """What a call says that finds a dead kernel."""
        answer = self.relay.call("execute_cell", source="word")
        assert status(answer) == "dead", answer
        return answer.partition("\n")[2].removesuffix(" Nothing was run, the document is as it was.")

    def certificate(self) -> dict[str, object]:
        """As data."""
        found = json.loads(self.relay.call("control_kernel", action="status"))
        assert found["state"] == "dead"
        certificate: dict[str, object] = found["certificate"]
        return certificate

    def is_rebuilt(self) -> None:
        """The variables are back."""
        rebuilt = self.relay.call("control_kernel", action="rebuild")
        assert "2 of 2 cells ran" in rebuilt, rebuilt
        assert "All results are as before." in rebuilt, rebuilt
        assert self.relay.call("execute_cell", source="word, pair").endswith("('kept', [1, 2, 3])")

    def restart_server(self) -> None:
        """The server is killed, and another one is asked for by the relay's next call."""
        self.user.kill_running_server()
        self.relay.call("list_sessions")

    def _cell(self, source: str) -> str:
        return value(self.relay.call("execute_cell", source=source), "cell")


@pytest.fixture(scope="module")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    with user(tmp_path_factory.mktemp("deaths")) as somebody:
        somebody.settings.home.mkdir(parents=True, exist_ok=True)
        (somebody.settings.home / "settings.toml").write_text(f"[limits]\nmemory_mb = {LIMIT_MB}\n")
        yield somebody


@pytest.fixture(scope="module")
def started(somebody: User) -> Iterator[Relays]:
    with relays(somebody) as started:
        yield started


@pytest.fixture
def dying(somebody: User, started: Relays, request: pytest.FixtureRequest) -> Iterator[Dying]:
    """A session of the test's own, ended afterwards."""
    session = Dying(somebody, started, request.node.name)
    yield session
    session.relay.call("control_kernel", action="shutdown")
    session.relay.close()


def check(answer: str, cause: Cause, dying: Dying, cell: str, *, cause_known: bool = True) -> None:
    """The answer of the waiting call tells all that is known."""
    assert status(answer) == "dead", answer
    assert cause.said in answer or (not cause_known and UNKNOWN in answer), answer
    assert f"while cell {cell} ran" in answer
    assert "Lost: 3 names, word, pair, of_second." in answer
    assert f"the 2 cells that had succeeded again ({dying.first}, {dying.second})" in answer
    certificate = dying.certificate()
    assert certificate["cell"] == cell
    assert certificate["names"] == ["word", "pair", "of_second"]
    assert certificate["rebuild"] == [dying.first, dying.second]


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_a_death_is_certified_and_the_next_server_says_the_same(dying: Dying, cause: Cause) -> None:
    """The waiting call, every later one, and those of a server that was not there; rebuild brings it back."""
    answer, cell = dying.dies(cause)
    check(answer, cause, dying, cell)
    assert "Peak memory unknown" not in answer
    told, certificate = dying.told(), dying.certificate()
    assert told in answer
    dying.restart_server()
    assert dying.told() == told
    assert dying.certificate() == certificate
    for call in (
        dying.relay.call("read_notebook"),
        dying.relay.call("list_sessions"),
        dying.relay.call("inspect_variables"),
        dying.relay.call("control_kernel", action="run_all"),
        dying.relay.call("control_kernel", action="interrupt"),
    ):
        assert cause.said in call, call
    plan = dying.relay.call("control_kernel", action="rebuild", dry_run=True)
    assert plan.index(dying.first) < plan.index(dying.second) < plan.index("Left out")
    assert f"cell={dying.failed} its latest run ended as error" in plan
    assert f"cell={cell} its latest run ended as dead" in plan
    dying.is_rebuilt()


@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_a_kernel_that_was_taken_over_dies_as_any_other(dying: Dying, cause: Cause) -> None:
    """The new server has started neither the kernel nor its cells, and knows the names all the same."""
    dying.restart_server()
    answer, cell = dying.dies(cause)
    check(answer, cause, dying, cell)
    assert "Peak memory unknown" not in answer
    dying.is_rebuilt()


@pytest.mark.parametrize("replaced", [False, True], ids=["same server", "next server"])
@pytest.mark.parametrize("cause", CAUSES.values(), ids=CAUSES)
def test_without_its_keeper_a_death_is_told_as_far_as_it_is_known(dying: Dying, cause: Cause, replaced: bool) -> None:
    """The cause is what the system tells, or unknown; all else is told as ever."""
    kill([keeper_of(dying.user)])
    if replaced:
        dying.restart_server()
    answer, cell = dying.dies(cause)
    check(answer, cause, dying, cell, cause_known=cause.by_us or SYSTEM_TELLS_ENDS)
    assert "Peak memory unknown" in answer
    dying.is_rebuilt()


def test_a_death_that_no_server_saw(dying: Dying) -> None:
    """The keeper saw it; that the cell was running then is not claimed."""
    pid = int(dying.relay.call("execute_cell", source="os.getpid()").splitlines()[-1])
    begun = dying.relay.call("execute_cell", source="import time; time.sleep(600)", wait_s=0)
    server = dying.user.status()["pid"]
    os.kill(server, signal.SIGSTOP)  # the relay would start another one
    os.kill(pid, signal.SIGSEGV)
    wait_until(lambda: is_gone(pid))
    kill([server])
    told = dying.told()
    assert "was killed by signal 11 (SIGSEGV" in told
    assert f"while no server was there, and cell {value(begun, 'cell')} was running when one was last" in told
    assert "Lost: 3 names, word, pair, of_second." in told, told
    ended = dying.relay.call("get_output", execution_id=value(begun, "execution_id"))
    assert status(ended) == "dead"
    assert told in ended
    dying.restart_server()
    assert dying.told() == told


def test_a_death_between_two_cells(dying: Dying) -> None:
    """No cell is blamed."""
    pid = int(dying.relay.call("execute_cell", source="os.getpid()").splitlines()[-1])
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: dying.relay.call("list_sessions").count('"dead"') > 0)
    told = dying.told()
    assert "signal 15 (SIGTERM, it was asked to end); its variables are lost." in told
    assert dying.certificate()["cell"] is None


def test_a_kernel_that_the_agent_killed(dying: Dying) -> None:
    """It is told by whom, also to the cell that was running, and by the next server."""
    begun = dying.relay.call("execute_cell", source="import time; time.sleep(600)", wait_s=0)
    dying.relay.call("control_kernel", action="kill")
    told = dying.told()
    assert f"while cell {value(begun, 'cell')} ran, as control_kernel(action='kill') asked; its variables" in told
    dying.restart_server()
    assert dying.told() == told
