"""Texts that jupytext wrote come back to the byte, whatever the cells say; and an edit changes one cell's lines."""

import difflib
import tempfile
from pathlib import Path
from typing import Any

import jupytext
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mcp_notebook.files import empty, halves, locate, read, texts, write
from mcp_notebook.files.editing import edit
from mcp_notebook.files.ipynb import node
from tests.notebooks import SHELF, saved

thorough = settings(max_examples=300, deadline=None, derandomize=True, database=None)
on_disk = settings(max_examples=80, deadline=None, derandomize=True, database=None)

PLAIN = [
    "x = 1",
    "def f():",
    "    return 1",
    "class A:",
    "    pass",
    "import os",
    "# comment",
    "",
    "if x:",
    "é = '漢'",
    "a;",
]
ODD = [
    *(
        "%matplotlib inline",
        "%%bash",
        "%%time",
        "!ls",
        "?x",
        "x?",
        "ls -l",
        "# !ls",
        "# %time",
        "# +",
        "# -",
        "# region",
    ),
    *("'''", '"""', "```", "---", "# # T", "   ", "\ttab", "<!-- #region -->", "#%%", "# In[1]:", "@dec", "#!shebang"),
]
SOURCE = st.lists(st.sampled_from(PLAIN + ODD), max_size=5).map("\n".join)
TAGS = st.lists(st.sampled_from(["parameters", "a", "two words", 'quo"te']), max_size=2, unique=True)
ODD_VALUE = st.one_of(st.none(), st.integers(-9, 9), st.text("ab '\"", max_size=4), st.just([1, {"a": None}]))
METADATA = st.fixed_dictionaries(
    {},
    optional={
        "tags": TAGS,
        "slideshow": st.just({"slide_type": "slide"}),
        "name": st.just("n"),
        "odd": ODD_VALUE,
        "title": st.just("A title"),
        "lines_to_next_cell": st.integers(0, 3),
        "jupyter": st.just({"source_hidden": True}),
    },
)
CELLS = st.lists(st.tuples(st.sampled_from(["code", "code", "markdown", "raw"]), SOURCE, METADATA), max_size=4)
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
HEADER = st.fixed_dictionaries(
    {},
    optional={
        "kernelspec": st.just(KERNEL),
        "jupytext": st.fixed_dictionaries(
            {},
            optional={
                "formats": st.just("ipynb,py:percent"),
                "cell_metadata_filter": st.sampled_from(["-all", "tags,-all", "all"]),
                "notebook_metadata_filter": st.sampled_from(["-all", "-jupytext.text_representation.jupytext_version"]),
                "comment_magics": st.booleans(),
            },
        ),
    },
)
FORMATS = ["py:percent", "py:percent", "py:light", "py:hydrogen", "md", "md:myst", "R:percent", "jl:percent"]
Cells = list[tuple[str, str, dict[str, Any]]]


def written(cells: Cells, header: dict[str, Any], fmt: str) -> str | None:
    """What jupytext writes; None where it does not give that back itself, as ``jupytext --test`` tells."""
    made = []
    for number, (cell_type, source, metadata) in enumerate(cells):
        of_code: dict[str, Any] = {"outputs": [], "execution_count": None} if cell_type == "code" else {}
        values = {"id": f"c{number}", "cell_type": cell_type, "source": source, "metadata": dict(metadata)}
        made.append({**values, **of_code})
    notebook = node({"nbformat": 4, "nbformat_minor": 5, "metadata": header, "cells": made})
    try:
        text: str = jupytext.writes(notebook, fmt)
        again = jupytext.writes(jupytext.reads(text, fmt), fmt)
    except Exception:  # whatever jupytext raises at its own text
        return None
    return text if text == again and text.strip() else None


@thorough
@given(CELLS, HEADER, st.sampled_from(FORMATS))
def test_what_jupytext_wrote_is_written_again_to_the_byte(cells: Cells, header: dict[str, Any], fmt: str) -> None:
    """Magics, raw cells, tags, odd metadata, empty lines, headers of every kind, in every format."""
    text = written(cells, header, fmt)
    assume(text is not None)
    assert text is not None
    path = Path(f"a.{fmt.partition(':')[0]}")
    notebook = halves.combine(texts.parse(text, fmt, path), empty())
    assert texts.compose(notebook, fmt, text, path) == text
    assert texts.is_as_composed(text, fmt, path)


@on_disk
@given(CELLS, HEADER, st.integers(0, 3), st.sampled_from(["edited = 1", "def edited():\n    return 1", "# edited"]))
def test_an_edit_changes_the_lines_of_its_cell_alone(
    cells: Cells, header: dict[str, Any], at: int, source: str
) -> None:
    """In the text and in the .ipynb; and an edit back gives all of both again, to the byte."""
    text = written(cells, header, "py:percent")
    assume(text is not None)
    assert text is not None
    with tempfile.TemporaryDirectory() as directory:
        script, book = (Path(directory, f"a.{suffix}") for suffix in ("py", "ipynb"))
        script.write_text(text)
        assume(texts.format_of(text, script) == "py:percent")
        found = read(locate("a.py", Path(directory)))
        assume(at < len(found.notebook.cells))
        write(found.pair, found.notebook, found)
        assert script.read_text() == text
        before = book.read_bytes()
        was = found.notebook.cells[at]["source"]
        assume(was.strip() and was == was.strip("\n"))
        done = edit(found.pair, at, source)
        changes = difflib.SequenceMatcher(None, text.split("\n"), script.read_text().split("\n"), autojunk=False)
        assert sum(tag != "equal" for tag, *_ in changes.get_opcodes()) <= len(was.split("\n"))
        others = [cell["source"] for cell in read(found.pair).notebook.cells]
        assert others[at] == source
        assert [*others[:at], was, *others[at + 1 :]] == [cell["source"] for cell in found.notebook.cells]
        assert done.notes == ()
        edit(found.pair, at, was)
        assert script.read_text() == text
        assert book.read_bytes() == before


