"""What each step does."""

import os
import signal
from collections.abc import Callable
from typing import Any

import psutil

from mcp_notebook import __version__, control
from mcp_notebook.errors import BadRequest
from tests.chaos.asking import Asking
from tests.chaos.book import Asked, Cell
from tests.chaos.sources import source_of
from tests.chaos.steps import Step
from tests.chaos.world import World
from tests.daemons import wait_until
from tests.reliability.clients import NoAnswer
from tests.reliability.victims import is_gone

SOON_S = 2.0
"""So long a step waits for its answer before the next one comes."""
FLOOD = 20


class Deeds:
    """Does steps to a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asking: Asking = world.asking
        self._table: dict[str, Callable[[Step], object]] = {
            "run": self._run,
            "rerun": self._rerun,
            "edit": self._edit,
            "insert": self._insert,
            "delete": self._delete,
            "save": lambda step: self._ask(step, "save_notebook"),
            "look": self._look,
            "interrupt": lambda step: self._ask(step, "control_kernel", action="interrupt"),
            "cancel": self._cancel,
            "answer": lambda step: self._ask(step, "control_kernel", action="answer", text="given", wait_s=0),
            "restart": lambda step: self._ask(step, "control_kernel", action="restart"),
            "rebuild": lambda step: self._ask(step, "control_kernel", action="rebuild", wait_s=1),
            "end": lambda step: self._ask(step, "control_kernel", action="kill"),
            "kill": self._kill,
            "pause": self._pause,
            "flood": self._flood,
            "fill": self._fill,
            "terminate": self._terminate,
            "hand-over": self._hand_over,
            "settle": lambda step: self._world.settle(),
        }

    def do(self, step: Step) -> None:
        """One step, and what is over after it."""
        try:
            self._table[step.deed](step)
        except NoAnswer as exc:
            self._world.book.fault(f"{step}: {exc}")
        self._world.after_step()

    # Calls

    def _ask(self, step: Step, tool: str, *, tag: str = "", kind: str = "", **arguments: Any) -> Asked:
        actor = self._world.ready(step.whom)
        handle = self._world.handles[actor.session]
        call = self._asking.begin(actor, handle, tool, tag=tag, kind=kind, **arguments)
        self._asking.look(call, SOON_S)
        return call

    def _run(self, step: Step, **cell: Any) -> None:
        kind, wait_s = step.how.split(":")
        tag = self._world.tag()
        self._ask(step, "execute_cell", tag=tag, kind=kind, source=source_of(kind, tag), wait_s=float(wait_s), **cell)

    def _rerun(self, step: Step) -> None:
        cell = self._some_cell(step)
        if cell is not None and "witness" in "".join(cell.sources):
            self._run(step, cell_id=cell.cell_id)

    def _edit(self, step: Step) -> None:
        cell = self._some_cell(step)
        if cell is not None:
            tag = self._world.tag()
            source = f"# edited {tag!r}"
            self._ask(step, "edit_cell", tag=tag, edit_mode="replace", cell_id=cell.cell_id, source=source)

    def _insert(self, step: Step) -> None:
        tag = self._world.tag()
        self._ask(step, "edit_cell", tag=tag, edit_mode="insert", cell_type="markdown", source=f"# noted {tag!r}")

    def _delete(self, step: Step) -> None:
        cell = self._some_cell(step)
        if cell is not None:
            self._ask(step, "edit_cell", edit_mode="delete", cell_id=cell.cell_id)

    def _look(self, step: Step) -> None:
        looks: list[tuple[str, dict[str, Any]]] = [
            ("read_notebook", {"outputs": "full"}),
            ("control_kernel", {"action": "status"}),
            ("inspect_variables", {}),
            ("read_notebook", {"outputs": "none"}),
        ]
        tool, arguments = looks[step.number % len(looks)]
        self._ask(step, tool, **arguments)

    def _cancel(self, step: Step) -> None:
        mine = [call for call in self._world.book.open_calls() if call.actor == step.whom]
        if mine:
            call = mine[-1]
            call.excused = "cancelled"
            self._world.resume(f"client:{step.whom}")
            self._world.book.begin(f"cancel:{call.tag}")
            call.program.send_cancel(call.number)

    def _flood(self, step: Step) -> None:
        actor = self._world.ready(step.whom)
        self._world.pause(f"client:{step.whom}", 1 + step.number % 3)
        for _ in range(FLOOD):
            self._asking.begin(actor, self._world.handles[actor.session], "read_notebook", outputs="full")

    def _some_cell(self, step: Step) -> Cell | None:
        actor = self._world.actors[step.whom]
        cells = self._world.book.acknowledged(actor.session)
        return cells[step.number % len(cells)] if cells else None

    # Violence

    def _kill(self, step: Step) -> None:
        victims = step.whom.split(",")
        found = {victim: process for victim in victims if (process := self._world.find(victim)) is not None}
        for victim, process in found.items():
            self._world.resume(victim)
            self._world.will_die(victim)
            os.kill(process.pid, signal.SIGKILL)
        for victim, process in found.items():
            self._gone(process)
            self._world.has_died(victim)

    def _gone(self, process: psutil.Process) -> None:
        wait_until(lambda: is_gone(process.pid) or not process.is_running())

    def _pause(self, step: Step) -> None:
        self._world.pause(step.whom, step.number)

    def _fill(self, step: Step) -> None:
        self._world.fill(step.whom, step.number)

    def _terminate(self, step: Step) -> None:
        process = self._world.find("daemon")
        if process is not None:
            self._world.resume("daemon")
            self._world.will_die("daemon")
            process.terminate()
            self._gone(process)
            self._world.has_died("daemon")

    def _hand_over(self, step: Step) -> None:
        process = self._world.find("daemon")
        if process is None:
            return
        self._world.resume("daemon")
        self._world.will_die("daemon")
        try:
            control.command(self._world.place.user.settings, "hand_over", version=__version__)
        except (BadRequest, OSError):
            process.terminate()  # it does not listen yet, or not any more
        self._gone(process)
        self._world.has_died("daemon")
