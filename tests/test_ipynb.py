"""Notebook JSON: what is mended, what is refused, what is written."""

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mcp_notebook.errors import FileRefused, SaveFailed
from mcp_notebook.files.ipynb import compose, node, parse

PATH = Path("a.ipynb")
CODE: dict[str, Any] = {
    "cell_type": "code",
    "source": ["x = 1\n", "x"],
    "metadata": {},
    "outputs": [],
    "execution_count": None,
}


def document(*cells: dict[str, Any], **more: Any) -> bytes:
    """A 4.5 notebook file of these cells."""
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells, **more}).encode()


V3 = {
    "nbformat": 3,
    "nbformat_minor": 0,
    "metadata": {"name": ""},
    "worksheets": [
        {
            "cells": [
                {"cell_type": "heading", "level": 2, "metadata": {}, "source": "Old"},
                {"cell_type": "code", "input": "1", "language": "python", "metadata": {}, "outputs": []},
            ]
        }
    ],
}


@pytest.mark.parametrize(
    ("data", "note"),
    [
        pytest.param(document({**CODE, "id": "a"}), "", id="valid"),
        pytest.param(b"\xef\xbb\xbf" + document({**CODE, "id": "a"}), "", id="byte order mark"),
        pytest.param(document(CODE, CODE), "2 missing", id="missing ids"),
        pytest.param(document({**CODE, "id": "a"}, {**CODE, "id": "a"}), "1 duplicate", id="duplicate ids"),
        pytest.param(document({**CODE, "id": "a b"}, {**CODE, "id": 7}), "2 invalid", id="invalid ids"),
        pytest.param(document({**CODE, "id": "x" * 65}), "1 invalid", id="too long an id"),
        pytest.param(document(CODE, nbformat_minor=2), "format 4.2", id="old minor"),
        pytest.param(document({**CODE, "id": "a"}, nbformat_minor=4), "format 4.4", id="minor too low"),
        pytest.param(document({**CODE, "id": "a"}, nbformat_minor=9), "format 4.9", id="minor too high"),
        pytest.param(document({**CODE, "id": "a"}, nbformat_minor="5"), "format 4.5", id="minor as text"),
        pytest.param(json.dumps(V3).encode(), "format 3", id="version 3"),
        pytest.param(b"", "empty file", id="empty"),
        pytest.param(b" \n", "empty file", id="blank"),
    ],
)
def test_mended(data: bytes, note: str) -> None:
    """The result is valid 4.5, says what was mended, and is the same each time."""
    parsed = parse(data, PATH)
    nbformat.validate(parsed.notebook)
    assert (parsed.notebook.nbformat, parsed.notebook.nbformat_minor) == (4, 5)
    assert note in " ".join(parsed.notes)
    assert bool(parsed.notes) == bool(note)
    assert parse(data, PATH).notebook == parsed.notebook


def test_kept_ids() -> None:
    """A notebook of an older minor that has ids keeps them."""
    notebook = parse(document({**CODE, "id": "mine"}, CODE, nbformat_minor=4), PATH).notebook
    assert notebook.cells[0].id == "mine"
    assert notebook.cells[0].source == "x = 1\nx"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        pytest.param(b"{", "not valid JSON", id="broken JSON"),
        pytest.param(b'{"cells": [\n<<<<<<< HEAD\n', "git conflict markers", id="git conflict"),
        pytest.param(b"[" * 200_000, "not valid JSON", id="deep JSON"),
        pytest.param(b"[1]", "not a notebook", id="a list"),
        pytest.param(b'{"a": 1}', "not a notebook", id="other JSON"),
        pytest.param("é".encode("latin-1"), "not UTF-8", id="latin-1"),
        pytest.param(document(nbformat=5), "newer than 4", id="version 5"),
        pytest.param(document(nbformat="x"), "not a valid notebook", id="version x"),
        pytest.param(document(cells=None), "not a valid notebook", id="no list of cells"),
        pytest.param(document(cells=[1]), "not a valid notebook", id="a number as cell"),
        pytest.param(document({"cell_type": "code"}), "not a valid notebook", id="bare cell"),
        pytest.param(document({**CODE, "cell_type": "poem"}), "not a valid notebook", id="unknown type"),
        pytest.param(document({**CODE, "outputs": [{"output_type": "stream"}]}), "cells", id="bad output"),
        pytest.param(document({**CODE, "id": "a", "extra": 1}), "extra", id="extra property"),
    ],
)
def test_refused(data: bytes, said: str) -> None:
    """What nbformat cannot mend is refused, with the file's name and the reason."""
    with pytest.raises(FileRefused, match=said) as refused:
        parse(data, PATH)
    assert str(PATH) in str(refused.value)
    assert len(str(refused.value)) < 500


def test_an_output_that_cannot_be_saved() -> None:
    """One invalid output does not keep the rest from being saved; a note stands in its place."""
    odd = {"output_type": "display_data", "data": {"text/plain": 5}, "metadata": {}}
    good = {"output_type": "stream", "name": "stdout", "text": "kept\n"}
    values = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    notebook = node({**values, "cells": [{**CODE, "id": "a", "source": "", "outputs": [good, odd]}]})
    data, notes = compose(notebook, PATH)
    written = parse(data, PATH).notebook
    assert written.cells[0].outputs[0] == good
    assert "was left out" in written.cells[0].outputs[1].text
    assert "cell a" in notes[0]


def test_an_invalid_notebook_is_not_written() -> None:
    """A cell that no notebook can hold is named instead of written."""
    values = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    with pytest.raises(SaveFailed, match="cells"):
        compose(node({**values, "cells": [{**CODE, "id": "a", "source": 5}]}), PATH)


def test_written_as_nbformat_writes() -> None:
    """Every kind of output and metadata comes out byte for byte as nbformat itself writes it."""
    data: dict[str, Any] = {
        "text/html": "<a>\n</a>\né",
        "application/json": {"b": [1, 2.5, None, True], "a": ["x\n", "y"]},
    }
    data |= {"application/x+json": [["l"], [], {}, ""], "image/svg+xml": "<svg>\n</svg>", "image/png": "aa\nbb"}
    outputs = [
        {"output_type": "display_data", "data": data, "metadata": {"image/png": {"width": 1e-7}}},
        {"output_type": "execute_result", "data": {}, "metadata": {}, "execution_count": 3},
        {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["a\nb", "\x1b[0m"]},
        {"output_type": "stream", "name": "stderr", "text": '\x00\t\\"/\u2028\x7f\nend'},
    ]
    metadata = {"trusted": True, "nested": {"z": {"y": []}, "a": float("inf")}}
    cell = {**CODE, "id": "a", "source": "x\n\ny", "outputs": outputs, "metadata": metadata}
    notebook = node({"nbformat": 4, "nbformat_minor": 5, "metadata": {"title": "é"}, "cells": [cell]})
    written, _ = compose(notebook, PATH)
    assert written.decode() == nbformat.writes(notebook) + "\n"  # type: ignore[no-untyped-call]
    assert parse(written, PATH).notebook.cells[0].outputs == notebook.cells[0].outputs


def test_lone_surrogates() -> None:
    """Text that UTF-8 cannot hold survives in the .ipynb."""
    values = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}}
    notebook = node({**values, "cells": [{**CODE, "id": "a", "source": "s = '\ud800 \0'"}]})
    data, _ = compose(notebook, PATH)
    assert parse(data, PATH).notebook.cells[0].source == "s = '\ud800 \0'"
