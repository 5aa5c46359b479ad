"""What ran in a session: executions by id, the latest of each cell, and in which life of the kernel."""

import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from mcp_notebook import rules
from mcp_notebook.errors import UnknownExecution
from mcp_notebook.execution import Execution
from mcp_notebook.masking import Masking
from mcp_notebook.notebook import Notebook, revision
from mcp_notebook.outputs import Displays, OutputCollector
from mcp_notebook.recalled import Recalled
from mcp_notebook.runtime import Made
from mcp_notebook.spill import SpilledText

REMEMBERED = 500
"""Executions that are found by id; the latest of each cell always is."""
FORGOTTEN_AFTER = 50
"""More than these are looked through only when so many have been added since."""


class Record:
    """Kept by a session, which tells it what begins and ends; puts into ``notebook`` what they give."""

    def __init__(
        self,
        notebook: Notebook,
        spill_directory: Path,
        spill_over_chars: int,
        on_forgotten: Callable[[str], None] = lambda _execution_id: None,
        masking: Masking | None = None,
    ) -> None:
        self._notebook = notebook
        self._on_forgotten = on_forgotten
        self.masking = masking or Masking(enabled=False)
        self._spill_directory = spill_directory
        self._spill_over_chars = spill_over_chars
        self._displays = Displays()
        self._executions: dict[str, Execution] = {}
        self._latest: dict[str, Execution] = {}
        """By cell; one that never began counts only until it has ended."""
        self._shown: dict[str, Execution] = {}
        """By cell: the execution that began last, whose outputs the cell has."""
        self._ran: dict[str, rules.Ran] = {}
        self._held: dict[str, int] = {}
        self._look_at = REMEMBERED + 1
        self._began = 0
        self._lineage = 1

    @property
    def held_bytes(self) -> int:
        """What the outputs of finished executions take, in the document and outside of it."""
        return sum(self._held.values())

    def new(self, cell: NotebookNode) -> Execution:
        """An execution of ``cell``; the oldest finished ones beyond ``REMEMBERED`` are forgotten."""
        execution = Execution(cell["id"], cell["source"], revision(cell), self._collector())
        self._executions[execution.id] = self._latest[execution.cell_id] = execution
        if len(self._executions) >= self._look_at:
            for old in list(self._executions.values())[:-REMEMBERED]:
                if self._is_superseded(old):
                    self._forget(old)
            self._look_at = len(self._executions) + FORGOTTEN_AFTER
        return execution

    def recall(self, recalled: Recalled) -> list[Execution]:
        """Go on from what an earlier server kept; returns what had not finished, in its order. Blocks."""
        self._ran, self._lineage = dict(recalled.ran), recalled.lineage
        self._began = max((data["place"] for data in recalled.executions.values()), default=0)
        cells = {cell["id"]: cell for cell in recalled.cells}
        for execution_id, data in recalled.executions.items():
            execution = Execution(data["cell"], data["source"], data["revision"], self._collector(), execution_id)
            execution.go_on_from(data)
            if execution_id in recalled.made:
                execution.made = Made(**recalled.made[execution_id])
            self._executions[execution_id] = self._latest[execution.cell_id] = execution
            if execution.place:
                self._shown[execution.cell_id] = execution
        for execution in self._executions.values():
            if execution.finished and self._shown.get(execution.cell_id) is execution:
                _restore(execution, recalled.executions[execution.id], cells.get(execution.cell_id))
                self._held[execution.id] = execution.held_bytes
        return [execution for execution in self._executions.values() if not execution.finished]

    def ran(self, execution: Execution) -> rules.Ran | None:
        """What is known of its cell's latest execution."""
        return self._ran.get(execution.cell_id)

    @property
    def lineage(self) -> int:
        """Which line of lives, each rebuilt from the one before, what runs now belongs to."""
        return self._lineage

    def not_run(self, cell_id: str | None, why: str) -> Execution:
        """One that ends before it begins, and leaves no trace."""
        execution = Execution(cell_id or "-", "", "-", OutputCollector(self._displays))
        execution.finish("dead", f"{why} Nothing was run, the document is as it was.")
        return execution

    def restarted(self) -> None:
        """Another kernel updates no display of an earlier one."""
        self._displays = Displays()

    def begin_anew(self) -> None:
        """What runs from now on builds on nothing that ran before."""
        self._lineage += 1

    def began(self, execution: Execution, life: int) -> None:
        self._began += 1
        execution.place = self._began
        self._shown[execution.cell_id] = execution
        self._keep(execution, life)
        self.show(execution)

    def ended(self, execution: Execution, life: int) -> None:
        if execution.order:
            self._keep(execution, life)
            self._held[execution.id] = execution.held_bytes
            for text in execution.spilled.values():
                text.close()
            self.show(execution)
        elif self._latest.get(execution.cell_id) is execution and execution.cell_id in self._shown:
            self._latest[execution.cell_id] = self._shown[execution.cell_id]

    def show(self, execution: Execution) -> None:
        """Put what it has given so far into its cell, unless that began to run again since."""
        if self._shown.get(execution.cell_id) is execution:
            rules.show(self._notebook, execution)

    def continue_with(self, cell_ids: Sequence[str]) -> None:
        """A rebuild begins: what runs from now on builds on these cells."""
        self._lineage = max((self._ran[cell_id].lineage for cell_id in cell_ids), default=self._lineage)

    def forget_superseded(self) -> None:
        """Discard the outputs of executions whose cell ran again since, or is gone."""
        there = {cell["id"] for cell in self._notebook.cells}
        for execution in list(self._executions.values()):
            if execution.finished and execution.cell_id not in there:
                self._latest.pop(execution.cell_id, None)
                self._shown.pop(execution.cell_id, None)
            if self._is_superseded(execution):
                self._forget(execution)

    def find(self, execution_id: str | None, cell_id: str | None, running: Execution | None) -> Execution:
        """By its id, or the latest of a cell; with neither, ``running`` or the one that ran last.

        Raises:
            UnknownExecution: none such.
        """
        found = running or next(reversed(self._executions.values()), None)
        if execution_id is not None:
            found = self._executions.get(execution_id)
        elif cell_id is not None:
            found = self._latest.get(cell_id)
        if found is None:
            which = "yet"
            if execution_id is not None or cell_id is not None:
                which = repr(execution_id) if execution_id is not None else f"of cell {cell_id}"
            raise UnknownExecution(
                f"No execution {which} in this session: pass an id that execute_cell returned, or run the cell."
            )
        return found

    def known(self, execution_ids: Sequence[str]) -> list[Execution]:
        """Those of them that are not forgotten."""
        return [self._executions[each] for each in execution_ids if each in self._executions]

    def stale(self, life: int) -> dict[str, str]:
        """The ids of cells whose outputs may not be what their source gives now, and why."""
        return rules.stale(self._notebook, self._ran, life)

    def plan(self, action: str, life: int) -> list[str]:
        """The ids of the cells that ``action`` would run, in its order. Raises BadRequest: no such action."""
        return rules.plan(action, self._notebook, self._ran, self.stale(life))

    def left_out(self, life: int) -> dict[str, str]:
        """The ids of the code cells that a rebuild would not run, and why."""
        ended = {cell_id: execution.status for cell_id, execution in self._shown.items()}
        return rules.left_out(self._notebook, self._ran, self.plan("rebuild", life), ended)

    def close(self) -> None:
        """Give back the descriptors of long outputs."""
        for execution in self._executions.values():
            for text in execution.spilled.values():
                text.close()

    def _collector(self) -> OutputCollector:
        return OutputCollector(
            self._displays,
            spill_over_chars=self._spill_over_chars,
            open_long_text=lambda _index: SpilledText(self._spill_directory, secrets.token_hex(4)),
            masking=self.masking,
        )

    def _is_superseded(self, execution: Execution) -> bool:
        known = (self._latest.get(execution.cell_id), self._shown.get(execution.cell_id))
        return execution.finished and execution not in known

    def _forget(self, execution: Execution) -> None:
        del self._executions[execution.id]
        self._on_forgotten(execution.id)
        self._held.pop(execution.id, None)
        execution.discard()

    def _keep(self, execution: Execution, life: int) -> None:
        before = self._ran.get(execution.cell_id)
        ok, place = execution.status == "ok", execution.place
        if execution.replay and before is not None:
            ok, place = ok or before.ok, before.place
        self._ran[execution.cell_id] = rules.Ran(
            execution.revision, life, execution.order, ok=ok, lineage=self._lineage, place=place
        )


def _restore(execution: Execution, data: dict[str, Any], cell: NotebookNode | None) -> None:
    """Give a finished execution the outputs that its cell has."""
    if cell is None or cell["cell_type"] != "code":
        return
    execution.restore(cell["outputs"], data["count"], data["timings"], data["held"])
    for index, path in data["spilled"].items():
        with suppress(OSError):  # it is gone: the document's head and tail are what there is
            execution.restore_long_text(int(index), SpilledText.reopened(Path(path)))
