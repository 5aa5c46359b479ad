"""What a session remembers of what ran."""

from pathlib import Path

import pytest
from nbformat import NotebookNode

from mcp_notebook.errors import UnknownExecution
from mcp_notebook.execution import Execution
from mcp_notebook.notebook import Notebook
from mcp_notebook.record import FORGOTTEN_AFTER, REMEMBERED, Record

MANY = REMEMBERED + 2 * FORGOTTEN_AFTER
LIFE = 1


def ran(record: Record, cell: NotebookNode) -> Execution:
    """An execution of the cell, from its begin to its end."""
    execution = record.new(cell)
    execution.begin(1)
    record.began(execution, LIFE)
    execution.finish("ok")
    record.ended(execution, LIFE)
    return execution


def is_found(record: Record, execution: Execution) -> bool:
    """Whether it is known by its id."""
    try:
        return record.find(execution.id, None, None) is execution
    except UnknownExecution:
        return False


@pytest.mark.parametrize("others", [0, MANY], ids=["a short notebook", "a long one"])
def test_the_oldest_executions_of_a_cell_are_forgotten(tmp_path: Path, others: int) -> None:
    """The newest are found by their ids, and of every cell the latest; whoever keeps a journal hears of the rest."""
    notebook, forgotten = Notebook(), list[str]()
    record = Record(notebook, tmp_path, 1_000_000, forgotten.append)
    latest = [ran(record, notebook.add_cell("y = 1")) for _ in range(others)]
    cell = notebook.add_cell("x = 1")
    executions = [ran(record, cell) for _ in range(MANY)]
    assert all(is_found(record, each) for each in [*latest, *executions[-REMEMBERED:]])
    kept = [each for each in executions if is_found(record, each)]
    assert len(kept) <= REMEMBERED + FORGOTTEN_AFTER
    assert [each.id for each in executions if each not in kept] == forgotten
