"""The tools around running code: open_session, execute_cell, inspect_variables, list_sessions."""

from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from mcp_notebook.errors import BadRequest
from mcp_notebook.session import Session
from mcp_notebook.settings import DEFAULT_WAIT_S
from mcp_notebook.tools.asking import made_again
from mcp_notebook.tools.following import Answer, follow, follow_again
from mcp_notebook.tools.tool import Call, RequestId, SessionHandle
from mcp_notebook.tools.waiting import WaitS, existing_session, live_session, with_progress


@dataclass(frozen=True)
class KernelSummary:
    """What runs the code."""

    name: str
    language: str
    display_name: str
    version: str
    interpreter: str | None
    withheld: list[str]
    """Names of environment variables that the kernel does not get."""


@dataclass(frozen=True)
class OpenedSession:
    """A session as ``open_session`` answers it."""

    session: str
    """The handle, to be passed as ``session``."""
    created: bool
    """False: an existing session was resumed, with its variables."""
    state: str
    notebook: str | None
    workspace: str
    cells: int
    kernel: KernelSummary | None
    """None when it was shut down."""
    masked: list[str]
    """Names of environment variables whose values are masked in outputs."""
    notes: list[str]


@dataclass(frozen=True)
class SessionSummary:
    """One line of ``list_sessions``."""

    session: str
    name: str
    state: str
    notebook: str | None
    workspace: str
    kernel: str | None
    started: str
    cells: int
    queued_or_running: int
    death: str | None
    """How its kernel died, and what to do; None while it lives."""


@dataclass(frozen=True)
class SessionList:
    """The caller's sessions."""

    sessions: list[SessionSummary]


async def open_session(
    call: Call,
    notebook: Annotated[
        str | None, Field(description="Notebook to open, relative to the workspace (.ipynb, .py, .md, ...).")
    ] = None,
    name: Annotated[str | None, Field(description="Readable name; also the file name of a new notebook.")] = None,
    kernel: Annotated[
        str | None,
        Field(description="Kernelspec name or path of a Python; default is the workspace's environment."),
    ] = None,
    workspace: Annotated[
        str | None, Field(description="Directory inside the workspace to work in; default is all of it.")
    ] = None,
    server: Annotated[
        str | None, Field(description="URL of a running Jupyter server. Not supported by this version: leave it out.")
    ] = None,
) -> OpenedSession:
    """Open a notebook session with a kernel of its own, or resume one.

    Without arguments the first call resumes the session that this client had in the workspace before it was
    started again, if there is no doubt which, with its variables; else it makes a new, empty notebook. With
    `notebook` it opens that file: its cells are loaded, none of them is run; if there is no such file it is a
    new notebook, and `notes` say so. A new kernel starts in the workspace's own Python environment.

    You only need this to choose a file, a name or a kernel, over stateless HTTP, or when several agents share
    one connection: each sub-agent opens its own session and passes the returned `session` with every call. The
    first session of a connection is its default and stays it.

    Returns the handle (`session`), the kernel, the notebook's path, the state, which environment variables were
    withheld since their names look secret, and whose values are `masked` in outputs, and notes. Next:
    execute_cell, or read_notebook for a file that was opened.
    """
    opened = await with_progress(
        call,
        "starting a kernel",
        lambda: call.sessions.open(
            call.connection, notebook=notebook, name=name, kernel=kernel, workspace=workspace, server=server
        ),
    )
    session = opened.session
    return OpenedSession(
        session=session.handle,
        created=opened.created,
        state=session.state,
        notebook=_path(session),
        workspace=str(session.workspace),
        cells=len(session.notebook.cells),
        kernel=_kernel(session),
        masked=session.masked,
        notes=[*([session.death] if session.death else []), *opened.notes, *session.take_notes()],
    )


