"""Whether a notebook still gives what is stored in it: outputs compared cell by cell, by nbval's own rules.

The markers (``# NBVAL_IGNORE_OUTPUT``, the tag ``nbval-skip``, ...), what is not compared and how a file of regular
expressions sanitises are nbval's: https://nbval.readthedocs.io. pytest only lends it its classes here and is not run.
"""

import copy
import difflib
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nbformat import NotebookNode
from nbval import plugin

from mcp_notebook.batch.checked import Checked
from mcp_notebook.errors import BadRequest

NOT_COMPARED = (
    *("metadata", "traceback", "prompt_number", "output_type", "name", "execution_count"),
    *("application/vnd.jupyter.widget-view+json", "image/png", "image/jpeg"),
)
"""As nbval has it by default."""
DETAIL_CHARS = 1500
LINE_CHARS = 200
NEVER_RUN = "It has outputs but was never run: run the notebook and save it."

Patterns = Sequence[tuple[str, str]]


def read_patterns(path: Path) -> Patterns:
    """nbval's file of sanitising expressions. Raises BadRequest: none, or an expression that is none."""
    try:
        patterns: Patterns = plugin.get_sanitize_patterns(path.read_text("utf-8"))
        for pattern, _ in patterns:
            re.compile(pattern)
    except (OSError, UnicodeDecodeError, re.error) as exc:
        raise BadRequest(f"{path} cannot be used to sanitise outputs ({exc}): see nbval's documentation.") from exc
    return patterns


def check_stored(notebook: NotebookNode) -> None:
    """Raises BadRequest: no cell has run, so that there is nothing to compare with."""
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    if code and not any(map(_was_run, code)):
        raise BadRequest(
            "No outputs are stored, so there is nothing to verify: run the notebook in a session and save it, or name"
            " an .ipynb that was run."
        )


def is_skipped(cell: NotebookNode) -> bool:
    """Whether nbval would not run the cell."""
    return bool(_options(cell).get("skip"))


def checked(reference: NotebookNode, executed: NotebookNode, patterns: Patterns = ()) -> list[Checked]:
    """Each code cell of ``reference`` beside the cell with its id in ``executed``. Cells that only the latter has, such
    as injected parameters, are compared with nothing."""
    there = {cell["id"]: cell for cell in executed["cells"]}
    return [
        _checked(position, cell, there.get(cell["id"]), patterns)
        for position, cell in enumerate(reference["cells"])
        if cell["cell_type"] == "code"
    ]


def _checked(position: int, stored: NotebookNode, ran: NotebookNode | None, patterns: Patterns) -> Checked:
    cell_id, options = stored["id"], _options(stored)
    if options.get("skip") or not stored["source"].strip():
        return Checked(position, cell_id, "skipped")
    if ran is None or ran["execution_count"] is None:
        left_out = {"skip-execution", "injected-parameters"}.intersection(stored["metadata"].get("tags", []))
        return Checked(position, cell_id, "skipped" if left_out else "not run")
    errors = [output for output in ran["outputs"] if output["output_type"] == "error"]
    if errors and not options.get("check_exception"):
        return Checked(position, cell_id, "failed", f"{errors[-1]['ename']}: {errors[-1]['evalue']}"[:DETAIL_CHARS])
    if not _was_run(stored):
        return Checked(position, cell_id, *(("failed", NEVER_RUN) if stored["outputs"] else ("not stored",)))
    if not options.get("check", True):
        return Checked(position, cell_id, "ignored")
    difference = _difference(stored["outputs"], ran["outputs"], patterns)
    return Checked(position, cell_id, "differs" if difference else "ok", difference)


def _was_run(cell: NotebookNode) -> bool:
    """Whether what is stored counts. An output that is kept in git on purpose has no count there."""
    kept = "keep_output" in cell["metadata"].get("tags", []) or bool(cell["metadata"].get("keep_output"))
    return cell["execution_count"] is not None or (kept and bool(cell["outputs"]))


def _options(cell: NotebookNode) -> dict[str, Any]:
    """What the cell's tags ask for, and over them its comments."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # contradictions, of which the last one counts
        found = dict(plugin.find_metadata_tags(cell["metadata"]))
        return found | dict(plugin.find_comment_markers(cell["source"]))


def _difference(stored: Sequence[NotebookNode], ran: Sequence[NotebookNode], patterns: Patterns) -> str:
    """In a few lines; empty where nbval sees none."""
    said: list[str] = []

    def sanitize(value: Any) -> Any:
        for pattern, replacement in patterns:
            value = re.sub(pattern, replacement, value) if isinstance(value, str) else value
        return value

    def format_output_compare(key: str, left: Any, right: Any) -> None:
        said.append(f"{key}:\n{_lines(left, right)}")

    # all that nbval's comparison asks of the pytest item that it is a method of
    item = SimpleNamespace(
        parent=SimpleNamespace(skip_compare=NOT_COMPARED),
        colors=plugin.nocolors,
        sanitize=sanitize,
        format_output_compare=format_output_compare,
        comparison_traceback=[],
    )
    before, now = (plugin.coalesce_streams(copy.deepcopy(list(outputs))) for outputs in (stored, ran))
    if plugin.IPyNbCell.compare_outputs(item, now, before):
        return ""
    return "\n".join([*said, *map(str, item.comparison_traceback)]).strip()[:DETAIL_CHARS] or "the outputs differ"


def _lines(stored: Any, now: Any) -> str:
    """The lines that differ, as a diff has them."""
    before, after = ((each if isinstance(each, str) else repr(each)).splitlines() for each in (stored, now))
    compared = list(difflib.unified_diff(before, after, "stored", "now", n=0, lineterm=""))
    return "\n".join(line[:LINE_CHARS] for line in compared if not line.startswith("@@"))[:DETAIL_CHARS]
