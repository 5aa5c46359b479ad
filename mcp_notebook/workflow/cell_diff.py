"""What differs between two versions of a notebook, as text for a pull request. Pure."""

import difflib

from nbformat import NotebookNode

from mcp_notebook.errors import GitFailed
from mcp_notebook.files import ipynb
from mcp_notebook.workflow.changes import changes
from mcp_notebook.workflow.diff_text import diff_text, summary


def cell_diff(before: NotebookNode | None, after: NotebookNode | None) -> str:
    """By cell; None for a notebook that is not there. Where nbdime is not installed, of the sources alone."""
    try:
        found = changes(before or ipynb.empty(), after or ipynb.empty())
    except GitFailed:
        return "\n".join(list(difflib.unified_diff(_lines(before), _lines(after), lineterm=""))[2:])
    body, _ = diff_text(found)
    return f"{summary(found)}\n{body}" if body else ""


def _lines(notebook: NotebookNode | None) -> list[str]:
    return [
        line
        for cell in (notebook.cells if notebook is not None else ())
        for line in (f"# {cell['cell_type']} cell={cell['id']}", *cell["source"].splitlines(), "")
    ]
