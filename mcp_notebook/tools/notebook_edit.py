"""The tool notebook_edit."""

from functools import partial
from pathlib import Path
from typing import Annotated
from weakref import WeakValueDictionary

import anyio
import anyio.to_thread
from pydantic import Field

from mcp_notebook import files, rules
from mcp_notebook.errors import FileRefused
from mcp_notebook.files.editing import Edited, edit
from mcp_notebook.files.lines import line_changes
from mcp_notebook.notebook import revision
from mcp_notebook.render import shortened
from mcp_notebook.tools.tool import Call, SessionHandle
from mcp_notebook.tools.waiting import with_progress
from mcp_notebook.tools.workplace import session_with, workplace

DIFF_CHARS = 4000
_locks: WeakValueDictionary[Path, anyio.Lock] = WeakValueDictionary()
"""One edit of a notebook at a time: each would begin anew after the other."""


async def notebook_edit(
    call: Call,
    path: Annotated[str, Field(description="The notebook file, relative to the workspace: .py, .ipynb, .md ...")],
    cell_index: Annotated[
        int, Field(ge=0, description="Position of the cell in the file, from 0: the #3 of read_notebook(path=...).")
    ],
    new_source: Annotated[
        str, Field(description="The whole new source; of a markdown cell its text, without comment signs.")
    ],
    session: SessionHandle = None,
) -> str:
    """Change the source of one cell in a notebook file, without a kernel and without a session.

    All else of the file stays as it is, to the byte where jupytext or Jupyter wrote it; where a .py has
    its .ipynb beside it, both are written. The cell keeps its id, type and tags. Its outputs stay too, and
    are those of the source before until it is run again. Nothing is run.

    A session of yours that has the file open takes the change in at once; what it has not saved itself
    stays, and what was changed in both is kept as two cells, which is said. In a session, edit_cell does
    the same by the cell's id.

    Returns the cell's id, its new revision and what changed. Next: notebook_diff(path) for all changes,
    notebook_execute(path) to run it.
    """
    rules.check_source(new_source)
    place = await workplace(call, session)
    pair = await anyio.to_thread.run_sync(files.locate, path, place.workspace)
    source = new_source.replace("\r\n", "\n").rstrip("\n")
    work = partial(edit, pair, cell_index, source)
    async with _locks.setdefault(pair.paths[0], anyio.Lock()):
        done = await with_progress(call, "editing", lambda: anyio.to_thread.run_sync(work))
    lines = _said(path, cell_index, done)
    if done.written:
        lines += await _taken_in(call, pair, cell_index, done.cell["id"])
    return "\n".join([*lines, *done.notes])


def _said(path: str, position: int, done: Edited) -> list[str]:
    cell = done.cell
    name = f"#{position} cell={cell['id']} rev={revision(cell)} ({cell['cell_type']})"
    if not done.written:
        return [f"{name} of {path} says that already: nothing was written."]
    changes = shortened("\n".join(line_changes(done.before, cell["source"])), DIFF_CHARS)
    written = " and ".join(place.name for place in done.written)
    lines = [f"edited {name} in {written}", changes]
    if cell.get("outputs"):
        lines.append("Its outputs are those of the source before, until it is run again.")
    return lines


async def _taken_in(call: Call, pair: files.Pair, position: int, cell_id: str) -> list[str]:
    """What is to be said of a session that has the file open."""
    live = session_with(call, pair)
    if live is None:
        return []
    if live not in call.sessions.of(call.connection):
        return [f"The session {live.name} has it open and takes the change in when it reads or saves it next."]
    try:
        notes = await live.refresh()
    except FileRefused as exc:
        return [str(exc)]
    lines = [f"The session {live.name} has it open and took the change in.", *notes]
    there = [cell["id"] for cell in live.notebook.cells]
    if cell_id not in there[position : position + 1] and cell_id in there:
        lines.append(
            f"There this cell is #{there.index(cell_id)}, not #{position}: the session has cells that are not saved. "
            "If another one was meant, put this one back, and use edit_cell(cell_id=...)."
        )
    return lines
