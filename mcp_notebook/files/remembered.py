"""What was last read or written of a notebook's files, as data: for a server that is started after this one's end."""

import copy
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.notebooknode import from_dict

from mcp_notebook.files.pairs import Pair
from mcp_notebook.files.store import OnDisk


def as_data(on_disk: OnDisk) -> dict[str, Any]:
    """JSON, as large as the notebook."""
    pair = on_disk.pair
    return {
        "ipynb": _text(pair.ipynb),
        "text": _text(pair.text),
        "fmt": pair.fmt,
        "workspace": _text(pair.workspace),
        "digests": {str(path): digest for path, digest in on_disk.digests.items()},
        "text_holds_cells": on_disk.text_holds_cells,
        "base": on_disk.base,
    }


def from_data(data: dict[str, Any]) -> OnDisk:
    """What ``as_data`` was given; its ``notebook`` is a copy of the merge base; its notes were said already."""
    pair = Pair(_path(data["ipynb"]), _path(data["text"]), data["fmt"], _path(data["workspace"]))
    base: NotebookNode = from_dict(data["base"])  # type: ignore[no-untyped-call]  # nbformat is not annotated
    digests = {Path(path): digest for path, digest in data["digests"].items()}
    return OnDisk(copy.deepcopy(base), pair, digests, (), data["text_holds_cells"], base)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
