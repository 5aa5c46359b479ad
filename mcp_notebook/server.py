"""Settings and sessions in, an MCP server out.

Knows no transport: a listener announces its ``Connection`` with ``arriving`` and calls
``lowlevel(server).run`` on its streams. The SDK enters the lifespan once for each of these runs, in
both eras of MCP, so the lifespan's value is the connection that a call came from. In memory, where
no listener announces one, each client gets a connection of its own.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.to_thread
from mcp.server import MCPServer, Server
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.models import InitializationOptions

from mcp_notebook import __version__
from mcp_notebook.batch.performing import NotebookRuns
from mcp_notebook.passwords import PasswordPages
from mcp_notebook.resources import Resources
from mcp_notebook.sealing import sealing
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.task_extension import Find, Tasks
from mcp_notebook.tasks import GuardedTasks
from mcp_notebook.tools import notebook_tools
from mcp_notebook.tools.cell_tasks import CellTasks
from mcp_notebook.tools.notebook_tasks import RunTasks

INSTRUCTIONS = """\
A live Jupyter notebook: a kernel that keeps its variables between calls, and a document that records \
every cell with its outputs.

- execute_cell(source=...) runs code in a new cell. The first call opens a session by itself, or \
resumes the one that this client had in the workspace, with its variables, and says so. open_session is \
only needed to choose a notebook file, a name or a kernel.
- Work in small cells that build on earlier ones. To correct a cell pass its cell_id \
(with new source): it is edited in place and run again.
- A cell never blocks you. After wait_s seconds execute_cell hands back `running` with an execution_id; \
get_output(execution_id=..., wait_s=...) waits for more, control_kernel(action="interrupt") stops the \
cell and keeps the variables.
- Every result opens with one line such as `[7] ok 0.31 s cell=a1b2c3d4 rev=9f86d081`. An exception in \
a cell is an ordinary result with status error: read the traceback, correct the cell.
- Long output is cut in the middle, and the answer names the call that fetches the rest.
- In Python cells the module hermes_runtime has the host's tools as functions: terminal, read_file, \
web_search, servers, ... What they return stays in the kernel unless a cell prints it.
- edit_cell changes the document without running it, read_notebook shows it, inspect_variables lists \
what is defined, save_notebook writes the .py and .ipynb pair; nothing is written before.
- Notebook files: notebook_create, notebook_edit, notebook_execute, \
notebook_diff, notebook_commit, notebook_pr.
- If the kernel died, its variables are gone: control_kernel(action="rebuild") starts a new one and \
replays the cells that had succeeded.
- One session for each agent: a sub-agent calls open_session first and passes the `session` it gets \
with every call. While a connection has a single session, `session` may be left out; over stateless HTTP \
(MCP 2026-07-28) call open_session first and pass `session` always.
- Cells are addressed by id. #3 is a position counted from 0; [7] is an execution count.
"""

_arriving: ContextVar[Connection | None] = ContextVar("arriving", default=None)


@contextmanager
def arriving(connection: Connection) -> Iterator[None]:
    """The next run of the server in this task serves ``connection``."""
    token = _arriving.set(connection)
    try:
        yield
    finally:
        _arriving.reset(token)


@asynccontextmanager
async def open_server(
    settings: Settings, sessions: Sessions, finders: Iterable[Find] = ()
) -> AsyncIterator[MCPServer[Connection]]:
    """The server over ``sessions``; while it is open it tells subscribers what changed.

    ``finders`` find the tasks of tools that are added to it.
    """
    resources = Resources(sessions)

    @asynccontextmanager
    async def lifespan(_: MCPServer[Connection]) -> AsyncIterator[Connection]:
        connection = _arriving.get() or Connection()
        try:
            yield connection
        finally:
            connection.closed = True
            resources.forget(connection)

    async with PasswordPages() as passwords, anyio.create_task_group() as tasks:
        runs = NotebookRuns(sessions, GuardedTasks(tasks))
        await runs.recall()
        jobs = [kind(settings, sessions, passwords, runs, GuardedTasks(tasks)) for kind in (CellTasks, RunTasks)]
        server = MCPServer(
            "mcp-notebook",
            title="Live notebook",
            version=__version__,
            instructions=INSTRUCTIONS,
            tools=notebook_tools(settings, sessions, passwords, runs),
            lifespan=lifespan,
            subscriptions=resources.news,
            log_level="WARNING",
            request_state_security=await anyio.to_thread.run_sync(sealing, settings.home),
            extensions=[Tasks(*(each.find for each in jobs), *finders)],
        )
        # A span for each message costs 0.1 ms, a third of a call's way through the SDK, and goes nowhere.
        server.middleware[:] = [each for each in server.middleware if type(each).__name__ != "OpenTelemetryMiddleware"]
        resources.register(lowlevel(server))
        tasks.start_soon(resources.publish_changes)
        try:
            yield server
        finally:
            tasks.cancel_scope.cancel()


def lowlevel(server: MCPServer[Any]) -> Server[Any]:
    """The SDK's protocol server below ``MCPServer``, which has no public name yet."""
    return server._lowlevel_server


def initialization(server: Server[Any]) -> InitializationOptions:
    """What the handshake era's ``initialize`` is answered with."""
    return server.create_initialization_options(NotificationOptions(resources_changed=True))
