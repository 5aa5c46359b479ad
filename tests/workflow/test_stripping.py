"""What of a notebook's file is committed."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mcp_notebook.errors import CommitRefused
from mcp_notebook.workflow.stripping import stripped
from tests.repositories import ipynb

PATH = Path("a.ipynb")


def cells(data: bytes) -> list[dict[str, Any]]:
    """Of a notebook's bytes."""
    found: list[dict[str, Any]] = json.loads(data)["cells"]
    return found


def changed(**metadata: object) -> bytes:
    """A notebook with one cell that has this metadata too."""
    notebook = json.loads(ipynb("x = 1"))
    notebook["cells"][0]["metadata"] |= metadata
    return json.dumps(notebook).encode()


def test_stripping_twice_is_stripping_once() -> None:
    """The filter may come after the commit function, and meets its own work."""
    once = stripped(ipynb("x = 1", "y = 2").encode(), PATH)
    assert stripped(once, PATH) == once
    assert once.endswith(b"}\n")


def test_it_is_a_valid_notebook_with_its_sources() -> None:
    """In the bytes in which nbformat writes it."""
    data = stripped(ipynb("x = 'ä'\ny = 2").encode(), PATH)
    notebook = nbformat.reads(data.decode(), nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    assert notebook.cells[0].source == "x = 'ä'\ny = 2"
    assert "ä".encode() in data


@pytest.mark.parametrize("metadata", [{"tags": ["keep_output"]}, {"keep_output": True}])
def test_outputs_that_are_to_stay_stay(metadata: dict[str, object]) -> None:
    """As nbstripout has it; their counts go."""
    [cell] = cells(stripped(changed(**metadata), PATH))
    assert cell["outputs"][0]["text"] == ["1\n"]
    assert cell["execution_count"] is None


def test_metadata_of_others_stays() -> None:
    """Tags, slides, names."""
    metadata = {"tags": ["parameters"], "slideshow": {"slide_type": "skip"}, "name": "a"}
    [cell] = cells(stripped(changed(**metadata, papermill={"duration": 1}), PATH))
    assert cell["metadata"] == metadata


def test_an_old_format_stays_that_format() -> None:
    """Nobody asked for a conversion."""
    notebook = json.loads(ipynb("x = 1")) | {"nbformat_minor": 2}
    del notebook["cells"][0]["id"]
    assert json.loads(stripped(json.dumps(notebook).encode(), PATH))["nbformat_minor"] == 2


def test_other_files_are_as_they_are() -> None:
    """Texts, and whatever else is named."""
    assert stripped(b"\xff\x00 anything", Path("a.py")) == b"\xff\x00 anything"


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b"null", b"\xff", b"<<<<<<< ours", b'{"nbformat": 4, "cells": 1}', b"[" * 100_000]
)
def test_what_is_no_notebook_is_told(data: bytes) -> None:
    """With its name, and that nothing was committed."""
    with pytest.raises(CommitRefused, match=r"a\.ipynb.*Nothing was committed"):
        stripped(data, PATH)


def test_a_cell_that_contradicts_itself_is_told() -> None:
    """nbstripout cannot tell what is meant."""
    with pytest.raises(CommitRefused, match="contradicts"):
        stripped(changed(keep_output=False, tags=["keep_output"]), PATH)
