"""What differs between two versions of a notebook, as text for a pull request. Pure."""

import difflib

from nbformat import NotebookNode


def cell_diff(before: NotebookNode | None, after: NotebookNode | None) -> str:
    """By cell; None for a notebook that is not there."""
    old, new = _lines(before), _lines(after)
    return "\n".join(list(difflib.unified_diff(old, new, lineterm=""))[2:])


def _lines(notebook: NotebookNode | None) -> list[str]:
    return [
        line
        for cell in (notebook.cells if notebook is not None else ())
        for line in (f"# {cell['cell_type']} cell {cell['id']}", *cell["source"].splitlines(), "")
    ]
