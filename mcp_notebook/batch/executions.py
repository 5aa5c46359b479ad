"""Where executed copies go: ``executions/<name>-<time>.ipynb`` of the workspace, of each run another one."""

import itertools
import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from mcp_notebook.errors import FileRefused, SaveFailed
from mcp_notebook.files import Pair, disk, ipynb, locate

DIRECTORY = "executions"
EMPTY = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}\n'


def new_copy(stem: str, workspace: Path) -> Path:
    """A file that no other run has, in whatever process; it is an empty notebook until it is written.

    Raises:
        SaveFailed: it cannot be made. FileRefused: the directory leads out of the workspace.
    """
    directory = disk.target(workspace / DIRECTORY, workspace)
    stamp = f"{datetime.now(UTC):%Y%m%d-%H%M%S}"
    names = itertools.chain([f"{stem}-{stamp}"], (f"{stem}-{stamp}-{number}" for number in itertools.count(2)))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        return next(path for name in names if _is_new(path := directory / f"{name}.ipynb"))
    except OSError as exc:
        raise SaveFailed(f"{directory} cannot be written: {exc.strerror}. Name another `output_path`.") from exc


def chosen_copy(output_path: str | Path, workspace: Path, source: Pair) -> Path:
    """The file that was asked for, inside of ``workspace``.

    Raises:
        FileRefused: outside, no .ipynb, the notebook itself, or a file that no run has written.
    """
    if Path(output_path).suffix != ".ipynb":
        raise FileRefused(f"{output_path} is no .ipynb: an executed copy has outputs, which only that can hold.")
    there = locate(output_path, workspace)
    assert there.ipynb is not None
    if there.text is not None or there.ipynb in source.paths:
        raise FileRefused(f"{output_path} is a notebook's own file ({there.name}), which a run does not change.")
    if not _is_executed(there.ipynb):
        raise FileRefused(f"{output_path} is there and is no executed copy, so it is kept: name another output_path.")
    return there.ipynb


def _is_executed(path: Path) -> bool:
    """Whether a run has written it, or nobody has written anything."""
    data = disk.contents(path)
    try:
        return not data or "papermill" in ipynb.parse(data, path).notebook["metadata"]
    except FileRefused:
        return False


def _is_new(path: Path) -> bool:
    """Make it, whole from its first moment; False if it is there."""
    temporary = path.with_name(f"{disk.TEMPORARY}{secrets.token_hex(8)}.tmp")
    temporary.write_bytes(EMPTY)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError:  # no hard links on this file system
        try:
            with path.open("xb") as file:
                file.write(EMPTY)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True
