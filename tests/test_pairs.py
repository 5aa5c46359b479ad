"""Which files a path names, and which paths are refused."""

import json
import os
from pathlib import Path

import pytest

from mcp_notebook.errors import FileRefused
from mcp_notebook.files import Pair, locate, read

PERCENT = "# %%\nx = 1\n"
HEADER = "# ---\n# jupyter:\n#   jupytext:\n#     text_representation:\n#       format_name: light\n# ---\n\nx = 1\n"


def names(pair: Pair) -> tuple[str | None, str | None, str | None]:
    """Text, .ipynb and format of a pair, without directories."""
    text, ipynb = (path.name if path else None for path in (pair.text, pair.ipynb))
    return text, ipynb, pair.fmt


def empty_ipynb(**metadata: object) -> str:
    """An .ipynb file without cells."""
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": metadata, "cells": []})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", ("a.py", "a.ipynb", "py:percent")),
        ("a.py", ("a.py", "a.ipynb", "py:percent")),
        ("a.ipynb", (None, "a.ipynb", None)),
        ("a.md", ("a.md", "a.ipynb", "md")),
        ("a.Rmd", ("a.Rmd", "a.ipynb", "Rmd")),
        ("a.qmd", ("a.qmd", "a.ipynb", "qmd:quarto")),
        ("a.R", ("a.R", "a.ipynb", "R:percent")),
        ("a.jl", ("a.jl", "a.ipynb", "jl:percent")),
    ],
)
def test_new_paths(tmp_path: Path, path: str, expected: tuple[str | None, ...]) -> None:
    """A path that does not exist is a pair in its suffix's format, an .ipynb alone one file."""
    pair = locate(path, tmp_path)
    assert names(pair) == expected
    assert {file.parent for file in pair.paths} == {tmp_path}


@pytest.mark.parametrize(
    ("files", "path", "expected"),
    [
        ({"a.py": PERCENT}, "a", ("a.py", "a.ipynb", "py:percent")),
        ({"a.py": HEADER}, "a.py", ("a.py", "a.ipynb", "py:light")),
        ({"a.py": ""}, "a.py", ("a.py", "a.ipynb", "py:percent")),
        ({"a.ipynb": empty_ipynb()}, "a", (None, "a.ipynb", None)),
        ({"a.py": PERCENT, "a.ipynb": empty_ipynb()}, "a.ipynb", ("a.py", "a.ipynb", "py:percent")),
        ({"a.R": PERCENT, "a.ipynb": empty_ipynb()}, "a.ipynb", ("a.R", "a.ipynb", "R:percent")),
        ({"a.py": "x = 1\n", "a.ipynb": empty_ipynb()}, "a.ipynb", (None, "a.ipynb", None)),
        ({"a.md": "# A\n", "a.ipynb": empty_ipynb()}, "a.ipynb", (None, "a.ipynb", None)),
        (
            {"a.md": "# A\n", "a.ipynb": empty_ipynb(jupytext={"formats": "ipynb,md"})},
            "a.ipynb",
            ("a.md", "a.ipynb", "md"),
        ),
        (
            {"a.py": "x = 1\n", "a.ipynb": empty_ipynb(jupytext={"formats": "ipynb,py:light"})},
            "a.py",
            ("a.py", "a.ipynb", "py:light"),
        ),
        (
            {"a.py": "x = 1\n", "a.ipynb": empty_ipynb(), "jupytext.toml": 'formats = "ipynb,py:light"'},
            "a.ipynb",
            ("a.py", "a.ipynb", "py:light"),
        ),
        ({"a.py": "%matplotlib inline\n# %%\n"}, "a.py", ("a.py", "a.ipynb", "py:hydrogen")),
    ],
)
def test_existing_files(tmp_path: Path, files: dict[str, str], path: str, expected: tuple[str | None, ...]) -> None:
    """What is there decides the format and whether an .ipynb has a text."""
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    assert names(locate(path, tmp_path)) == expected


