"""The tool notebook_diff."""

from functools import partial
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from mcp_notebook import files
from mcp_notebook.render import MOST_BYTES
from mcp_notebook.tools.tool import Call, SessionHandle
from mcp_notebook.tools.waiting import with_progress
from mcp_notebook.tools.workplace import Workplace, session_with, workplace
from mcp_notebook.workflow.diff import compare


async def notebook_diff(
    call: Call,
    path: Annotated[str, Field(description="The notebook file, relative to the workspace: .py, .ipynb, .md ...")],
    against: Annotated[
        str,
        Field(description="A revision of git such as HEAD~1, origin/main or a tag, or another notebook file."),
    ] = "HEAD",
    session: SessionHandle = None,
) -> str:
    """Show what changed in a notebook file, cell by cell, as text.

    Compares the file on disk with a revision of git, by default the last commit, or with another notebook
    file. A .py and its .ipynb are read together, on both sides; a renamed file is found under its old name,
    and a file that git does not know is shown as new. Each changed cell is named by its position now, its
    id, and what happened to it: changed, added, deleted, moved. Lines begin with + and - as in any diff;
    images and long outputs are only said to have changed. Outputs are not compared where one side has
    none, as what is committed.

    Changes nothing and needs no kernel. What a session has not saved is not in the file: save_notebook
    first. Next: notebook_edit or edit_cell to change a cell, notebook_commit to commit it.
    """
    place = await workplace(call, session)
    work = partial(compare, path, against, place.workspace, place.environment, place.masking.cells)
    diff = await with_progress(call, "comparing", work)
    notes = await _unsaved(call, path, place)
    rest = f"read_notebook(path={path!r}, cells='{{cells}}') shows what is there now of them, `mcp-notebook diff` all."
    chars = call.settings.answer_chars - sum(map(len, notes))
    text = await anyio.to_thread.run_sync(lambda: diff.text(chars, MOST_BYTES, rest))
    return "\n".join([*notes, text])


async def _unsaved(call: Call, path: str, place: Workplace) -> list[str]:
    pair = await anyio.to_thread.run_sync(files.locate, path, place.workspace)
    live = session_with(call, pair)
    if live is None or not live.has_unsaved:
        return []
    return [f"The session {live.name} has this notebook open with changes that are not saved, and not in this diff."]
