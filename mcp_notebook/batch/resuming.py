"""A run that failed, gone on with: from the cell that failed, on the same kernel, with what was corrected since.

What was corrected in the notebook's file counts, else what was corrected in the run's own session.
"""

from functools import partial

import anyio.to_thread
from nbformat import NotebookNode

from mcp_notebook.batch.jobs import OneRun, Order
from mcp_notebook.errors import BadRequest, UnknownCell
from mcp_notebook.session import Session

PENDING = {"exception": None, "start_time": None, "end_time": None, "duration": None, "status": "pending"}
"""What papermill says of a cell that has not begun."""


async def gone_on_with(old: OneRun, order: Order) -> OneRun:
    """What is to be run: the cells that ran well keep what they gave.

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
    _check_unchanged(ran["cells"][:start], now["cells"])
    rest = now["cells"][start:]
    _correct(session, ran["cells"], rest, start)
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


def _check_unchanged(ran: list[NotebookNode], now: list[NotebookNode]) -> None:
    for position, cell in enumerate(ran):
        there = now[position] if position < len(now) else None
        if cell["cell_type"] != "code" or "injected-parameters" in cell["metadata"].get("tags", []):
            continue
        if there is None or (there["cell_type"], there["source"]) != (cell["cell_type"], cell["source"]):
            raise BadRequest(
                f"#{position} was changed in the file since it ran, so that what follows would build on something else:"
                " run the notebook again, without `resume`."
            )


def _correct(session: Session, ran: list[NotebookNode], rest: list[NotebookNode], start: int) -> None:
    """Give the session's notebook what the file has now, and ``rest`` the ids and corrections of the session."""
    before = {cell["id"]: cell["source"] for cell in ran}
    after = ran[start - 1]["id"] if start else "start"
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
            if cell["source"] != before.get(cell["id"]):
                session.edit_cell(cell_id=cell["id"], source=cell["source"])
            cell["source"] = there["source"]
        after = cell["id"]
