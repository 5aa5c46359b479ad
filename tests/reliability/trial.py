"""One kill: what is done before it, who is killed, who comes back, and what is found then.

Whether a call waits for the running cell when its client is killed matters over HTTP in the 2026-07-28 era only:
there the end of the call's stream cancels it.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

from tests.daemons import wait_until
from tests.reliability.cells import Counting
from tests.reliability.clients import NoAnswer
from tests.reliability.desk import HTTP, IDLE, IN_A_CELL, Column, Desk
from tests.reliability.victims import CLIENT, DAEMON, KEEPER, RELAY, Victims, is_gone, keeper_of, kill

WITHIN_S = 30


class Trial:
    """``lost`` names what did not survive, with what was seen instead."""

    def __init__(self, desk: Desk, column: Column, victims: Victims, number: int, *, waits: bool = True) -> None:
        self.lost: dict[str, str] = {}
        self._desk = desk
        self._column = column
        self._victims = victims
        self._name = f"trial_{number}_{waits:d}"
        self._waits = waits
        """Whether a call waits for the cell."""
        self._is_cancelled = waits and cancels(column, victims)
        self._ends_meanwhile = (number + (column.era == "auto")) % 2 == 0
        """Whether the cell ends before anybody has come back."""
        self._kernel = 0
        self._saved: dict[Path, bytes] = {}
        self._counting = Counting(self._name, desk.user.workspace.parent)
        self._in_flight = 0
        self._execution = ""

    def run(self) -> dict[str, str]:
        """What was lost."""
        self._prepare()
        if self._column.moment != IDLE:
            self._begin_cell()
        self._kill()
        if self._column.moment != IDLE and self._ends_meanwhile:
            self._counting.let_end()
        self._come_back()
        if self._column.moment != IDLE:
            self._check("execution", self._execution_is_found)
            self._counting.let_end()
            self._check("output", self._output_is_whole)
            if self._connection_lives and self._waits:
                self._check("call in flight", self._call_is_answered)
        self._check("variables", self._variables_are_there)
        self._check("kernel", self._kernel_is_the_same)
        self._check("saved document", self._files_are_unchanged)
        self._check("unsaved cells", self._cells_are_there)
        if KEEPER in self._victims:
            self._check("later death", self._later_death_is_told)
            self._check("new kernel", self._new_kernel_starts)
        return self.lost

    def _prepare(self) -> None:
        desk = self._desk
        self._kernel = int(desk.run("import os; os.getpid()"))
        desk.run(f"kept_{self._name} = '{self._name} kept'")
        answer = desk.call("save_notebook", path="saved.py")
        paths = [Path(path) for path in re.findall(r"^Saved (.+)$", answer, re.MULTILINE)]
        assert len(paths) == 2, answer
        self._saved = {path: path.read_bytes() for path in paths}
        desk.call("edit_cell", source=f"# {self._name} noted", edit_mode="insert", cell_type="markdown")
        desk.run(f"'{self._name} ' + 'not saved'")

    def _begin_cell(self) -> None:
        wait_s = {} if self._waits else {"wait_s": 0}
        self._in_flight = self._desk.begin("execute_cell", source=self._counting.source, **wait_s)
        self._counting.until_begun()
        (self._execution,) = json.loads(self._desk.call("control_kernel", action="status"))["pending"]

    def _kill(self) -> None:
        client = self._desk.client
        relay = client.relay() if self._column.transport != HTTP else None
        find: dict[str, Callable[[], int]] = {
            CLIENT: lambda: client.process.pid,
            RELAY: client.relay,
            DAEMON: lambda: int(self._desk.user.status()["pid"]),
            KEEPER: lambda: keeper_of(self._desk.user),
        }
        kill([find[victim]() for victim in self._victims])
        if relay is not None and CLIENT in self._victims:
            wait_until(lambda: is_gone(relay))

    def _come_back(self) -> None:
        if DAEMON in self._victims:
            self._desk.start_server()
        if CLIENT in self._victims:
            self._desk.start_client()
        elif not self._connection_lives:
            self._desk.connect_again()

    @property
    def _connection_lives(self) -> bool:
        """Whether the client goes on as if nothing had happened."""
        gone = {CLIENT, DAEMON} if self._column.transport == HTTP else {CLIENT, RELAY}
        return not gone.intersection(self._victims)

    def _check(self, what: str, check: Callable[[], None]) -> None:
        try:
            check()
        except (AssertionError, NoAnswer) as exc:
            self.lost[what] = str(exc).partition("\n")[0][:500]

    def _execution_is_found(self) -> None:
        answer = self._desk.call("get_output", execution_id=self._execution)
        if self._is_cancelled:
            assert re.match(r"\[\d+\] interrupted", answer), answer
        else:
            assert re.match(r"\[[\d ]+\] (running|ok)", answer), answer
            assert self._ends_meanwhile or "running" in answer.partition("\n")[0], answer

    def _output_is_whole(self) -> None:
        answer = self._desk.call("get_output", execution_id=self._execution, wait_s=WITHIN_S)
        self._is_whole(answer)

    def _call_is_answered(self) -> None:
        self._is_whole(self._desk.client.answer(self._in_flight))

    def _is_whole(self, answer: str) -> None:
        if self._is_cancelled:
            printed = int(self._desk.run("printed"))
            assert self._counting.lines_in(answer) in (self._counting.lines(printed), self._counting.lines(printed + 1))
            return
        assert re.match(r"\[\d+\] ok", answer), answer
        printed = int(self._desk.run(self._name))
        seen = self._counting.lines_in(answer)
        assert seen == self._counting.lines(printed), f"{printed} lines were printed, seen are {seen}"

    def _variables_are_there(self) -> None:
        found = self._desk.run(f"kept_{self._name}")
        assert found == f"'{self._name} kept'", found

    def _kernel_is_the_same(self) -> None:
        found = self._desk.run("os.getpid()")
        assert found == str(self._kernel), found

    def _files_are_unchanged(self) -> None:
        changed = [path.name for path, before in self._saved.items() if path.read_bytes() != before]
        assert changed == [], changed

    def _cells_are_there(self) -> None:
        found = self._desk.call("read_notebook", outputs="brief")
        for text in (f"# {self._name} noted", f"'{self._name} not saved'"):
            assert text in found, found

    def _later_death_is_told(self) -> None:
        os.kill(self._kernel, 9)
        wait_until(lambda: is_gone(self._kernel))
        answer = self._desk.call("execute_cell", source="1")
        # A cell that came before the death was known was in the queue, and never ran.
        assert re.match(r"\[[\d ]+\] (dead|cancelled)", answer), answer
        assert "variables are lost" in answer, answer

    def _new_kernel_starts(self) -> None:
        self._desk.call("control_kernel", action="restart")
        found = self._desk.run("import os; os.getpid()")
        assert found.isdigit() and int(found) != self._kernel, found


def cancels(column: Column, victims: Victims) -> bool:
    """Whether the client's end cancels the call that waits, and so interrupts the cell."""
    return column == Column(HTTP, "auto", IN_A_CELL) and CLIENT in victims and DAEMON not in victims
