"""What came of a run, as data: the failing cell, the times, the scraps. It also marks the failure in the copy.

The marks are papermill's: two markdown cells with the tag ``papermill-error-cell-tag``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from mcp_notebook.batch.checked import GOOD, Checked
from mcp_notebook.batch.running import Ended, Outcome
from mcp_notebook.batch.scraps import scraps_of

CLEAN_EXITS = ("", "0")
"""``sys.exit()`` in a cell ends a run early and well."""


@dataclass(frozen=True)
class Failure:
    """The cell that a run stopped at."""

    position: int
    """In the notebook that was run, injected parameters included."""
    cell_id: str
    execution_count: int | None
    source: str
    ename: str
    evalue: str
    traceback: Sequence[str]


@dataclass(frozen=True)
class Result:
    """What came of a run. ``failure`` is None where all went well, or nothing is known of a cell."""

    status: Ended
    output_path: Path | None
    parameters: Mapping[str, Any]
    seconds: float
    cells: int
    """Code cells that ran."""
    message: str = ""
    notes: Sequence[str] = ()
    failure: Failure | None = None
    scraps: Mapping[str, Any] = field(default_factory=dict)
    checked: Sequence[Checked] | None = None
    """What came of comparing it with what was stored, if it was."""

    @property
    def is_good(self) -> bool:
        """Whether it ended well, and gave what was stored where that was compared."""
        return self.status == "ok" and all(each.verdict in GOOD for each in self.checked or ())


def result_of(
    notebook: NotebookNode,
    outcome: Outcome,
    output_path: Path | None,
    *,
    checked: Sequence[Checked] | None = None,
) -> Result:
    """The result of a run that has ended; marks in ``notebook`` where it failed."""
    papermill = notebook["metadata"]["papermill"]
    ran = [cell for cell in notebook["cells"] if cell.get("execution_count") is not None]
    status, failure = outcome.status, None
    if outcome.index is not None:
        failure = _failure(notebook["cells"][outcome.index], outcome.index)
        if status == "error" and failure.ename == "SystemExit" and failure.evalue in CLEAN_EXITS:
            status, failure = "ok", None
        else:
            _mark(notebook)
    return Result(
        status=status,
        output_path=output_path,
        parameters=dict(papermill.get("parameters") or {}),
        seconds=float(papermill.get("duration") or 0.0),
        cells=len(ran),
        message=outcome.message,
        notes=outcome.notes,
        failure=failure,
        scraps=scraps_of(notebook),
        checked=checked,
    )


def _failure(cell: NotebookNode, position: int) -> Failure:
    errors = [output for output in cell.get("outputs", []) if output["output_type"] == "error"]
    error = errors[-1] if errors else {}
    return Failure(
        position=position,
        cell_id=cell["id"],
        execution_count=cell.get("execution_count"),
        source=cell["source"],
        ename=error.get("ename", ""),
        evalue=error.get("evalue", ""),
        traceback=error.get("traceback", ()),
    )


def _mark(notebook: NotebookNode) -> None:
    from papermill.exceptions import PapermillExecutionError
    from papermill.execute import raise_for_execution_errors

    try:
        raise_for_execution_errors(notebook, None)  # writes nowhere
    except PapermillExecutionError:
        return
