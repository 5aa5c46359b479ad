"""A notebook's sources as text, which is what a reader of an ``.ipynb`` wants of its JSON."""

import json
from typing import Any

LABELS = {"markdown": "Markdown", "code": "Code", "raw": "Raw"}


def text(data: bytes) -> str | None:
    """The cells one below the other, each under a heading; None if this is no notebook with cells."""
    try:
        notebook = json.loads(data.decode(errors="replace"))
    except (ValueError, RecursionError):
        return None
    counts = dict.fromkeys(LABELS, 0)
    lines: list[str] = []
    for cell in _cells(notebook):
        kind = cell.get("cell_type") if isinstance(cell, dict) else None
        if kind in LABELS:
            counts[kind] += 1
            number = "" if kind == "raw" else f" {counts[kind]}"
            lines += [f"# ── {LABELS[kind]} cell{number} ──", _source(cell.get("source")).rstrip("\n"), ""]
    return "\n".join(lines).rstrip("\n") + "\n" if lines else None


def _cells(notebook: Any) -> list[Any]:
    if not isinstance(notebook, dict):
        return []
    cells = notebook.get("cells")
    if isinstance(cells, list):
        return cells
    # nbformat 3 has worksheets.
    sheets = notebook.get("worksheets")
    sheets = [sheet for sheet in sheets if isinstance(sheet, dict)] if isinstance(sheets, list) else []
    return [cell for sheet in sheets if isinstance(sheet.get("cells"), list) for cell in sheet["cells"]]


def _source(source: Any) -> str:
    if isinstance(source, list):
        return "".join(piece for piece in source if isinstance(piece, str))
    return source if isinstance(source, str) else ""
