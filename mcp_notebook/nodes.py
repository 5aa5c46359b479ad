"""nbformat's nodes, made from what kernels send; what no notebook could hold is left out.

Pure. A kernel may nest JSON as deeply as it likes, but copying, validating and writing a notebook
go down by recursion. The mime bundles are those of
https://jupyter-client.readthedocs.io/en/stable/messaging.html#display-data.
"""

import copy
from collections.abc import Mapping
from typing import Any

from nbformat import NotebookNode
from nbformat.notebooknode import from_dict

MOST_LEVELS = 100
"""Of JSON within JSON. Some frames for each stay below Python's limit of 1000."""


def output_node(values: Mapping[str, Any]) -> NotebookNode:
    """A copy of ``values``, mappings within it as nodes too, without what is nested too deeply."""
    kept = {name: value for name, value in values.items() if not is_too_deep(value)}
    made: NotebookNode = from_dict(kept)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    return made


def bundle_node(data: Mapping[str, Any]) -> NotebookNode:
    """A mime bundle; its ``text/plain`` names what was left out."""
    bundle = output_node(data)
    left_out = [mime for mime in data if mime not in bundle]
    if left_out:
        note = f"[mcp-notebook] {', '.join(left_out)}: nested too deeply for a notebook, left out."
        said = bundle.get("text/plain", "")
        bundle["text/plain"] = "\n".join([note, "".join(said) if isinstance(said, list) else str(said)]).strip()
    return bundle


def snapshot(notebook: NotebookNode) -> NotebookNode:
    """A copy of a notebook that others go on editing: in place its cells, but outputs are only replaced."""
    taken = copy.copy(notebook)
    taken["metadata"] = copy.deepcopy(notebook["metadata"])
    taken["cells"] = [copy.copy(cell) for cell in notebook["cells"]]
    for cell in taken["cells"]:
        cell["metadata"] = copy.deepcopy(cell["metadata"])
    return taken


def is_too_deep(value: object, most_levels: int = MOST_LEVELS) -> bool:
    """Whether there are more than ``most_levels`` mappings or lists within one another."""
    level: list[object] = [value]
    for _ in range(most_levels):
        inner = [part for part in level if isinstance(part, dict | list)]
        if not inner:
            return False
        level = [child for part in inner for child in (part.values() if isinstance(part, dict) else part)]
    return any(isinstance(part, dict | list) for part in level)
