"""What is written is read again, and a text keeps its style and its bytes."""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from mcp_notebook.errors import SaveFailed
from mcp_notebook.files import changed, locate, read, write
from tests.notebooks import PYTHON, code, notebook, ran, says, text

R = {"name": "ir", "display_name": "R", "language": "R"}
PNG = {"image/png": "aGVsbG8="}

NASTY = {
    "plain": [code("a", "x = 1\nx", shown="1\n"), text("b", "# Title\n\ntext")],
    "raw": [text("a", "raw text\n# %% [raw]", "raw"), text("b", "---\ntitle: A\n---", "raw"), code("c", "1")],
    "markdown like cells": [text("a", "# T\n# %% no cell\n%% no\n```python\n# %%\n```"), code("b", "1")],
    "code like cells": [code("a", "x = 1\n# %% inside\ny = 2"), code("b", "z")],
    "code in a string": [code("a", "s = '''\n# %%\n# %% [markdown]\n'''"), code("b", '"""\n# %%\n"""')],
    "magics": [code(f"c{i}", s) for i, s in enumerate(["%time 1", "!ls -l", "%%bash\nls", "?x", "x = !ls", "%%R\n1"])],
    "commented magics": [code("a", "# %matplotlib inline\n# !ls"), code("b", "#%%time")],
    "empty cells": [code("a", ""), text("b", ""), code("d", "\n\n"), text("e", "", "raw")],
    "blanks": [code("a", "   "), code("b", "if x:\n   \n    y"), text("c", "  ")],
    "spaces around": [code("a", "\n\nx"), code("b", "x\n\n\n"), text("c", "\n# T\n\n"), code("d", "\tif x:")],
    "unicode": [code("a", "é = 'ß 漢字 🎉 \u200b \u202e'"), text("b", "# 漢字 🎉")],
    "line ends": [code("a", "x\r\ny"), code("b", "x = '\x0b \x0c \x85 \u2028'"), text("c", "a\x0cb\u2029c")],
    "not text": [code("a", "s = '\0 \ud800'"), code("b", "'\x1b[31m'")],
    "long lines": [code("a", "x = '" + "long " * 50_000 + "'"), text("b", "word " * 50_000)],
    "tags": [
        code("a", "n = 1", tags=["parameters"]),
        code("b", "1 / 0", tags=["raises-exception", "two words", 'quo"te']),
        {**text("c", "md"), "metadata": {"tags": ["slide"]}},
    ],
    "attachments": [text("a", "![x](attachment:x.png)", attachments={"x.png": PNG}), code("b", "1")],
    "equal cells": [code(f"c{i}", "x += 1", shown=f"{i}\n") for i in range(9)],
    "other metadata": [{**code("a", "1"), "metadata": {"collapsed": True, "slideshow": {"a": "b"}, "a b": [1]}}],
    "header like": [text("a", "---\njupyter:\n  a: b\n---"), code("b", "# ---\n# jupyter: x\n# ---")],
    "no cells": [],
}
KERNELS = {"R in .R": ("a.R", R), "R in .py": ("a.py", R), "Markdown": ("a.md", PYTHON), "Rmd": ("a.Rmd", PYTHON)}


@pytest.mark.parametrize("name", ["a.py", "a.ipynb", "light.py"])
@pytest.mark.parametrize("cells", NASTY.values(), ids=NASTY)
def test_round_trip(tmp_path: Path, cells: list[dict[str, Any]], name: str) -> None:
    """What is written is read again: ids, types, sources, tags, outputs, attachments."""
    if name == "light.py":
        header = "# ---\n# jupyter:\n#   jupytext:\n#     text_representation:\n#       format_name: light\n# ---\n"
        (tmp_path / name).write_text(header)
    pair = locate(name, tmp_path)
    ours = notebook(*cells)
    written = write(pair, ours, read(pair))
    again = read(locate(name, tmp_path))
    assert says(again.notebook) == says(ours) == says(written.notebook)
    assert again.digests == written.digests
    assert not changed(written)
    assert pair.ipynb is not None
    theirs = nbformat.reads(pair.ipynb.read_text(), as_version=4)  # type: ignore[no-untyped-call]
    nbformat.validate(theirs)
    ascii_only = r"\ud800" in pair.ipynb.read_text()
    expected = nbformat.writes(theirs, ensure_ascii=ascii_only)  # type: ignore[no-untyped-call]
    assert pair.ipynb.read_text() == expected + "\n"


@pytest.mark.parametrize(("name", "kernelspec"), KERNELS.values(), ids=KERNELS)
@pytest.mark.parametrize("cells", [NASTY["plain"], NASTY["unicode"], [code("a", "n = 1", tags=["parameters"])]])
def test_round_trip_of_other_formats(
    tmp_path: Path, cells: list[dict[str, Any]], name: str, kernelspec: dict[str, str]
) -> None:
    """Other languages and text formats keep the same."""
    pair = locate(name, tmp_path)
    ours = notebook(*cells, kernelspec=kernelspec)
    written = write(pair, ours, None)
    assert written.notes == ()
    again = read(pair).notebook
    assert says(again) == says(ours)
    assert again.metadata.kernelspec == kernelspec