def test_the_version_of_jupytext_is_no_change(tmp_path: Path) -> None:
    """A text that another version wrote keeps its header when a cell is edited, by a save or by notebook_edit."""
    lines = ["---", "jupyter:", "  jupytext:", "    text_representation:", "      extension: .py"]
    lines += ["      format_name: percent", "      format_version: '1.3'", "      jupytext_version: 1.14.0", "---"]
    header = "".join(f"# {line}\n" for line in lines) + "\n"
    script = tmp_path / "a.py"
    script.write_text(f"{header}# %%\nx = 1\n")
    found = read(locate("a.py", tmp_path))
    found.notebook.cells[0].source = "x = 2"
    assert write(found.pair, found.notebook, found).notes == ()
    assert script.read_text() == f"{header}# %%\nx = 2\n"
    assert edit(found.pair, 0, "x = 3").notes == ()
    assert script.read_text() == f"{header}# %%\nx = 3\n"


def test_a_foreign_text_changes_once_as_jupytext_changes_it(tmp_path: Path) -> None:
    """With the first edit of a cell, which is said; from then on nothing but cells changes."""
    script = tmp_path / "a.py"
    script.write_text("import os\n#%%   tags=['a']\nx = 1\n\n\n\n# %% md\n# # T\n# %%\n\n\ny = 2\n")
    found = read(locate("a.py", tmp_path))
    first = write(found.pair, found.notebook, found)
    assert first.notes == ()
    first.notebook.cells[-1].source = "y = 3"
    second = write(found.pair, first.notebook, first)
    [said] = second.notes
    assert said.startswith("a.py was not laid out as jupytext writes it, and now is, this once")
    assert script.read_text() == jupytext.writes(jupytext.reads(script.read_text(), "py:percent"), "py:percent")
    second.notebook.cells[-1].source = "y = 4"
    assert write(found.pair, second.notebook, second).notes == ()


def test_empty_lines_at_the_end_of_a_text_do_not_become_more(tmp_path: Path) -> None:
    """jupytext takes them for the text of a last markdown cell: that is the one change of such a text."""
    script = tmp_path / "a.py"
    script.write_text("# %%\nx = 1\n\n# %% [markdown]\n# T\n\n\n\n")
    as_jupytext = jupytext.writes(jupytext.reads(script.read_text(), "py:percent"), "py:percent")
    pair = locate("a.py", tmp_path)
    assert len(edit(pair, 0, "x = 2").notes) == 1
    assert script.read_text() == as_jupytext.replace("x = 1", "x = 2")
    assert edit(pair, 0, "x = 3").notes == ()
    assert script.read_text() == as_jupytext.replace("x = 1", "x = 3")


def test_a_generated_ipynb_follows_somebody_elses_commit(tmp_path: Path) -> None:
    """The text of a pair changes by a pull: cells keep ids and outputs, and the .ipynb says what the text says."""
    saved(tmp_path, *SHELF)
    script = tmp_path / "a.py"
    script.write_text(
        script.read_text().replace("y = 2", "y = 22").replace("# %%\nx = 1", "# %%\nnew = 0\n\n# %%\nx = 1")
    )
    pulled = script.read_bytes()
    found = read(locate("a.ipynb", tmp_path))
    write(found.pair, found.notebook, found)
    assert script.read_bytes() == pulled
    again = read(found.pair).notebook.cells
    assert [cell["source"] for cell in again] == ["import os", "new = 0", "x = 1\nprint(x)", "y = 22"]
    assert [cell["id"] for cell in again if cell["source"] != "new = 0"] == ["a", "b", "c"]
    assert [bool(cell["outputs"]) for cell in again] == [True, False, True, True]


def test_a_text_comes_back_from_its_ipynb(tmp_path: Path) -> None:
    """Deleted, or saved under another name: header, filters, and the metadata of cells beside their tags."""
    cells: Cells = [
        ("markdown", "# T", {"a": {"b": [1]}}),
        ("raw", "raw", {"raw_mimetype": "text/x"}),
        ("code", "%matplotlib inline\nx = 1", {"odd": 'é "q"', "tags": ["parameters"]}),
    ]
    header = {"custom": {"z": 1}, "jupytext": {"notebook_metadata_filter": "custom,kernelspec,jupytext"}}
    text = written(cells, header, "py:percent")
    assert text is not None
    script = tmp_path / "a.py"
    script.write_text(text)
    found = read(locate("a.py", tmp_path))
    found = write(found.pair, found.notebook, found)
    write(locate("b.py", tmp_path), found.notebook, None)
    script.unlink()
    again = read(locate("a.ipynb", tmp_path))
    write(locate("a.py", tmp_path), again.notebook, None)
    for path in (script, tmp_path / "b.py"):
        assert [line for line in path.read_text().splitlines() if "jupytext_version" not in line] == [
            line for line in text.splitlines() if "jupytext_version" not in line
        ]
