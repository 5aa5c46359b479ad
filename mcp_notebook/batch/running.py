"""The cells of a notebook, run one after the other in a session, by nbclient's rules, into an executed copy.

The rules, of which cells run and whose errors stop a run: https://nbclient.readthedocs.io/en/latest/client.html. A run
asks nobody: an ``input()`` fails, and a question of ``ask_user`` is declined.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.lowlevel
from nbformat import NotebookNode

from mcp_notebook.errors import NotebookError
from mcp_notebook.execution import Execution
from mcp_notebook.session import Session

if TYPE_CHECKING:
    from mcp_notebook.batch.copies import ExecutedCopy

STOP_WITHIN_S = 10.0
"""For the running cell to be interrupted when the run is cancelled."""

Ended = Literal["ok", "error", "timeout", "interrupted", "dead", "cancelled"]


@dataclass(frozen=True)
class Rules:
    """nbclient's options, by its names but for the units."""

    timeout_s: float | None = None
    """For each cell."""
    allow_errors: bool = False
    allow_error_names: Sequence[str] = ()
    force_raise_errors: bool = False
    skip_cells_with_tag: str = "skip-execution"
    skips: Callable[[NotebookNode], bool] = lambda _cell: False
    """Further cells that are not run."""
    interrupts: bool = True
    """Whether the running cell ends with the run when that is cancelled; else only the run does."""
    known: Callable[[NotebookNode], Execution | None] = lambda _cell: None
    """What an earlier server has begun of a cell: it is followed, and not begun again."""
    goes_on: Callable[[], bool] = lambda: True
    """Asked before each cell: whether nobody wants the run to stop."""

    def runs(self, cell: NotebookNode) -> bool:
        """Whether the cell is one that runs."""
        if cell["cell_type"] != "code" or not cell["source"].strip() or self.skips(cell):
            return False
        return self.skip_cells_with_tag not in cell["metadata"].get("tags", [])

    def forgive(self, cell: NotebookNode, outputs: Sequence[NotebookNode]) -> bool:
        """Whether the run goes on after the error that is the last of the cell's outputs."""
        if self.force_raise_errors:
            return False
        names = [output["ename"] for output in outputs if output["output_type"] == "error"]
        allowed = self.allow_errors or bool(names and names[-1] in self.allow_error_names)
        return allowed or "raises-exception" in cell["metadata"].get("tags", [])


@dataclass(frozen=True)
class Outcome:
    """How a run ended, and at which cell it did when that was before the last one."""

    status: Ended
    index: int | None = None
    message: str = ""
    notes: tuple[str, ...] = ()
    """What its session has to say."""


async def run_cells(session: Session, copy: "ExecutedCopy", rules: Rules, *, start: int = 0) -> Outcome:
    """Run the cells of ``copy`` from position ``start`` on; the session has them under the same ids.

    On return every cell that began has its status.
    """
    outcome = await _run_from(session, copy, rules, start)
    await copy.cells_have_all()
    info = session.kernel_info
    if info is not None and info.language_info and outcome.status in ("ok", "error", "interrupted"):
        copy.nb.metadata["language_info"] = dict(info.language_info)
    return outcome


async def _run_from(session: Session, copy: "ExecutedCopy", rules: Rules, start: int) -> Outcome:
    for index, cell in enumerate(copy.nb.cells[start:], start):
        if not rules.goes_on():
            return Outcome("interrupted", index, "It was stopped before this cell.")
        await anyio.lowlevel.checkpoint()  # thousands of cells of text must hold up nobody
        copy.cell_start(cell, index)
        outcome = Outcome("ok")
        try:
            if rules.runs(cell):
                outcome = await _run(session, copy, cell, index, rules)
            if outcome.status != "ok":
                copy.cell_exception(cell, index)
        except BaseException:
            copy.cell_exception(cell, index)
            raise
        finally:
            copy.cell_complete(cell, index)
        if outcome.status != "ok":
            return outcome
    return Outcome("ok")


async def _run(session: Session, copy: "ExecutedCopy", cell: NotebookNode, index: int, rules: Rules) -> Outcome:
    try:
        execution = rules.known(cell) or await session.execute_cell(cell_id=cell["id"])
    except NotebookError as exc:
        return Outcome("dead" if session.death else "cancelled", index, str(exc))
    cell["source"] = execution.source or cell["source"]  # it may have been edited in the session since
    copy.cell_takes(cell, execution)
    try:
        in_time = await _ended(session, copy, execution, rules.timeout_s)
    except anyio.get_cancelled_exc_class():
        if not rules.interrupts:
            raise
        with anyio.move_on_after(STOP_WITHIN_S, shield=True):
            await session.cancel(execution)
        raise
    if not in_time:
        return Outcome("timeout", index, f"It ran longer than {rules.timeout_s:g} s and was interrupted.")
    if execution.status == "ok" or (execution.status == "error" and rules.forgive(cell, execution.outputs)):
        return Outcome("ok")
    return Outcome(_ended_as(execution), index, execution.message)


async def _ended(session: Session, copy: "ExecutedCopy", execution: Execution, timeout_s: float | None) -> bool:
    """Whether the cell has ended by itself before the time was up."""
    with anyio.move_on_after(timeout_s) as scope:
        while not execution.finished:
            if execution.question is not None:
                session.decline(execution)
                continue
            await execution.changed()
            copy.cell_changed()
    if execution.finished:
        return True
    assert scope.cancelled_caught
    await session.cancel(execution)
    return False


def _ended_as(execution: Execution) -> Ended:
    match execution.status:
        case "error" | "interrupted" | "dead" | "cancelled":
            return execution.status
    return "error"
