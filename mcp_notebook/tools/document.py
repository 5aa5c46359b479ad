"""The tools on the document, which need no kernel: edit_cell, read_notebook, save_notebook."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import anyio.to_thread
from nbformat import NotebookNode
from pydantic import Field

from mcp_notebook import files
from mcp_notebook.errors import FileRefused
from mcp_notebook.notebook import Notebook
from mcp_notebook.notebook import revision as revision_of
from mcp_notebook.render import MOST_BYTES, cell_markdown, outline
from mcp_notebook.session import Session
from mcp_notebook.tools.tool import Call, SessionHandle
from mcp_notebook.tools.waiting import live_session, with_progress
from mcp_notebook.tools.workplace import workplace

EditMode = Literal["replace", "insert", "delete", "move"]
CellType = Literal["code", "markdown", "raw"]
OutputsShown = Literal["none", "brief", "full"]

IN_SESSION = "The rest: get_output(cell_id={cell_id!r})"
IDS_NAMED = 100
HEADING_BYTES = 5000
"""Of a result, for what stands above and below the cells."""


async def edit_cell(
    call: Call,
    cell_id: Annotated[str | None, Field(description="Cell to edit, delete or move.")] = None,
    source: Annotated[
        str | None, Field(description="New source; with old_source, what takes that text's place.")
    ] = None,
    edit_mode: Annotated[EditMode, Field(description="What to do.")] = "replace",
    old_source: Annotated[
        str | None, Field(description="Text to replace inside the cell; must occur exactly once.")
    ] = None,
    cell_type: Annotated[CellType | None, Field(description="Type of a new cell, or to change a cell to.")] = None,
    after: Annotated[
        str | None, Field(description='For insert and move: a cell id or "start"; default is the end.')
    ] = None,
    revision: Annotated[
        str | None, Field(description="Refuse if the cell changed since this revision was read.")
    ] = None,
    session: SessionHandle = None,
) -> str:
    """Edit the notebook's cells without running anything.

    `replace` gives the cell `cell_id` a new `source`, or with `old_source` replaces exactly that text in
    it; it is refused if the text is absent or not unique. `insert` adds a cell (`cell_type` code, markdown
    or raw) with `source` behind `after`. `delete` removes a cell, `move` puts it behind `after`. With
    `revision` the edit is refused if the cell is not what you read last.

    Outputs of an edited code cell stay until it is run again; until then it counts as stale. Variables in
    the kernel do not change, also not by deleting a cell. Nothing is written to disk before save_notebook.

    Returns the cell's id, its new revision and its position. Next: execute_cell(cell_id=...) to run it.
    """
    live = await live_session(call, session)
    cell = live.edit_cell(
        cell_id=cell_id,
        source=source,
        edit_mode=edit_mode,
        old_source=old_source,
        cell_type=cell_type,
        after=after,
        revision=revision,
    )
    return "\n".join([_edited(live, edit_mode, cell_id, cell), *live.take_notes()])


async def read_notebook(
    call: Call,
    cells: Annotated[
        str | None,
        Field(description='Which cells: ids with commas, positions such as "3-7", or the text of a heading.'),
    ] = None,
    outputs: Annotated[OutputsShown, Field(description="How much of the outputs to show.")] = "brief",
    path: Annotated[
        str | None, Field(description="Read this notebook file of the workspace instead of the session's.")
    ] = None,
    session: SessionHandle = None,
) -> str:
    """Show the notebook as text: every cell with its id, revision, execution count, source and outputs.

    Says which cells run now, and which are stale, that is, were edited after they ran, or ran before a cell
    above them, or in an earlier kernel; their outputs may not match the code. A long notebook comes as an
    outline first: its headings and one line for each cell; ask for parts with `cells`. If the file was
    changed on disk by somebody else, it is merged in first and that is said.

    With `path` a notebook file (.ipynb, .py, .md, ...) is read without opening a session and without a
    kernel. Changes nothing. Next: edit_cell or execute_cell with a cell's id, get_output(cell_id=...) for
    an output that is cut.
    """
    if path is not None:
        place = await workplace(call, session)
        on_disk = await anyio.to_thread.run_sync(_read_file, path, place.workspace)
        notebook = Notebook(on_disk.notebook)
        await anyio.to_thread.run_sync(place.masking.cells, notebook.cells)
        opens = f"The rest: open_session(notebook={path!r}), then get_output(cell_id={{cell_id!r}})"
        text = await _text(call, notebook, {}, cells, outputs, opens)
        if not notebook.cells:
            text = f"It is empty. open_session(notebook={path!r}) opens it to work in."
        return "\n".join([f"{path}: {_count(notebook)}, read from disk", *on_disk.notes, "", text])
    live = await live_session(call, session)
    notes = [*await with_progress(call, "reading", lambda: _refreshed(live)), *live.take_notes()]
    text = await with_progress(call, "reading", lambda: _text(call, live.notebook, live.marks(), cells, outputs))
    where = live.path.name if live.path is not None else f"{live.name} (not saved yet)"
    title = f"{where}: {_count(live.notebook)}, session={live.handle}, kernel {live.state}"
    return "\n".join([title, *([live.death] if live.death else []), *notes, "", text])


async def save_notebook(
    call: Call,
    path: Annotated[
        str | None,
        Field(description="Where to, relative to the workspace; default is the notebook's own place."),
    ] = None,
    session: SessionHandle = None,
) -> str:
    """Write the notebook into the workspace and say where.

    Two files side by side: the .py (percent format), which holds the source and is what goes under version
    control, and the .ipynb with outputs, execution counts and cell ids. A notebook opened from a lone
    .ipynb stays one file. A new notebook without a path goes to notebooks/<session name>.

    Writing is atomic and never clobbers: if a file was changed on disk since it was read, both sides are
    merged cell by cell, what cannot be merged is kept twice, and the answer says so. The session, its
    kernel and its variables stay as they are. Paths outside the workspace are refused.
    """
    live = await live_session(call, session)
    saved = await with_progress(call, "saving", lambda: live.save(path))
    written = "\n".join(f"Saved {file}" for file in saved.paths)
    return "\n".join([written, *saved.notes, *live.take_notes()])


def _edited(session: Session, mode: EditMode, cell_id: str | None, cell: NotebookNode | None) -> str:
    if cell is None:
        return f"deleted cell={cell_id}; {_count(session.notebook)} left"
    done = {"replace": "edited", "insert": "inserted", "delete": "deleted", "move": "moved"}[mode]
    position = session.notebook.position(cell["id"])
    return f"{done} cell={cell['id']} rev={revision_of(cell)} at #{position} ({cell['cell_type']})"


def _read_file(path: str, workspace: Path) -> files.OnDisk:
    pair = files.locate(path, workspace)
    if not any(place.exists() for place in pair.paths):
        raise FileRefused(f"There is no {pair.name} in {workspace}. open_session(notebook=...) would make a new one.")
    return files.read(pair)


async def _refreshed(session: Session) -> list[str]:
    """What is to be said of the file; one that broke on disk keeps nobody from reading the live notebook."""
    try:
        return await session.refresh()
    except FileRefused as exc:
        return [f"{exc} What follows is the session's own notebook, without what was changed on disk."]


async def _text(
    call: Call,
    notebook: Notebook,
    marks: Mapping[str, str],
    cells: str | None,
    outputs: OutputsShown,
    rest: str = IN_SESSION,
) -> str:
    """``marks``, by cell: that it runs, or why it is stale."""
    chars = call.settings.answer_chars
    selected = notebook.select(cells)
    if not selected:
        return "It is empty. execute_cell(source=...) adds the first cell."
    is_long = sum(len(cell["source"]) for cell in selected) > chars
    if cells is None and is_long:
        return await anyio.to_thread.run_sync(partial(outline, notebook, marks, chars=chars))
    text, left = await anyio.to_thread.run_sync(_cells, notebook, selected, marks, outputs, chars, rest)
    if not left:
        return text
    if cells is None:
        return await anyio.to_thread.run_sync(partial(outline, notebook, marks, chars=chars))
    return f'{text}\n{len(left)} of these cells are not shown. Next: read_notebook(cells="{_named(notebook, left)}")'


def _cells(
    notebook: Notebook,
    selected: Sequence[NotebookNode],
    marks: Mapping[str, str],
    outputs: OutputsShown,
    chars: int,
    rest: str,
) -> tuple[str, list[str]]:
    """The cells that fit into ``chars`` and into a result (one at least), and the ids of those that do not."""
    shown: list[str] = []
    size = MOST_BYTES - HEADING_BYTES
    for index, cell in enumerate(selected):
        cell_id = cell["id"]
        text = cell_markdown(
            cell,
            position=notebook.position(cell_id),
            revision=revision_of(cell),
            mark=marks.get(cell_id),
            outputs=outputs,
            chars=chars,
            size=size,
            rest=rest,
        )
        if shown and (len(text) > chars or len(text.encode()) > size):
            return "\n".join(shown), [left["id"] for left in selected[index:]]
        shown.append(text)
        chars -= len(text)
        size -= len(text.encode())
    return "\n".join(shown), []


def _named(notebook: Notebook, cell_ids: Sequence[str]) -> str:
    """The cells as an argument: a range where they follow each other, else their ids."""
    first, last = notebook.position(cell_ids[0]), notebook.position(cell_ids[-1])
    if last - first == len(cell_ids) - 1 and len(cell_ids) > 1:
        return f"{first}-{last}"
    return ",".join(cell_ids[:IDS_NAMED])


def _count(notebook: Notebook) -> str:
    cells = len(notebook.cells)
    return "1 cell" if cells == 1 else f"{cells:,} cells"