def test_pair_in_two_directories(tmp_path: Path) -> None:
    """jupytext's pairing into another directory is followed from both sides."""
    formats = {"formats": "notebooks//ipynb,scripts//py:percent"}
    for name in ("notebooks", "scripts"):
        (tmp_path / name).mkdir()
    (tmp_path / "notebooks/a.ipynb").write_text(empty_ipynb(jupytext=formats))
    header = f"# ---\n# jupyter:\n#   jupytext:\n#     formats: {formats['formats']}\n# ---\n\n# %%\n1\n"
    (tmp_path / "scripts/a.py").write_text(header)
    pair = locate("notebooks/a.ipynb", tmp_path)
    assert pair.text == tmp_path / "scripts/a.py"
    assert locate("scripts/a.py", tmp_path) == pair


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("", "The path is empty"),
        ("sub", "is a directory"),
        ("sub/..", "is a directory"),
        ("plain.py", "neither a jupytext header nor a '# %%' cell"),
        ("Makefile", "is a file that is not a notebook"),
        ("data.csv", ".csv is no notebook's suffix"),
        ("../a.py", "outside the workspace"),
        ("/etc/passwd", "outside the workspace"),
        ("link.py", "outside the workspace"),
        ("dangling.py", "outside the workspace"),
        ("linked/a.py", "outside the workspace"),
        ("sibling", "outside the workspace"),
        ("broken.py", "its header cannot be read"),
        ("latin.py", "is not UTF-8"),
        ("pipe.py", "not a regular file"),
        ("loop.py", "cannot be read"),
        ("a\0b.py", "not a path that can be used"),
        ("a" * 300 + ".py", "not a path that can be used|cannot be read"),
        ("\ud800.py", "not a path that can be used"),
    ],
)
def test_refused_paths(tmp_path: Path, path: str, said: str) -> None:
    """Paths outside the workspace, also through links, and files that are no notebooks are refused."""
    workspace = tmp_path / "workspace"
    (workspace / "sub").mkdir(parents=True)
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.py").write_text(PERCENT)
    (workspace / "link.py").symlink_to(outside / "a.py")
    (workspace / "dangling.py").symlink_to(outside / "new.py")
    (workspace / "linked").symlink_to(outside)
    (workspace / "sibling.ipynb").symlink_to(outside / "b.ipynb")
    (workspace / "plain.py").write_text("import os\n\nprint(os.getcwd())\n")
    (workspace / "Makefile").write_text("all:\n")
    (workspace / "broken.py").write_text("# ---\n# jupyter:\n#   jupytext: [\n# ---\n# %%\n")
    (workspace / "latin.py").write_bytes("# %%\nx = 'é'\n".encode("latin-1"))
    os.mkfifo(workspace / "pipe.py")
    (workspace / "loop.py").symlink_to(workspace / "loop.py")
    with pytest.raises(FileRefused, match=said):
        locate(path, workspace)


def test_links_inside_the_workspace(tmp_path: Path) -> None:
    """A link inside the workspace names its target, so that one file is never two notebooks."""
    workspace = tmp_path / "real"
    (workspace / "lib").mkdir(parents=True)
    (workspace / "lib/b.py").write_text(PERCENT)
    (workspace / "a.py").symlink_to("lib/b.py")
    (tmp_path / "link").symlink_to(workspace)
    pair = locate("a.py", tmp_path / "link")
    assert pair == locate(workspace / "lib/b.py", workspace)
    assert pair == locate(tmp_path / "link/lib/b", tmp_path / "link")


def test_link_to_a_stored_object(tmp_path: Path) -> None:
    """A link whose target has no notebook's name (as in git-annex) keeps its own."""
    (tmp_path / "object-1").write_text(PERCENT)
    (tmp_path / "a.py").symlink_to("object-1")
    assert names(locate("a.py", tmp_path)) == ("a.py", "a.ipynb", "py:percent")


def test_reading_where_nothing_is(tmp_path: Path) -> None:
    """A new path reads as an empty notebook, which is said, and makes no file."""
    found = read(locate("deep/down/a", tmp_path))
    assert found.notebook.cells == []
    assert found.notes == ("a.py + a.ipynb does not exist yet: a new notebook, which save_notebook writes there.",)
    assert list(tmp_path.iterdir()) == []
