"""A new notebook file, which takes nobody's place."""

import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from mcp_notebook import files
from mcp_notebook.errors import FileRefused
from mcp_notebook.files import Pair, disk, texts
from mcp_notebook.workflow.template import new_notebook, slug

DIRECTORY = "notebooks"
_SUFFIX = ".py"
_LINE_CHARS = 100


@dataclass(frozen=True)
class Created:
    """The new notebook and its .py."""

    path: Path
    notebook: NotebookNode

    def told(self, workspace: Path) -> str:
        """Where it is, from the workspace, and its cells in a line each."""
        name = self.path.relative_to(workspace.resolve()).as_posix()
        lines = [f"Created {name} with {len(self.notebook.cells)} cells:"]
        for position, cell in enumerate(self.notebook.cells):
            tags = "".join(f" [{tag}]" for tag in cell["metadata"].get("tags", []))
            first = cell["source"].partition("\n")[0]
            lines.append(f"#{position} {cell['cell_type']}{tags}: {first[:_LINE_CHARS]}")
        return "\n".join(lines)


def create(
    task_description: str,
    path: str | None,
    parameters: Mapping[str, Any],
    workspace: Path,
    is_taken: Callable[[Pair], object] = lambda _: False,
) -> Created:
    """Write it as percent .py, at ``path`` or below ``notebooks/`` under a free name of its task; returns where.

    ``is_taken`` tells of notebooks that are not on the disk yet. Blocks: for a worker thread.

    Raises:
        BadRequest: a description or a parameter that cannot be used.
        FileRefused: something is there, it is outside the workspace, or no path of a .py.
        SaveFailed: the disk said no.
    """
    notebook = new_notebook(task_description, parameters)
    if path is not None:
        made = _written(notebook, path, workspace, is_taken)
        if made is None:
            raise FileRefused(
                f"{path} is there already, and nothing was written. Name another path, or leave it out. notebook_edit "
                "changes a notebook's file, open_session opens it."
            )
        return Created(made, notebook)
    base = f"{DIRECTORY}/{slug(task_description)}"
    names = itertools.chain([base], (f"{base}-{number}" for number in itertools.count(2)))
    made = next(made for name in names if (made := _written(notebook, name, workspace, is_taken)))
    return Created(made, notebook)


def _written(notebook: NotebookNode, name: str, workspace: Path, is_taken: Callable[[Pair], object]) -> Path | None:
    """Where it is now; None if the name is taken, be it by a file that is no notebook."""
    if Path(name).suffix not in ("", _SUFFIX):
        raise FileRefused(
            f"{name}: a new notebook is a {_SUFFIX} file, beside which its .ipynb is made when it is saved. Name a "
            "path that ends so, or leave it out."
        )
    if name.rpartition("/")[2].removesuffix(_SUFFIX).strip() in ("", ".", ".."):
        raise FileRefused(f"{name!r} names no file. Name one, such as {DIRECTORY}/analysis.py, or leave it out.")
    named = name if name.endswith(_SUFFIX) else f"{name}{_SUFFIX}"
    if any(os.path.lexists(workspace / Path(named).with_suffix(suffix)) for suffix in (_SUFFIX, ".ipynb")):
        return None
    pair = files.locate(named, workspace)
    assert pair.text is not None and pair.fmt is not None
    if is_taken(pair):
        return None
    data = texts.compose(notebook, pair.fmt, None, pair.text).encode()
    return pair.text if disk.create(disk.target(pair.text, pair.workspace), data) else None
