"""The MCP tools: thin, one function each, declared in one table.

To add a tool, write the function (its docstring is read by a model) and add its row.
"""

from collections.abc import Sequence

from mcp.server.mcpserver.tools import Tool

from mcp_notebook.batch.performing import NotebookRuns
from mcp_notebook.passwords import PasswordPages
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.tools.document import edit_cell, read_notebook, save_notebook
from mcp_notebook.tools.kernel import control_kernel
from mcp_notebook.tools.live import execute_cell, inspect_variables, list_sessions, open_session
from mcp_notebook.tools.notebook_commit import notebook_commit
from mcp_notebook.tools.notebook_create import notebook_create
from mcp_notebook.tools.notebook_diff import notebook_diff
from mcp_notebook.tools.notebook_edit import notebook_edit
from mcp_notebook.tools.notebook_execute import notebook_execute
from mcp_notebook.tools.notebook_pr import notebook_pr
from mcp_notebook.tools.output import get_output
from mcp_notebook.tools.tool import Declaration, NotebookTool

TOOLS: Sequence[Declaration] = (
    Declaration(open_session, "Open a notebook session", structured=True),
    Declaration(execute_cell, "Run a cell", destructive=True, open_world=True),
    Declaration(edit_cell, "Edit a cell", destructive=True),
    Declaration(read_notebook, "Read the notebook", read_only=True, idempotent=True),
    Declaration(get_output, "Get output", read_only=True, idempotent=True),
    Declaration(save_notebook, "Save the notebook", idempotent=True),
    Declaration(control_kernel, "Control the kernel", destructive=True, open_world=True),
    Declaration(inspect_variables, "Inspect variables", read_only=True, idempotent=True, structured=True),
    Declaration(list_sessions, "List sessions", read_only=True, idempotent=True, structured=True),
    Declaration(notebook_create, "Make a notebook file"),
    Declaration(notebook_edit, "Edit a notebook file", destructive=True, idempotent=True),
    Declaration(notebook_execute, "Execute a notebook", destructive=True, open_world=True),
    Declaration(notebook_diff, "Show what changed in a notebook file", read_only=True, idempotent=True),
    Declaration(notebook_commit, "Commit a notebook", idempotent=True, open_world=True),
    Declaration(notebook_pr, "Open a pull request", idempotent=True, open_world=True),
)


def notebook_tools(settings: Settings, sessions: Sessions, passwords: PasswordPages, runs: NotebookRuns) -> list[Tool]:
    """The tools over ``sessions``, in the table's order."""
    return [NotebookTool.declared(row, settings, sessions, passwords, runs) for row in TOOLS]