async def execute_cell(
    call: Call,
    source: Annotated[str | None, Field(description="Code to run; with cell_id, the cell's new source.")] = None,
    cell_id: Annotated[str | None, Field(description="Run this existing cell instead of adding one.")] = None,
    after: Annotated[
        str | None, Field(description='Where the new cell goes: a cell id or "start"; default is the end.')
    ] = None,
    revision: Annotated[
        str | None,
        Field(description="With cell_id: refuse if the cell changed since this revision was read."),
    ] = None,
    wait_s: WaitS = DEFAULT_WAIT_S,
    request_id: RequestId = None,
    session: SessionHandle = None,
) -> Answer:
    """Run code in the live kernel and record it as a cell of the notebook.

    Give `source` to add a new cell, `cell_id` to run an existing one again, or both to edit that cell and
    run it. Variables, imports and open files stay for later cells. Resumes or opens a session if there is none yet.
    In Python, `hermes_runtime` has the host's tools as functions: terminal, read_file, web_search, servers, ...

    Comes back when the cell is done, or after `wait_s` with status `running` and an `execution_id`; the
    cell then keeps running: follow it with get_output(execution_id=..., wait_s=...) or stop it with
    control_kernel(action="interrupt"). Cells queue up; one that fails does not stop those behind it.

    The first line is `[7] ok 0.31 s cell=a1b2c3d4 rev=9f86d081`: execution count, status, time, cell id and
    revision. Then the outputs in order: text, images, a shortened traceback. Status is one of queued,
    running, waiting_for_input, ok, error, interrupted, cancelled, dead, unknown. Long output is cut in the
    middle and the last line names the call that fetches the rest. To mend an error, send the corrected
    source with the same cell_id.
    """
    if source is None and cell_id is None:
        raise BadRequest(
            "execute_cell needs source (a new cell), cell_id (an existing cell) or both (edit, then run). "
            "Nothing was run."
        )
    if (again := await made_again(call, session)) is not None:
        return await follow_again(call, again, wait_s)
    live = await live_session(call, session)
    mine = call.is_resent or not live.knows(request_id)
    if request_id is None:
        request_id = call.key
        if not call.is_resent:
            live.forget_request(call.key)
    execution = await live.execute_cell(
        source=source, cell_id=cell_id, after=after, revision=revision, request_id=request_id
    )
    return await follow(call, live, execution, wait_s, began=mine)


async def inspect_variables(
    call: Call,
    name: Annotated[
        str | None, Field(description="One variable to look at in depth; default is a list of all.")
    ] = None,
    session: SessionHandle = None,
) -> dict[str, Any]:
    """List what is defined in the kernel: each variable's type, shape, size and a short preview.

    With `name`, one variable in depth: for a data frame its columns and types, for an array its shape and
    type, for a function its signature. Changes nothing, adds no cell to the notebook, and works while a cell
    is running where the kernel allows it. Use it before guessing what an earlier cell left behind, and
    after a restart to see what is gone. Python kernels only; other languages get a clear refusal. To see
    more than a preview, print it with execute_cell.
    """
    live = await existing_session(call, session)
    return await live.inspect(name)


async def list_sessions(call: Call) -> SessionList:
    """List the sessions of this connection, over stateless HTTP all of yours, with their handles.

    For each session: the handle to pass as `session`, its name, its state (idle, busy, waiting_for_input,
    starting, dead, shutdown), notebook file, workspace, kernel, when it was started, the number of cells,
    how many executions are queued or running, and of a dead kernel how it died. Starts nothing. Call it
    when a call was refused because there are two or more sessions, or because a handle is not known.
    """
    await call.sessions.resume(call.connection)
    return SessionList(sessions=[_summary(session) for session in call.sessions.of(call.connection)])


def _summary(session: Session) -> SessionSummary:
    return SessionSummary(
        session=session.handle,
        name=session.name,
        state=session.state,
        notebook=_path(session),
        workspace=str(session.workspace),
        kernel=session.kernel_info.display_name if session.kernel_info else None,
        started=session.started,
        cells=len(session.notebook.cells),
        queued_or_running=len(session.pending),
        death=session.death,
    )


def _kernel(session: Session) -> KernelSummary | None:
    kernel = session.kernel_info
    if kernel is None:
        return None
    return KernelSummary(
        name=kernel.name,
        language=kernel.language,
        display_name=kernel.display_name,
        version=kernel.version,
        interpreter=kernel.interpreter,
        withheld=list(kernel.withheld),
    )


def _path(session: Session) -> str | None:
    return str(session.path) if session.path is not None else None
