"""A new notebook for a task: its title, the parameters of its runs, and sections to fill in.

Pure. It runs as it is. Parameters are what papermill replaces in a run: assignments in the cell tagged ``parameters``
(https://papermill.readthedocs.io/en/latest/usage-parameterize.html).
"""

import keyword
import math
import pprint
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode

from mcp_notebook.errors import BadRequest
from mcp_notebook.files.ipynb import MAJOR, MINOR, give_ids, node

MOST_DESCRIPTION_CHARS = 20_000
_TITLE_CHARS = 80
_SLUG_CHARS = 50
_WIDTH = 100
_KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
_SECTIONS = (
    ("Setup", "# Imports, and what the rest needs."),
    ("Data", "# What is read, and from where."),
    ("Analysis", "# What is done with it."),
    ("Results", "# What came of it: tables, plots, and the values that a reader of this run wants to know."),
)
_NO_PARAMETERS = "# Values that a run may replace, such as: threshold = 0.8"
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")


def new_notebook(task_description: str, parameters: Mapping[str, Any]) -> NotebookNode:
    """The notebook.

    Raises:
        BadRequest: no description, one that is too long, or parameters that no assignment can say.
    """
    title, rest = _title_and_rest(task_description)
    cells = [_markdown(f"# {title}\n\n{rest}" if rest else f"# {title}")]
    cells.append(_code(assignments(parameters) or _NO_PARAMETERS, tags=["parameters"]))
    for heading, hint in _SECTIONS:
        cells += [_markdown(f"## {heading}"), _code(hint)]
    give_ids(cells, "")
    metadata = {"kernelspec": _KERNELSPEC}
    return node({"nbformat": MAJOR, "nbformat_minor": MINOR, "metadata": metadata, "cells": cells})


def slug(task_description: str) -> str:
    """The title as a file's name, in ASCII."""
    title, _ = _title_and_rest(task_description)
    plain = unicodedata.normalize("NFKD", title.casefold()).encode("ascii", "ignore").decode()
    words = re.sub(r"[^a-z0-9]+", "-", plain.replace("'", "")).strip("-")
    if len(words) > _SLUG_CHARS:
        words = words[: _SLUG_CHARS + 1].rpartition("-")[0] or words[:_SLUG_CHARS]
    return words or "notebook"


def assignments(parameters: Mapping[str, Any]) -> str:
    """A line for each, ``threshold = 0.8``. Raises BadRequest."""
    for name in parameters:
        if not name.isidentifier() or keyword.iskeyword(name):
            raise BadRequest(
                f"{name[:80]!r} cannot be the name of a parameter: no variable can be called so. Nothing was made."
            )
    return "\n".join(f"{name} = {_literal(value)}" for name, value in parameters.items())


def _markdown(source: str) -> NotebookNode:
    return node({"cell_type": "markdown", "source": source, "metadata": {}})


def _code(source: str, **metadata: Any) -> NotebookNode:
    of_code: dict[str, Any] = {"outputs": [], "execution_count": None}
    return node({"cell_type": "code", "source": source, "metadata": metadata, **of_code})


def _title_and_rest(description: str) -> tuple[str, str]:
    """The first line, or the first sentence of a long one, as title; what is to stand below it."""
    text = _CONTROLS.sub("", description.replace("\r\n", "\n").replace("\r", "\n")).strip()
    if not text:
        raise BadRequest("task_description is empty: say what the notebook is for, in a sentence or more.")
    if len(text) > MOST_DESCRIPTION_CHARS:
        raise BadRequest(f"task_description has {len(text):,} characters, of {MOST_DESCRIPTION_CHARS:,} at most.")
    first, _, rest = text.partition("\n")
    first = first.lstrip("#").strip() or "Notebook"
    if len(first) <= _TITLE_CHARS:
        return first.rstrip(".") or first, rest.strip()
    sentence = re.split(r"(?<=[.!?:;])\s", first)[0].rstrip(".:;")
    if len(sentence) <= _TITLE_CHARS:
        return sentence, text
    cut = sentence[: _TITLE_CHARS - 3]
    return f"{cut.rpartition(' ')[0] or cut}...", text


def _literal(value: Any) -> str:
    """As Python says it; floats that have no literal by their constructor."""
    if isinstance(value, float) and not math.isfinite(value):
        return f'float("{value}")'
    if isinstance(value, dict | list):
        if _has_odd_floats(value):
            raise BadRequest("A parameter holds a NaN or an infinity inside of a list or a dict. Pass it as a string.")
        return pprint.pformat(value, width=_WIDTH, sort_dicts=False)
    return repr(value)


def _has_odd_floats(value: Any) -> bool:
    if isinstance(value, float):
        return not math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_has_odd_floats, inner))
