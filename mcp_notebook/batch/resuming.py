"""A run that failed, gone on with: from the cell that failed, on the same kernel, with what was corrected since.

What was corrected in the notebook's file counts, else what was corrected in the run's own session.
"""

from functools import partial

import anyio.to_thread
from nbformat import NotebookNode

from mcp_notebook.batch.jobs import OneRun, Order
from mcp_notebook.errors import BadRequest, UnknownCell
from mcp_notebook.notebook import START
from mcp_notebook.session import Session

INJECTED = "injected-parameters"
PENDING = {"exception": None, "start_time": None, "end_time": None, "duration": None, "status": "pending"}
"""What papermill says of a cell that has not begun."""


async def gone_on_with(old: OneRun, old_order: Order, order: Order) -> OneRun:
    """What is to be run: the cells that ran well keep what they gave. The orders have the file as it was and is.

    Raises:
        BadRequest: one of those was changed in the file.
    """
    from papermill.execute import remove_error_markers

    from mcp_notebook.batch.preparing import prepared

    copy, session, result = old.copy, old.session, old.result
    assert copy is not None
    assert session is not None
    assert result is not None
    assert result.failure is not None
    start = result.failure.position
    now, notes = await anyio.to_thread.run_sync(partial(prepared, order.source, old.output_path, old.parameters))
    ran = remove_error_markers(copy.nb)
    before = old_order.source.notebook["cells"]
    _check_unchanged(len(_of_the_file(ran["cells"][:start])), before, order.source.notebook["cells"])
    rest = now["cells"][start:]
    _correct(session, ran["cells"][start - 1]["id"] if start else START, before, rest)
    for cell in rest:
        cell["metadata"]["papermill"] = dict(PENDING)
        if cell["cell_type"] == "code":
            cell["outputs"], cell["execution_count"] = [], None
    ran["cells"] = ran["cells"][:start] + rest
    ran["metadata"]["papermill"] |= {"exception": None, "end_time": None, "duration": None}
    copy.nb = ran
    copy.set_timer()
    ran["metadata"]["papermill"]["start_time"] = copy.start_time.isoformat()
    return OneRun(old.parameters, old.output_path, session=session, copy=copy, start=start, notes=notes)


def _check_unchanged(count: int, before: list[NotebookNode], now: list[NotebookNode]) -> None:
    """Of the first ``count`` cells of the file, which have run."""
    ran, there = (_of_the_file(cells)[:count] for cells in (before, now))
    for position, cell in enumerate(ran):
        if position >= len(there) or _said(there[position]) != _said(cell):
            raise BadRequest(
                f"Cell #{position} of the file was changed since it ran, so that what follows would build on something"
                " else: run the notebook again, without `resume`."
            )


def _of_the_file(cells: list[NotebookNode]) -> list[NotebookNode]:
    """Without the parameters of a run."""
    return [cell for cell in cells if INJECTED not in cell["metadata"].get("tags", [])]


def _said(cell: NotebookNode) -> str | None:
    """Texts may change, but a cell more or less would move those behind it."""
    return cell["source"] if cell["cell_type"] == "code" else None


def _correct(session: Session, after: str, before: list[NotebookNode], rest: list[NotebookNode]) -> None:
    """Give the session's notebook what was changed in the file, and ``rest`` the session's ids and corrections."""
    sources = {cell["id"]: cell["source"] for cell in before}
    for cell in rest:
        try:
            there = session.notebook.cell(cell["id"])
        except UnknownCell:
            made = session.edit_cell(
                edit_mode="insert", source=cell["source"], cell_type=cell["cell_type"], after=after
            )
            assert made is not None
            cell["id"] = made["id"]
        else:
            if cell["source"] != sources.get(cell["id"], cell["source"]):
                session.edit_cell(cell_id=cell["id"], source=cell["source"])
            cell["source"] = there["source"]
        after = cell["id"]
