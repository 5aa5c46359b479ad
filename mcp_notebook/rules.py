"""The rules of running and editing cells: what may be asked, what is stale, what a run of several contains.

Pure: it looks at a notebook and at what ran, and starts nothing.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from nbformat import NotebookNode
from nbformat.notebooknode import from_dict

from mcp_notebook.errors import BadRequest, LimitReached, UnknownCell
from mcp_notebook.execution import Execution
from mcp_notebook.kernels.base import KernelInfo
from mcp_notebook.notebook import Notebook, revision

PYTHONS = ("python", "python3", "python2", "ipython")
"""Kernelspecs and languages that all mean: the workspace's own Python."""
EDIT_MODES = ("replace", "insert", "delete", "move")


@dataclass(frozen=True)
class Ran:
    """The latest execution of a cell that began: what ran, in which life of the kernel, as which of its executions."""

    revision: str
    life: int
    order: int
    ok: bool
    """Whether it succeeded; what a rebuild's replay gave counts only if it did."""
    lineage: int
    """Lives of which each rebuilds the one before share it."""
    place: int
    """When it ran first among all executions of the session."""


def check_execute(source: str | None, cell_id: str | None, after: str | None, expected: str | None) -> None:
    """Refuse arguments of execute_cell that contradict each other. Raises BadRequest."""
    if source is None and cell_id is None:
        raise BadRequest("Pass `source` to run new code, or `cell_id` to run a cell again, or both to edit it first.")
    if cell_id is None and expected is not None:
        raise BadRequest("`revision` guards an existing cell: pass its `cell_id` too.")
    if cell_id is not None and after is not None:
        raise BadRequest("`after` places a new cell: leave it out with `cell_id`, or move the cell with edit_cell.")
    if source is not None:
        check_source(source)


def check_queue(pending: int, limit: int) -> None:
    """Raises LimitReached: a cell more would be too many."""
    if pending >= limit:
        raise LimitReached(
            f"{pending:,} cells of this session run or wait to run, which is the most ([limits] queue): nothing was"
            " added. get_output(execution_id=..., wait_s=...) waits for one of them; control_kernel(action='restart')"
            " ends them all."
        )


def check_source(source: str) -> None:
    """Refuse text that no kernel can take. Raises BadRequest."""
    try:
        source.encode()
    except UnicodeEncodeError as exc:
        raise BadRequest(
            f"The source has a lone surrogate at character {exc.start}, which is not text: remove it."
        ) from exc
    if "\0" in source:
        raise BadRequest(f"The source has a NUL character at {source.index(chr(0))}: write it as \\0 in a string.")


def edit(
    notebook: Notebook,
    *,
    cell_id: str | None,
    source: str | None,
    edit_mode: str,
    old_source: str | None,
    cell_type: str | None,
    after: str | None,
    revision: str | None,
) -> NotebookNode | None:
    """Change the document; returns the cell, or None when it was deleted.

    Raises:
        BadRequest: arguments that contradict each other; also UnknownCell and RevisionChanged.
    """
    if source is not None:
        check_source(source)
    if edit_mode == "insert":
        _refuse("insert", cell_id=cell_id, old_source=old_source, revision=revision)
        return notebook.add_cell(_needed("insert", source=source), cell_type=cell_type or "code", after=after)
    cell_id = _needed(edit_mode, cell_id=cell_id)
    if edit_mode == "replace":
        _refuse("replace", after=after)
        if source is None and cell_type is None:
            raise BadRequest("edit_mode='replace' needs `source`, or a `cell_type` to change to.")
        return notebook.replace(cell_id, source, old_source=old_source, cell_type=cell_type, revision=revision)
    _refuse(edit_mode, source=source, old_source=old_source, cell_type=cell_type)
    if edit_mode == "delete":
        _refuse("delete", after=after)
        notebook.delete(cell_id, revision=revision)
        return None
    if edit_mode == "move":
        notebook.move(cell_id, after, revision=revision)
        return notebook.cell(cell_id)
    raise BadRequest(f"edit_mode is one of {', '.join(EDIT_MODES)}, not {edit_mode!r}.")


def stale(notebook: Notebook, ran: Mapping[str, Ran], life: int) -> dict[str, str]:
    """The ids of cells whose outputs may not be what their source gives now, and why."""
    found: dict[str, str] = {}
    latest_above = 0
    for cell in notebook.cells:
        if cell["cell_type"] != "code":
            continue
        record = ran.get(cell["id"])
        if record is None or record.life != life:
            if record is not None or cell.get("execution_count") is not None or cell.get("outputs"):
                found[cell["id"]] = "ran in an earlier kernel"
            continue
        if record.revision != revision(cell):
            found[cell["id"]] = "edited since it ran"
        elif record.order < latest_above:
            found[cell["id"]] = "a cell above ran later"
        latest_above = max(latest_above, record.order)
    return found


