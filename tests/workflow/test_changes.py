"""What is said of the difference between two notebooks: tables of cells before and after."""

import base64
import copy
from typing import Any

import pytest

from mcp_notebook.files.ipynb import node
from mcp_notebook.files.lines import line_changes
from mcp_notebook.workflow.changes import changes
from mcp_notebook.workflow.diff_text import diff_text, summary
from tests.notebooks import code, notebook, text


def display(**data: str) -> dict[str, Any]:
    """An output with data; an underscore stands for the slash of a mime type."""
    mimes = {name.replace("_", "/"): value for name, value in data.items()}
    return {"output_type": "display_data", "data": mimes, "metadata": {}}


def shows(*outputs: dict[str, Any]) -> dict[str, Any]:
    """A cell with these outputs."""
    return {**code("a", "plot()"), "outputs": list(outputs), "execution_count": 1}


def said(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> str:
    """The text of the changes; neither side is changed by it."""
    sides = notebook(*old), notebook(*new)
    before = copy.deepcopy(sides)
    shown, left = diff_text(changes(*sides))
    assert sides == before
    assert left == []
    return shown.strip("\n")


A, B, C = code("a", "one = 1"), code("b", "two = 2"), code("c", "three = 3")
ONE, OTHER = (base64.b64encode(bytes([n]) * 5000).decode() for n in (1, 2))
FAILED = {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["a\nb"]}
STREAM = {"output_type": "stream", "name": "stdout", "text": "old\n"}
LONG = {**STREAM, "text": "line\n" * 500}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param([A], [A], "", id="nothing"),
        pytest.param([A], [A, text("m", "# T\n\nt")], "#1 markdown cell=m added\n+# T\n+\n+t", id="added"),
        pytest.param([A, B], [B], "#- cell=a deleted, was #0\n-one = 1", id="deleted"),
        pytest.param([A, B, C], [B, C, A], "#2 cell=a moved from #0", id="moved"),
        pytest.param(
            [A, B, C],
            [B, C, code("a", "one = 1.0")],
            "#2 cell=a changed, moved from #0\n@@ -1 +1 @@\n-one = 1\n+one = 1.0",
            id="moved and changed",
        ),
        pytest.param(
            [code("a", "1", tags=["x", "y"])],
            [code("a", "1", tags=["y", "z"])],
            "#0 cell=a changed\ntags: -x +z",
            id="tags",
        ),
        pytest.param(
            [code("a", "1")],
            [code("a", "1", slideshow={"slide_type": "x"})],
            '#0 cell=a changed\nmetadata slideshow: none -> {"slide_type": "x"}',
            id="metadata",
        ),
        pytest.param(
            [code("a", "1")], [code("a", "1", collapsed=True, execution={"x": "y"})], "", id="what a run sets"
        ),
        pytest.param(
            [A], [text("a", "one = 1")], "#0 markdown cell=a changed\ntype: code -> markdown", id="another type"
        ),
        pytest.param(
            [code("a", "x")], [code("a", "x\n")], "#0 cell=a changed\n@@ -1 +1,2 @@\n x\n+", id="an empty line"
        ),
        pytest.param(
            [code("a", "x")],
            [code("a", "\u202ex\x1b[0m")],
            "#0 cell=a changed\n@@ -1 +1 @@\n-x\n+\\u202ex\\x1b[0m",
            id="what no screen shows",
        ),
        pytest.param(
            [text("a", "t", attachments={"x.png": {"image/png": ONE}})],
            [text("a", "t", attachments={"x.png": {"image/png": OTHER}, "y.png": {"image/png": ONE}})],
            "#0 markdown cell=a changed\nattachment x.png changed\nattachment y.png added",
            id="attachments",
        ),
        pytest.param(
            [shows(STREAM)],
            [shows({**STREAM, "text": "new\n"})],
            "#0 cell=a changed\noutputs:\n-old\n+new",
            id="a short output",
        ),
        pytest.param(
            [shows(LONG)],
            [shows({**LONG, "text": "other\n" * 500})],
            "#0 cell=a changed\noutputs:\n~stdout changed: 2,499 -> 2,999 characters",
            id="a long output",
        ),
        pytest.param(
            [shows(display(image_png=ONE, text_plain="<Figure>"))],
            [shows(display(image_png=OTHER, text_plain="<Figure>"))],
            "#0 cell=a changed\noutputs:\n~image/png changed",
            id="an image",
        ),
        pytest.param(
            [shows(STREAM)], [shows(STREAM, FAILED)], "#0 cell=a changed\noutputs:\n+ValueError: no", id="a failure"
        ),
        pytest.param(
            [shows(*[display(text_plain=str(i)) for i in range(120)])],
            [shows(*[display(text_plain=str(i)) for i in range(130)])],
            "#0 cell=a changed\noutputs changed: 120 -> 130",
            id="many outputs",
        ),
    ],
)
def test_what_is_said(old: list[dict[str, Any]], new: list[dict[str, Any]], expected: str) -> None:
    """Each cell by its position and id, and below that what changed in it."""
    assert said(old, new) == expected


