"""What becomes of stuck cells: cancelled, cut off, or interrupted after their call has handed back.

In each column one client has a session for each kind of cell, so that one event hits all of them at once.
"""

import json
import os
import re
import tempfile
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from tests.daemons import wait_until
from tests.reliability.clients import NoAnswer
from tests.reliability.desk import ERAS, HTTP, IN_A_CELL, STDIO, Column, Desk, desk
from tests.reliability.stuck import BEFORE, CELLS, source
from tests.reliability.victims import is_gone, kill

WITHIN_S = 30
AT_A_TIME = 2
CANCEL, DISCONNECT, CLIENT, RELAY, TIME_OUT = "cancel", "disconnect", "client killed", "relay killed", "time-out"
EVENTS = (CANCEL, DISCONNECT, CLIENT, RELAY, TIME_OUT)
INTERRUPTED, RUNS_ON = "interrupted", "runs on"
PLACES = tuple(Column(transport, era, IN_A_CELL) for transport in (STDIO, HTTP) for era in ERAS)

Found = dict[tuple[str, Column], dict[str, str]]
"""By event and place: what became of each kind of cell."""


def expected(event: str, column: Column) -> str:
    """What the design says."""
    closes_streams = column == Column(HTTP, "auto", IN_A_CELL)
    return INTERRUPTED if event in (CANCEL, TIME_OUT) or closes_streams else RUNS_ON


def events(column: Column) -> list[str]:
    """What can happen there."""
    return [event for event in EVENTS if column.transport == STDIO or event != RELAY]


class Stuck:
    """One session, in which the cells of one kind are run."""

    def __init__(self, somebody: Desk, kind: str, directory: Path) -> None:
        self.kind = kind
        self.handle = str(json.loads(somebody.client.call("open_session"))["session"])
        self._desk = somebody
        self._directory = directory
        answer = self._call("execute_cell", source=BEFORE)
        self.kernel, self._server = (int(pid) for pid in answer.splitlines()[1].split())
        self._call_number = 0
        self._execution = ""

    def begin(self, event: str) -> None:
        """Have a client wait for the stuck cell."""
        self._begun = self._directory / f"{self.kernel}-{EVENTS.index(event)}"
        wait_s = 0.5 if event == TIME_OUT else 300
        cell = source(self.kind, self._begun)
        self._call_number = self.begin_call("execute_cell", source=cell, wait_s=wait_s)

    def until_stuck(self) -> None:
        """And until its processes are there."""
        wait_until(self._begun.exists)
        (self._execution,) = json.loads(self._call("control_kernel", action="status"))["pending"]
        self._started = self._processes()

    def hand_back(self) -> None:
        """The call that waited is over, and the cell runs on."""
        answer = self._desk.client.answer(self._call_number)
        assert re.match(r"\[[\d ]+\] running", answer), answer

    def cancel(self) -> None:
        """The call that waits."""
        self._desk.client.cancel(self._call_number)

    def begin_call(self, tool: str, **arguments: object) -> int:
        """In this session."""
        return self._desk.client.begin(tool, session=self.handle, **arguments)

    def fate(self, hoped_for: str) -> str:
        """What became of the cell; waits for that if it is to end."""
        wait_s = WITHIN_S if hoped_for == INTERRUPTED else 0
        answer = self._call("get_output", execution_id=self._execution, wait_s=wait_s)
        status = re.match(r"\[[\d ]+\] (\w+)", answer)
        found = status[1] if status else answer
        if found == "running":
            assert self._processes() == self._started, "processes of a running cell have ended"
            return RUNS_ON
        return found

    def check_afterwards(self) -> None:
        """The kernel has its state and runs the next cell; of the interrupted one nothing is left but that."""
        answer = self._call("execute_cell", source="print(kept, os.getpid())")
        assert answer.splitlines()[1] == f"kept {self.kernel}", answer
        wait_until(lambda: self._processes() == {self._server})

    def _call(self, tool: str, **arguments: object) -> str:
        return self._desk.client.answer(self.begin_call(tool, **arguments))

    def _processes(self) -> set[int]:
        """All that live in the kernel's process session, but the kernel."""
        return {pid for pid in psutil.pids() if _session_of(pid) == self.kernel and not is_gone(pid)} - {self.kernel}


def run(base: Path) -> Found:
    """Every event everywhere, to all kinds of cells."""
    found: Found = {}
    with ThreadPoolExecutor(AT_A_TIME) as threads:
        for part in threads.map(lambda column: _place(base, column), PLACES):
            found |= part
    return found


def _place(base: Path, column: Column) -> Found:
    found: Found = {}
    try:
        with desk(Path(tempfile.mkdtemp(dir=base)), column) as somebody:
            directory = somebody.user.workspace.parent
            sessions = [Stuck(somebody, kind, directory) for kind in CELLS]
            for event in events(column):
                found[event, column] = _event(event, column, somebody, sessions)
    except Exception as exc:
        why = "".join(traceback.format_exception(exc, limit=-3))
        found |= {(event, column): {"everything": why} for event in events(column) if (event, column) not in found}
    return found


def _event(event: str, column: Column, somebody: Desk, sessions: list[Stuck]) -> dict[str, str]:
    for each in sessions:
        each.begin(event)
    for each in sessions:
        each.until_stuck()
    _happen(event, somebody, sessions)
    hoped_for = expected(event, column)
    fates = {each.kind: _tried(each.fate, hoped_for) for each in sessions}
    if hoped_for != INTERRUPTED:
        _interrupt(somebody, sessions)
    for each in sessions:
        trouble = _tried(each.check_afterwards)
        fates[each.kind] = f"{fates[each.kind]}, {trouble}" if trouble else fates[each.kind]
    return fates


def _happen(event: str, somebody: Desk, sessions: list[Stuck]) -> None:
    """It, and what a client does next."""
    client = somebody.client
    match event:
        case "cancel":
            for each in sessions:
                each.cancel()
        case "disconnect":
            client.disconnect()
            client.connect()
        case "client killed":
            kill([client.process.pid])
            somebody.start_client()
        case "relay killed":
            kill([client.relay()])
            client.connect()
        case _:
            for each in sessions:
                each.hand_back()
            _interrupt(somebody, sessions)


def _interrupt(somebody: Desk, sessions: list[Stuck]) -> None:
    calls = [each.begin_call("control_kernel", action="interrupt") for each in sessions]
    for number in calls:
        answer = somebody.client.answer(number)
        assert answer.startswith("Interrupted by "), answer


def _tried(check: Callable[..., str | None], *arguments: str) -> str:
    try:
        return check(*arguments) or ""
    except (AssertionError, NoAnswer) as exc:
        return str(exc)[:500]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