def plan(action: str, notebook: Notebook, ran: Mapping[str, Ran], stale_cells: Mapping[str, str]) -> list[str]:
    """The ids of the cells that ``action`` runs, in its order. Raises BadRequest: no such action."""
    wanted = [cell["id"] for cell in notebook.cells if _runnable(cell)]
    if action == "run_all":
        return wanted
    if action == "run_stale":
        return [cell_id for cell_id in wanted if cell_id in stale_cells]
    if action == "rebuild":
        done = {cell_id: ran[cell_id] for cell_id in wanted if cell_id in ran and ran[cell_id].ok}
        latest = max((each.lineage for each in done.values()), default=0)
        return sorted((i for i in done if done[i].lineage == latest), key=lambda i: done[i].place)
    raise BadRequest(f"There is no plan for {action!r}: dry_run goes with run_all, run_stale and rebuild.")


def left_out(
    notebook: Notebook, ran: Mapping[str, Ran], planned: Collection[str], ended: Mapping[str, str]
) -> dict[str, str]:
    """The ids of code cells that a rebuild does not run, and why. ``ended``: how the latest execution of each did."""
    found: dict[str, str] = {}
    for cell in notebook.cells:
        cell_id = cell["id"]
        if cell["cell_type"] != "code" or cell_id in planned:
            continue
        if not cell["source"].strip():
            found[cell_id] = "it is empty"
        elif not _runnable(cell):
            found[cell_id] = "it has the tag skip-execution"
        elif cell_id not in ran:
            found[cell_id] = "it has not run in this session"
        elif ran[cell_id].ok:
            found[cell_id] = "it ran before the last restart"
        else:
            found[cell_id] = f"its latest run ended as {ended.get(cell_id, 'unknown')}"
    return found


def expected_to_fail(notebook: Notebook) -> frozenset[str]:
    """Cells whose errors stop no run: nbclient's tag ``raises-exception``."""
    return frozenset(cell["id"] for cell in notebook.cells if "raises-exception" in _tags(cell))


def _runnable(cell: NotebookNode) -> bool:
    return cell["cell_type"] == "code" and bool(cell["source"].strip()) and "skip-execution" not in _tags(cell)


def _tags(cell: NotebookNode) -> list[str]:
    tags: list[str] = cell["metadata"].get("tags", [])
    return tags


def _needed(mode: str, **given: str | None) -> str:
    ((name, value),) = given.items()
    if value is None:
        raise BadRequest(f"edit_mode={mode!r} needs `{name}`.")
    return value


def _refuse(mode: str, **given: str | None) -> None:
    for name, value in given.items():
        if value is not None:
            raise BadRequest(f"`{name}` does not go with edit_mode={mode!r}: leave it out.")


def show(notebook: Notebook, execution: Execution) -> None:
    """Put what an execution has given so far into its cell, with nbclient's timings; a deleted one is left."""
    try:
        cell = notebook.cell(execution.cell_id)
    except UnknownCell:
        return
    if cell["cell_type"] != "code":
        return
    cell["outputs"] = execution.outputs
    cell["execution_count"] = execution.execution_count
    cell["metadata"]["execution"] = from_dict(execution.timings)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    calls = {"calls": execution.made.ended} if execution.made.ended else {}
    cell["metadata"]["mcp_notebook"] = from_dict({"executed": execution.revision} | calls)  # type: ignore[no-untyped-call]


def kernel_of(notebook: Notebook) -> str | None:
    """The kernelspec or the language that the notebook names, or None for the workspace's own Python."""
    metadata = notebook.node["metadata"]
    named = str((metadata.get("kernelspec") or {}).get("name") or language_of(notebook)).lower()
    return None if named in PYTHONS else named


def language_of(notebook: Notebook) -> str:
    """In small letters; Python where the notebook says nothing."""
    metadata = notebook.node["metadata"]
    spec, language = metadata.get("kernelspec") or {}, metadata.get("language_info") or {}
    return str(spec.get("language") or language.get("name") or "python").lower()


def describe_kernel(notebook: Notebook, info: KernelInfo) -> None:
    """Write into the notebook's metadata what other programs choose a kernel by."""
    spec = {"name": info.name, "display_name": info.display_name, "language": info.language}
    if os.sep in info.name:  # an interpreter, whose path says nothing elsewhere
        spec |= {"name": "python3", "display_name": "Python 3 (ipykernel)"}
    notebook.node["metadata"]["kernelspec"] = from_dict(spec)  # type: ignore[no-untyped-call]
