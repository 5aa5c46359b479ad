"""The notebook as text: a cell with its address, the outline of a long one."""

from typing import Any

import pytest

from mcp_notebook.notebook import Notebook, revision
from mcp_notebook.render import cell_markdown, outline
from tests.samples import output, stream

REST = "The rest: get_output(cell_id={cell_id!r})"


@pytest.fixture
def page() -> Notebook:
    made = Notebook()
    made.add_cell("# Title\ntext", cell_type="markdown")
    cell = made.add_cell("print('```')")
    cell["execution_count"] = 4
    cell["outputs"] = [stream("row\n" * 1000)]
    return made


@pytest.mark.parametrize(("outputs", "most"), [("none", 150), ("brief", 1000), ("full", 2600)])
def test_a_cell_is_read_with_its_address(page: Notebook, outputs: Any, most: int) -> None:
    """Position, id, revision, count and why it is stale; output as asked for, and how to get the rest."""
    cell = page.cells[1]
    text = cell_markdown(
        cell,
        position=1,
        revision=revision(cell),
        mark="stale: edited since it ran",
        rest=REST,
        outputs=outputs,
        chars=2500,
    )
    first, *rest = text.split("\n")
    assert first == f"#1 cell={cell['id']} rev={revision(cell)} [4] stale: edited since it ran"
    assert rest[:3] == ["````", "print('```')", "````"]
    assert ("row" in text) == (outputs != "none")
    assert (f"get_output(cell_id='{cell['id']}')" in text) == (outputs != "none")
    assert len(text) <= most


def test_markdown_is_read_as_it_is(page: Notebook) -> None:
    """No fence around it; lone surrogates do not break the answer."""
    cell = page.cells[0]
    cell["source"] += "\ud800"
    text = cell_markdown(cell, position=0, revision="0", mark=None, rest=REST, outputs="full", chars=2500)
    assert text == f"#0 markdown cell={cell['id']} rev=0\n# Title\ntext\ufffd\n"


def test_a_source_of_megabytes_is_cut(page: Notebook) -> None:
    """One cell must not fill the whole answer."""
    cell = page.add_cell("x = 1\n" * 10**6)
    text = cell_markdown(cell, position=2, revision="0", mark=None, rest=REST, outputs="none", chars=5000)
    assert len(text) < 5200 and "left out" in text


def test_an_outline_has_a_line_for_each_cell(page: Notebook) -> None:
    """With what is stale and what failed."""
    failed = page.add_cell("\n1/0\nmore")
    failed["outputs"] = [output(output_type="error", ename="E", evalue="", traceback=[])]
    first, *lines = outline(page, {page.cells[1]["id"]: "stale: edited"}).split("\n")
    assert first.startswith("3 cells, 1 stale.")
    assert lines == [
        f"#0 {page.cells[0]['id']} markdown: # Title",
        f"#1 {page.cells[1]['id']} code [4]: print('```') (stale)",
        f"#2 {failed['id']} code error: 1/0",
    ]


def test_an_outline_of_ten_thousand_cells_is_its_headings() -> None:
    """Each with the positions that belong to it, and within the budget of an answer."""
    long = Notebook()
    stale = {long.add_cell("x = 1")["id"]: "stale: edited"}
    for number in range(10_000):
        source = f"## Part {number}" if number % 100 == 0 else "x"
        long.add_cell(source, cell_type="code" if number % 100 else "markdown")
    text = outline(long, stale)
    assert text.split("\n")[1:4] == [
        "(no heading): #0, 1 stale",
        "## Part 0: #1-#100",
        "## Part 100: #101-#200",
    ]
    assert text.endswith("## Part 9900: #9901-#10000")
    assert len(outline(long, stale, chars=1000)) <= 1000


def test_a_long_notebook_without_headings_shows_its_first_and_last_cells() -> None:
    """There is nothing better to find one's way by."""
    long = Notebook()
    for number in range(1000):
        long.add_cell(f"x = {number}")
    text = outline(long, {}, chars=2000)
    assert len(text) <= 2000
    assert "code: x = 0\n" in text and "left out" in text and text.endswith("code: x = 999")
