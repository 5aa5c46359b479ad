"""The tool notebook_create."""

from functools import partial
from typing import Annotated, Any

import anyio.to_thread
from pydantic import Field

from mcp_notebook import files
from mcp_notebook.tools.tool import Call, SessionHandle
from mcp_notebook.tools.workplace import workplace
from mcp_notebook.workflow.create import create


async def notebook_create(
    call: Call,
    task_description: Annotated[
        str, Field(description="What the notebook is for; its first line or sentence becomes the title.")
    ],
    path: Annotated[
        str | None,
        Field(description="Where to, a .py relative to the workspace; default is a free name below notebooks/."),
    ] = None,
    parameters: Annotated[
        dict[str, Any] | None,
        Field(description='Names and defaults of what a run may replace, such as {"threshold": 0.8}.'),
    ] = None,
    session: SessionHandle = None,
) -> str:
    """Make a new notebook file for a task: a .py in percent format, to be reviewed and run as a whole.

    It has a title and the description, a cell tagged `parameters` with one assignment for each parameter,
    and the sections Setup, Data, Analysis and Results to fill in. It runs as it is. Without a path it goes
    to notebooks/<words of the title>.py. Nothing is ever overwritten: a path that is taken is refused, and
    a default name gets a number. No session is opened and no kernel started; the .ipynb is made when the
    notebook is saved.

    Returns the path and the cells with their positions. Next: notebook_edit(path, cell_index, new_source)
    to fill it in, or open_session(notebook=path) to work in it live, then notebook_execute(path,
    parameters).
    """
    workspace = (await workplace(call, session)).workspace

    def is_taken(pair: files.Pair) -> bool:
        return any(live.has(pair) for live in call.sessions.all())

    made = await anyio.to_thread.run_sync(
        partial(create, task_description, path, parameters or {}, workspace, is_taken)
    )
    return made.told(workspace)