def test_a_text_that_could_not_be_read_again(tmp_path: Path) -> None:
    """What jupytext would write but not read (a quote in a tag, in .Rmd) is refused before it is written."""
    with pytest.raises(SaveFailed, match=r"a\.Rmd was not written.*quo"):
        write(locate("a.Rmd", tmp_path), notebook(*NASTY["tags"]), None)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("cells", NASTY.values(), ids=NASTY)
def test_a_run_leaves_the_text_alone(tmp_path: Path, cells: list[dict[str, Any]]) -> None:
    """Outputs, counts, timings and our metadata change the .ipynb only, and are all kept."""
    pair = locate("a", tmp_path)
    first = write(pair, notebook(*cells), None)
    before = (tmp_path / "a.py").read_bytes()
    stat = (tmp_path / "a.py").stat()
    after = ran(first.notebook)
    write(pair, after, first)
    assert (tmp_path / "a.py").read_bytes() == before
    assert (tmp_path / "a.py").stat() == stat
    assert says(read(pair).notebook) == says(after)


READABLE = {name: cells for name, cells in NASTY.items() if name != "not text"}


@pytest.mark.parametrize("cells", READABLE.values(), ids=READABLE)
def test_text_alone(tmp_path: Path, cells: list[dict[str, Any]]) -> None:
    """The .py without its .ipynb says the same cells, or the answer named those that it cannot say."""
    pair = locate("a", tmp_path)
    ours = notebook(*cells)
    notes = write(pair, ours, None).notes
    (tmp_path / "a.ipynb").unlink()
    alone = read(pair).notebook
    expected = [(cell.cell_type, cell.source, cell.metadata.get("tags", [])) for cell in ours.cells]
    same = [(c.cell_type, c.source, c.metadata.get("tags", [])) for c in alone.cells] == expected
    assert same == (not notes)
    assert "jupytext_version:" not in (tmp_path / "a.py").read_text()


def test_jupytext_itself_agrees(tmp_path: Path) -> None:
    """``jupytext --test`` passes on every .py that was written, but for blanks at a line's end in empty cells."""
    for number, cells in enumerate(cells for name, cells in READABLE.items() if name != "blanks"):
        write(locate(f"n{number}", tmp_path), notebook(*cells), None)
    scripts = [path.name for path in sorted(tmp_path.glob("*.py"))]
    command = [sys.executable, "-m", "jupytext", "--test", "--to", "ipynb", *scripts]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"# %%\r\nx = 1\r\n\r\n# %%\r\ny = 2\r\n", id="CRLF"),
        pytest.param(b"# %%\nx = 1\n\n# %%\ny = 2", id="no final newline"),
        pytest.param(b"#%%\nx = 1\n\n\n\n# %% tags=['a', 'b']\ny = 2\n", id="loose style"),
        pytest.param(b"\xef\xbb\xbf# %%\nx = 1\n\n# %%\ny = 2\n", id="byte order mark"),
        pytest.param(b"# %%\n%matplotlib inline\nx = 1\n# %% A title\ny = 2\n", id="bare magic"),
        pytest.param(b"#!/usr/bin/env python\n# -*- coding: utf-8 -*-\n# %%\nx = 1\n# %%\ny = 2\n", id="shebang"),
    ],
)
def test_somebody_elses_text(tmp_path: Path, content: bytes) -> None:
    """A text that jupytext would write differently is untouched by a run, and keeps its style when edited."""
    script = tmp_path / "a.py"
    script.write_bytes(content)
    pair = locate("a.py", tmp_path)
    base = write(pair, ran(read(pair).notebook), read(pair))
    assert script.read_bytes() == content
    edited = copy.deepcopy(base.notebook)
    edited.cells[-1].source = "y = 3"
    written = write(pair, edited, base)
    new = script.read_bytes()
    assert new.count(b"y = 3") == 1
    assert b"jupyter:" not in new
    assert (new.count(b"\r\n") == new.count(b"\n")) == (b"\r\n" in content)
    assert new.endswith(b"\n") == content.endswith(b"\n")
    assert new[:1] == content[:1]
    assert (b"A title" in new) == (b"A title" in content)
    assert says(read(pair).notebook) == says(written.notebook)


def test_a_tag_on_a_text_without_header(tmp_path: Path) -> None:
    """A new tag gets into a text that had neither header nor tags."""
    (tmp_path / "a.py").write_text("# %%\nn = 1\n")
    base = read(locate("a.py", tmp_path))
    base.notebook.cells[0].metadata["tags"] = ["parameters"]
    write(base.pair, base.notebook, base)
    assert (tmp_path / "a.py").read_text() == '# %% tags=["parameters"]\nn = 1\n'
