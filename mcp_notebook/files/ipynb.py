"""Notebook JSON: bytes to a valid nbformat 4.5 notebook and back.

What nbformat can mend is mended and said in notes; the rest is refused. The format:
https://nbformat.readthedocs.io/en/latest/format_description.html
"""

import copy
import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode, ValidationError, v4
from nbformat.notebooknode import from_dict

from mcp_notebook.errors import FileRefused, SaveFailed
from mcp_notebook.nodes import MOST_LEVELS, is_too_deep

MAJOR, MINOR = 4, 5
_CELL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOTES = 5
_LEVELS_ABOVE_AN_OUTPUT = 10


@dataclass(frozen=True)
class Parsed:
    """A valid 4.5 notebook, and what had to be mended for that, as sentences."""

    notebook: NotebookNode
    notes: tuple[str, ...]


def node(values: Mapping[str, Any]) -> NotebookNode:
    """A node of these values, all mappings in it nodes too."""
    made: NotebookNode = from_dict(dict(values))  # type: ignore[no-untyped-call]  # nbformat is not annotated
    return made


def empty() -> NotebookNode:
    """A notebook without cells."""
    return node({"nbformat": MAJOR, "nbformat_minor": MINOR, "metadata": {}, "cells": []})


def decoded(data: bytes, path: Path) -> str:
    """The text of a file; FileRefused if it is not UTF-8. A byte order mark stays."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise FileRefused(
            f"{path} is not UTF-8 (byte {exc.start}). Convert it (iconv -t UTF-8) or name another file."
        ) from exc


def parse(data: bytes, path: Path) -> Parsed:
    """The notebook in ``data``; an empty file is an empty notebook, as in Jupyter.

    Raises:
        FileRefused: not UTF-8, no JSON, no notebook, or invalid beyond repair; ``path`` is named.
    """
    text = decoded(data, path).removeprefix("\ufeff")
    if not text.strip():
        return Parsed(empty(), (empty_file(path),))
    notes: list[str] = []
    notebook = _upgraded(_document(text, path), path, notes)
    notes += give_ids(notebook.cells, path.name)
    try:
        nbformat.validate(notebook)
    except ValidationError as exc:
        raise FileRefused(
            f"{path} is not a valid notebook: {_reason(exc)}. It was left as it is; mend it, or name another file."
        ) from exc
    return Parsed(notebook, tuple(notes))


def empty_file(path: Path) -> str:
    """The note on a file without content."""
    return f"{path.name} was an empty file: opened as an empty notebook."


def compose(notebook: NotebookNode, path: Path) -> tuple[bytes, tuple[str, ...]]:
    """The file's bytes, and notes on outputs that no valid notebook can hold and were left out.

    Changes ``notebook`` only where such an output is replaced.

    Raises:
        SaveFailed: the notebook is invalid in another way.
    """
    notes: tuple[str, ...] = ()
    try:
        nbformat.validate(notebook)
    except ValidationError:
        notes = _without_invalid_outputs(notebook)
    try:
        nbformat.validate(notebook)
    except ValidationError as exc:
        raise SaveFailed(
            f"{path} was not written: the notebook would be invalid ({_reason(exc)}). Fix that cell."
        ) from exc
    plain = copy.deepcopy(notebook)
    v4.rwbase.split_lines(plain)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    v4.rwbase.strip_transient(plain)  # type: ignore[no-untyped-call]  # nor here
    try:
        return _json(plain, json.encoder.encode_basestring).encode(), notes
    except UnicodeEncodeError:  # lone surrogates: JSON can hold them, escaped
        return _json(plain, json.encoder.encode_basestring_ascii).encode(), notes


def give_ids(cells: Iterable[NotebookNode], name: str) -> list[str]:
    """Every cell gets a valid id of its own; what had one keeps it. Notes name what was mended.

    The new ids follow from the cells' text, so that reading the file again gives the same ones.
    """
    taken: set[str] = set()
    faults: Counter[str] = Counter()
    faulty = []
    for cell in cells:
        cell_id = cell.get("id")
        if cell_id is None:
            fault = "missing"
        elif not isinstance(cell_id, str) or not _CELL_ID.fullmatch(cell_id):
            fault = "invalid"
        elif cell_id in taken:
            fault = "duplicate"
        else:
            taken.add(cell_id)
            continue
        faults[fault] += 1
        faulty.append(cell)
    for cell in faulty:
        cell["id"] = stable_id(cell, taken)
        taken.add(cell["id"])
    kinds = ", ".join(f"{count} {fault}" for fault, count in faults.items())
    return [f"{name}: cell ids were repaired ({kinds})."] if faults else []


def stable_id(cell: NotebookNode, taken: set[str]) -> str:
    """An id made from the cell's type and source that is not in ``taken``."""
    text = f"{cell.get('cell_type')}\n{cell.get('source')}".encode("utf-8", "surrogatepass")
    number = 0
    while True:
        cell_id = hashlib.sha256(b"%d\n%s" % (number, text)).hexdigest()[:8]
        if cell_id not in taken:
            return cell_id
        number += 1


