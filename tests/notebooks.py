"""Notebooks, cells and edits of files for the tests of what is on disk."""

import copy
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from mcp_notebook.files import OnDisk, locate, write
from mcp_notebook.files.ipynb import node

PYTHON = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def code(cell_id: str, source: str, *, shown: str | None = None, **metadata: Any) -> dict[str, Any]:
    """A code cell."""
    outputs = [] if shown is None else [{"output_type": "stream", "name": "stdout", "text": shown}]
    count = None if shown is None else 1
    values = {"id": cell_id, "cell_type": "code", "source": source, "metadata": metadata}
    return {**values, "outputs": outputs, "execution_count": count}


def text(cell_id: str, source: str, cell_type: str = "markdown", **more: Any) -> dict[str, Any]:
    """A markdown or raw cell."""
    return {"id": cell_id, "cell_type": cell_type, "source": source, "metadata": {}, **more}


def notebook(*cells: dict[str, Any], kernelspec: dict[str, str] | None = None) -> NotebookNode:
    """A notebook of these cells."""
    metadata = {"kernelspec": kernelspec or PYTHON, "language_info": {"name": "python", "version": "3.11.4"}}
    return node({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": copy.deepcopy(list(cells))})


def ran(side: NotebookNode) -> NotebookNode:
    """The same notebook after every code cell ran."""
    done = copy.deepcopy(side)
    for cell in done.cells:
        if cell.cell_type == "code":
            shown = code("x", "", shown=f"{cell.id} ran\n")["outputs"]
            cell.update(outputs=[node(output) for output in shown], execution_count=9)
            cell.metadata["execution"] = {"iopub.execute_input": "2026-01-01T00:00:00Z"}
            cell.metadata["mcp_notebook"] = {"executed": "12345678", "calls": [{"name": "terminal"}]}
    done.metadata["language_info"] = {"name": "python", "version": "3.13.9"}
    return done


def says(side: NotebookNode) -> list[dict[str, Any]]:
    """Everything that a reader of a notebook sees."""
    return [dict(cell) for cell in side.cells]


SHELF = [code("a", "import os", shown="a"), code("b", "x = 1\nprint(x)", shown="b"), code("c", "y = 2", shown="c")]


def saved(tmp_path: Path, *cells: dict[str, Any]) -> OnDisk:
    """A pair ``a.py`` and ``a.ipynb`` that was just saved."""
    return write(locate("a", tmp_path), notebook(*(cells or SHELF)), None)


def edit(path: Path, old: str, new: str) -> None:
    """What another program does to a file."""
    content = path.read_text()
    assert old in content
    path.write_text(content.replace(old, new))