def test_cells_without_common_ids_are_recognised() -> None:
    """A program that renumbered them has not changed every cell."""
    old = [code(f"o{i}", f"value_{i} = {i}") for i in range(20)]
    new = [code(f"n{i}", f"value_{i} = {i}") for i in range(20)]
    new[7]["source"] += "  # seven"
    found = changes(notebook(*old), notebook(*new))
    assert summary(found) == "Cells: 1 changed."
    assert [change.is_at for change in found.cells] == [7]


def test_the_kernel_is_said_and_what_a_machine_adds_is_not() -> None:
    """A notebook's metadata, as far as it means something to a reader."""
    old, new = notebook(A), notebook(A)
    new.metadata["language_info"]["version"] = "3.14"
    new.metadata["widgets"] = {"application/x": {"state": {"a": "b" * 100_000}}}
    new.metadata["mcp_notebook"] = {"pair": {}}
    assert changes(old, new).metadata == ()
    new.metadata["kernelspec"] = {"name": "ir", "display_name": "R", "language": "R"}
    assert diff_text(changes(old, new))[0] == 'notebook metadata kernel: "python3" -> "ir"'


def test_long_and_many_changes_end_in_time() -> None:
    """Sources of 4,000 lines that all changed, 500 changed cells, outputs that are all alike a little."""
    old = [code(f"c{i}", f"value_{i} = {i}\n" * 20) for i in range(500)]
    new = [code(f"c{i}", f"valve_{i} = {i}\n" * 20) for i in range(500)]
    for number in range(9):
        for side, swapped in ((old, False), (new, True)):
            parts = [(f"{i}", f"{i % 7}") for i in range(96)]
            texts = [f"{b} {a} " * 90 if swapped else f"{a} {b} " * 90 for a, b in parts]
            side.append({**shows(*({**STREAM, "text": each} for each in texts)), "id": f"o{number}"})
    old.append(code("long", "\n".join(f"line {i}" for i in range(4000))))
    new.append(code("long", "\n".join(f"lime {i}" for i in range(4000))))
    assert said(old, new).count(" changed\n") == 510
    assert line_changes("x\n" * 10_000, "y\n" * 10_000) == [
        "(changed: 10,001 lines are now 10,001, too many to compare)"
    ]


def test_outputs_of_one_side_only() -> None:
    """What git has is stripped: then outputs are no change, and that is said."""
    old, new = node(notebook(code("a", "x"))), notebook(code("a", "y", shown="1\n"))
    shown, _ = diff_text(changes(old, new))
    assert shown.startswith("One side has no outputs")
    assert "outputs:" not in shown


def test_a_budget_holds_whatever_there_is_to_say() -> None:
    """Thousands of keys, thousands of cells, letters of several bytes."""
    old = notebook(*(code(f"c{i}", "漢" * 300) for i in range(2000)))
    new = notebook(*(code(f"c{i}", "字" * 300) for i in range(2000)))
    new.metadata.update({f"key {i}": "漢" * 500 for i in range(3000)})
    for chars, size in ((20_000, 60_000), (20_000, 9000), (1, 1), (0, 0)):
        shown, left = diff_text(changes(old, new), chars, size)
        assert len(shown) <= max(chars, 10_000)
        assert len(shown.encode()) <= max(size, 10_000)
        assert left[-1].is_at == 1999
