"""The keys of a session's journal: which are the document's, and what the order of its cells is.

Pure. A key is a word, or a word and the id of what it tells of: ``order``, ``cell/a1b2c3d4``.
"""

from collections.abc import Iterator, Mapping
from typing import Any

APPENDED = "appended"
"""Of the order of the cells: one behind all others, those of the entry before included."""


def is_of_document(key: str) -> bool:
    """Whether it tells of what the notebook holds itself."""
    return key in ("order", "metadata", "base") or key.partition("/")[0] in ("cell", APPENDED)


def order_of(found: Mapping[str, Any]) -> list[str]:
    """The ids of all cells; the keys of ``found`` are in the order in which they were set."""
    order: dict[str, None] = {}  # an appended cell may be in the order already that was written with it
    for key, value in found.items():
        if key == "order":
            order = dict.fromkeys(value)
        elif key.startswith(f"{APPENDED}/"):
            order.setdefault(key.partition("/")[2])
    return list(order)


def under(prefix: str, found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is told of each thing of one kind, with its id."""
    return ((key.partition("/")[2], value) for key, value in found.items() if key.startswith(f"{prefix}/"))