def _document(text: str, path: Path) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as exc:
        hint = "It holds git conflict markers: resolve them" if "\n<<<<<<< " in text else "Fix it"
        raise FileRefused(
            f"{path} is not valid JSON ({exc}). {hint}, or name another file; it was left as it is."
        ) from exc
    if not isinstance(document, dict) or not ("cells" in document or "worksheets" in document):
        raise FileRefused(f"{path} is JSON but not a notebook. Name a notebook file.")
    if not isinstance(document.get("cells", document.get("worksheets")), list):
        raise FileRefused(f"{path} is not a valid notebook: its cells are not a list. Fix it, or name another file.")
    if is_too_deep(document, MOST_LEVELS + _LEVELS_ABOVE_AN_OUTPUT):
        raise FileRefused(f"{path} holds JSON that is nested too deeply. Clear its outputs, or name another file.")
    return document


def _upgraded(document: dict[str, Any], path: Path, notes: list[str]) -> NotebookNode:
    major = document.get("nbformat", MAJOR if "cells" in document else 3)
    if isinstance(major, int) and major > MAJOR:
        raise FileRefused(f"{path} has notebook format {major}, newer than {MAJOR}, the newest known. Name another.")
    document["nbformat"] = major
    try:
        if major == MAJOR:
            return _minor_upgraded(document, path.name, notes)
        old = nbformat.versions[major].to_notebook_json(document)
        notebook: NotebookNode = nbformat.convert(old, MAJOR)  # type: ignore[no-untyped-call]  # not annotated
        for cell in notebook.cells:
            del cell["id"]  # random ones: give_ids makes lasting ones
        notebook.metadata.pop("orig_nbformat", None)
    except (KeyError, AttributeError, TypeError, ValueError, ValidationError) as exc:
        raise FileRefused(f"{path} is not a valid notebook ({exc!r}). Fix it, or name another file.") from exc
    notes.append(f"{path.name} has notebook format {major}: converted to {MAJOR}.{MINOR}, written so at the next save.")
    return notebook


def _minor_upgraded(document: dict[str, Any], name: str, notes: list[str]) -> NotebookNode:
    minor = document.get("nbformat_minor")
    if minor != MINOR:
        notes.append(
            f"{name} has notebook format {MAJOR}.{minor}: read, and at the next save written, as {MAJOR}.{MINOR}."
        )
    document["nbformat_minor"] = MINOR
    notebook: NotebookNode = v4.to_notebook(document)  # type: ignore[no-untyped-call]  # not annotated
    return notebook


def _json(notebook: NotebookNode, quoted: Callable[[str], str]) -> str:
    """What nbformat writes, to the byte, in about half the time: Python's json indents slowly."""
    parts: list[str] = []
    _append_json(notebook, "\n", quoted, parts)
    return "".join([*parts, "\n"])


def _append_json(value: Any, newline: str, quoted: Callable[[str], str], parts: list[str]) -> None:
    inner = newline + " "
    if isinstance(value, str):
        parts.append(quoted(value))
    elif isinstance(value, Mapping) and value:
        opening = "{"
        for key in sorted(value):
            parts.append(f"{opening}{inner}{quoted(key)}: ")
            _append_json(value[key], inner, quoted, parts)
            opening = ","
        parts.append(newline + "}")
    elif isinstance(value, list) and value:
        if all(isinstance(item, str) for item in value):
            parts += ["[", inner, f",{inner}".join(map(quoted, value)), newline, "]"]
            return
        opening = "["
        for item in value:
            parts.append(opening + inner)
            _append_json(item, inner, quoted, parts)
            opening = ","
        parts.append(newline + "]")
    else:
        parts.append(json.dumps(value))


def _without_invalid_outputs(notebook: NotebookNode) -> tuple[str, ...]:
    notes = []
    for cell in notebook.cells:
        outputs = cell.get("outputs") or []
        for index, output in enumerate(outputs):
            try:
                nbformat.validate(output, ref="output", version=MAJOR, version_minor=MINOR)
            except ValidationError as exc:
                text = f"[mcp-notebook] an output that is not valid in a notebook was left out: {_reason(exc)}\n"
                outputs[index] = node({"output_type": "stream", "name": "stderr", "text": text})
                notes.append(f"An invalid output of cell {cell['id']} was left out: {_reason(exc)}.")
    return tuple(notes[:_NOTES])


def _reason(error: ValidationError) -> str:
    where = "".join(f"[{part!r}]" if isinstance(part, int) else f".{part}" for part in error.relative_path)
    what = str(error.message)
    return f"{where.removeprefix('.') or 'notebook'}: {what if len(what) < 200 else what[:200] + '...'}"
