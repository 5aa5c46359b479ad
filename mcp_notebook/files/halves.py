"""The two halves of a pair as one notebook: a text and the .ipynb beside it.

Pure. The .ipynb records which text and which cells were written together, so that it is known
later which half was edited since. The text is the source of truth unless only the .ipynb was.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from mcp_notebook.files import ipynb, texts
from mcp_notebook.files.ipynb import MAJOR, MINOR, node
from mcp_notebook.files.matching import match

OURS = "mcp_notebook"
"""The key of our own metadata."""


@dataclass(frozen=True)
class Joined:
    """One notebook of two halves, whether the text says its cells, and notes."""

    notebook: NotebookNode
    text_holds_cells: bool
    notes: tuple[str, ...] = ()


def join(content: bytes | None, known: NotebookNode, path: Path, fmt: str) -> Joined:
    """The text's bytes (None: no file) and the .ipynb's notebook as one.

    Raises:
        FileRefused: the text at ``path`` is no UTF-8 or not in the format ``fmt``.
    """
    if content is None:
        return Joined(known, text_holds_cells=False)
    record = _mapping(_mapping(known.metadata.get(OURS)).get("pair"))
    if record.get("text") == _text_digest(content):
        # Reading this text again could only lose what text cannot say exactly.
        if record.get("cells") == _cells_digest(known):
            return Joined(known, text_holds_cells=True)
        note = f"The .ipynb was edited by a program that left {path.name} as it was: its cells were taken."
        return Joined(known, text_holds_cells=False, notes=(note,))
    text = ipynb.decoded(content, path)
    if not text.strip():
        note = f"{path.name} was empty: the .ipynb's cells were taken." if known.cells else ipynb.empty_file(path)
        return Joined(known, text_holds_cells=not known.cells, notes=(note,))
    return Joined(combine(texts.parse(text, fmt, path), known), text_holds_cells=True)


def record(notebook: NotebookNode, content: bytes, path: Path) -> None:
    """Note in the notebook's metadata that it is written together with the text ``content`` at ``path``."""
    pair = {"file": path.name, "text": _text_digest(content), "cells": _cells_digest(notebook)}
    notebook.metadata[OURS] = {**_mapping(notebook.metadata.get(OURS)), "pair": pair}


def forget_record(notebook: NotebookNode) -> None:
    """It is not as it was when it was written."""
    _mapping(notebook.metadata.get(OURS)).pop("pair", None)


def recorded_text(metadata: dict[str, Any], path: Path) -> str | None:
    """The name of the text that the .ipynb at ``path`` was written with; a copy's record is its original's."""
    name = _mapping(_mapping(metadata.get(OURS)).get("pair")).get("file")
    if not isinstance(name, str) or path.name not in (f"{Path(name).stem}.ipynb", f"{name}.ipynb"):
        return None
    return name


def cells(notebook: NotebookNode) -> list[tuple[Any, ...]]:
    """What a text says of the cells: type, source, tags."""
    return [(cell["cell_type"], cell["source"], cell["metadata"].get("tags", [])) for cell in notebook.cells]


def combine(text: NotebookNode, known: NotebookNode) -> NotebookNode:
    """Source, types and tags of the text; ids, outputs and all else of ``known``."""
    joined = []
    tags = texts.holds_tags(text)
    for cell, index in zip(text.cells, match(text.cells, known.cells), strict=True):
        old = known.cells[index] if index is not None else None
        joined.append(_recognised(cell, old, tags=tags))
    taken = {cell["id"] for cell in joined if "id" in cell}
    for cell in joined:
        if "id" not in cell:
            cell["id"] = ipynb.stable_id(cell, taken)
            taken.add(cell["id"])
    shared = texts.shared_metadata(text)
    if "jupytext" in known.metadata:
        shared["jupytext"] = {**_mapping(known.metadata["jupytext"]), **shared.get("jupytext", {})}
    metadata = {**known.metadata, **shared}
    return node({"nbformat": MAJOR, "nbformat_minor": MINOR, "metadata": metadata, "cells": joined})


def _recognised(cell: NotebookNode, old: NotebookNode | None, *, tags: bool) -> NotebookNode:
    metadata = texts.cell_metadata(cell)
    new: dict[str, Any] = {"cell_type": cell["cell_type"], "source": cell["source"]}
    if cell["cell_type"] == "code":
        new |= {"outputs": [], "execution_count": None}
    if old is not None:
        new["id"] = old["id"]
        if cell["cell_type"] == old["cell_type"] and as_said(cell["source"]) == as_said(old["source"]):
            new["source"] = old["source"]
        metadata = {key: old["metadata"][key] for key in old["metadata"] if key != "tags" or not tags} | metadata
        if cell["cell_type"] == old["cell_type"] == "code":
            new |= {"outputs": old["outputs"], "execution_count": old["execution_count"]}
        if cell["cell_type"] != "code" and "attachments" in old:
            new["attachments"] = old["attachments"]
    return node({**new, "metadata": metadata})


def as_said(source: str) -> str:
    """What a text can say of it: empty lines at both ends are the text's own."""
    return source.rstrip().lstrip("\n")


def _mapping(value: Any) -> dict[str, Any]:
    """What others write into metadata may have any shape."""
    return value if isinstance(value, dict) else {}


def _cells_digest(notebook: NotebookNode) -> str:
    return hashlib.sha256(json.dumps(cells(notebook)).encode()).hexdigest()


def _text_digest(content: bytes) -> str:
    """Of the text whatever its line ends: git may change these on checkout."""
    return hashlib.sha256(content.replace(b"\r\n", b"\n")).hexdigest()
