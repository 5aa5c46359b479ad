"""The executed copies of a notebook, as papermill writes them: which there is of a version, and how it ran.

A copy counts only for the version whose cells it has: what ran before the last edit proves nothing of it.
"""

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from mcp_notebook.errors import FileRefused
from mcp_notebook.files import disk, ipynb
from mcp_notebook.workflow.description import Run

EXECUTIONS = "executions"
"""Where runs leave them, below the workspace."""
MOST_LOOKED_INTO = 20
MOST_BYTES = 20_000_000
_ADDED_BY_RUNS = {"injected-parameters", "papermill-error-cell-tag"}


@dataclass(frozen=True)
class ExecutedCopy:
    """One run of one version."""

    path: Path
    data: bytes
    run: Run


def latest_copy(workspace: Path, name: str, notebook: NotebookNode) -> ExecutedCopy | None:
    """The newest copy in the workspace of the notebook file ``name``, with the cells of ``notebook``."""
    for path in _newest_first(workspace, Path(name).stem):
        try:
            data = disk.contents(path) or b""
            copy = ipynb.parse(data, path).notebook
        except FileRefused:
            continue
        if _sources(copy) == _sources(notebook) and (run := _run(copy)) is not None:
            return ExecutedCopy(path, data, run)
    return None


def _newest_first(workspace: Path, stem: str) -> list[Path]:
    found: dict[Path, float] = {}
    for path in (workspace / EXECUTIONS).glob(f"{glob.escape(stem)}*.ipynb"):
        if path.stem != stem and not path.stem.startswith(f"{stem}-"):
            continue
        try:
            about = disk.target(path, workspace.resolve()).stat()
        except (OSError, FileRefused):  # gone, or a link that leads out of the workspace
            continue
        if about.st_size <= MOST_BYTES:
            found[path] = about.st_mtime
    return sorted(found, key=lambda path: found[path], reverse=True)[:MOST_LOOKED_INTO]


def _sources(notebook: NotebookNode) -> list[tuple[str, str]]:
    """Of the cells that are the notebook's own, as a text can say them."""
    return [(cell["cell_type"], cell["source"].strip("\n").rstrip()) for cell in _own_cells(notebook)]


def _own_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if not _ADDED_BY_RUNS & set(map(str, cell["metadata"].get("tags", ())))]


def _run(copy: NotebookNode) -> Run | None:
    """What papermill has written down of it; None if it was no run, or is not over."""
    about = copy.metadata.get("papermill")
    if not isinstance(about, dict) or about.get("end_time") is None:
        return None
    failing = [cell["id"] for cell in copy.cells if _of_papermill(cell).get("exception")]
    is_good = not about.get("exception") and not failing
    code = [cell for cell in _own_cells(copy) if cell["cell_type"] == "code"]
    return Run(
        parameters=_mapping(about.get("parameters")),
        duration_s=_number(about.get("duration")),
        cells=len(code),
        status="ok" if is_good else "error",
        failing_cell=failing[0] if failing else None,
        environment=_environment(copy),
    )


def _environment(copy: NotebookNode) -> dict[str, str]:
    language, kernel = _mapping(copy.metadata.get("language_info")), _mapping(copy.metadata.get("kernelspec"))
    papermill = _mapping(copy.metadata.get("papermill"))
    known = {
        str(language.get("name") or "language"): language.get("version"),
        "kernel": kernel.get("name"),
        "papermill": papermill.get("version"),
        "began": papermill.get("start_time"),
    }
    return {name: str(value) for name, value in known.items() if value}


def _of_papermill(cell: NotebookNode) -> dict[str, Any]:
    return _mapping(cell["metadata"].get("papermill"))


def _mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, dict) else {}


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
