"""New notebook files: what they are called, what is in them, and that they take nobody's place."""

import resource
import signal
from pathlib import Path

import jupytext
import pytest

from mcp_notebook.errors import BadRequest, FileRefused, NotebookError, SaveFailed
from mcp_notebook.files import disk, locate, read, write
from mcp_notebook.files.editing import edit
from mcp_notebook.workflow.create import create
from mcp_notebook.workflow.template import assignments
from tests.notebooks import saved
from tests.test_disk import in_child

LONG = "Compare the response times of all hosts of the fleet over the last three weeks, and plot them. Then explain."


@pytest.mark.parametrize(
    ("task", "name", "title"),
    [
        ("Check disks", "check-disks", "# Check disks"),
        ("# A heading.\nText\n\n- and lines", "a-heading", "# A heading\n#\n# Text\n#\n# - and lines"),
        ("Größe der Dateien: 漢字", "grosse-der-dateien", "# Größe der Dateien: 漢字"),
        ("漢字", "notebook", "# 漢字"),
        ("x" * 300, "x" * 50, f"# {'x' * 77}...\n#\n# {'x' * 300}"),
        (LONG, "compare-the-response-times-of-all-hosts-of-the", f"# {LONG[:72]}...\n#\n# {LONG}"),
        ("../../etc/passwd", "etc-passwd", "# ../../etc/passwd"),
        ("a\x00b\x1b[31m\r\nsecond", "ab-31m", "# ab[31m\n#\n# second"),
        ("...", "notebook", "# ..."),
        ("# %% [raw]\n# %%", "raw", "# %% [raw]\n#\n# # %%"),
    ],
)  # fmt: skip
def test_names_and_titles(tmp_path: Path, task: str, name: str, title: str) -> None:
    """Of the first line or sentence; below notebooks/, in ASCII, whatever is asked for."""
    made = create(task, None, {}, tmp_path)
    assert made.path == tmp_path / "notebooks" / f"{name}.py"
    text = made.path.read_text()
    assert f'# %% [markdown]\n# {title}\n\n# %% tags=["parameters"]\n' in text
    assert jupytext.writes(jupytext.reads(text, "py:percent"), "py:percent") == text
    found = read(locate(made.path, tmp_path))
    assert [cell["source"] for cell in found.notebook.cells] == [cell["source"] for cell in made.notebook.cells]
    write(found.pair, found.notebook, found)
    assert made.path.read_text() == text


def test_parameters_are_literals(tmp_path: Path) -> None:
    """Python reads the same values back; what has no literal is refused."""
    values = {
        "a": 1,
        "b": 0.1,
        "c": None,
        "d": True,
        "e": 'it\'s "x"\n',
        "f": [1, {"x": None}],
        "g": "é" * 200,
        "h": -1.5,
    }
    text = assignments(values | {"i": float("inf")})
    found: dict[str, object] = {}
    exec(text, found)
    assert {name: found[name] for name in values} == values
    assert found["i"] == float("inf")
    with pytest.raises(BadRequest, match="NaN or an infinity"):
        assignments({"x": {"y": [float("nan")]}})
    with pytest.raises(BadRequest, match="cannot be the name of a parameter"):
        create("x", None, {"a-b": 1}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_only_who_comes_first_makes_a_file(tmp_path: Path) -> None:
    """The second one is told, also when the file appeared since he looked."""
    assert disk.create(tmp_path / "new/a.py", b"first")
    assert not disk.create(tmp_path / "new/a.py", b"second")
    assert (tmp_path / "new/a.py").read_bytes() == b"first"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.py"]
    with pytest.raises(FileRefused, match="is there already"):
        create("x", "new/a.py", {}, tmp_path)


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    """A file is in its place."""
    (tmp_path / "notebooks").write_text("no directory")
    with pytest.raises(NotebookError, match="notebooks"):
        create("x", None, {}, tmp_path)
    assert (tmp_path / "notebooks").read_text() == "no directory"


def hardly_any_room() -> None:
    """Files of this process end at a hundred bytes, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))


def test_a_full_disk(tmp_path: Path) -> None:
    """Nothing is made, nothing is changed, nothing is left behind."""
    base = saved(tmp_path)
    before = {path: path.read_bytes() for path in base.pair.paths}

    def work() -> str:
        said = []
        for step in (lambda: create("x", "new.py", {}, tmp_path), lambda: edit(base.pair, 0, "import sys")):
            try:
                step()
            except SaveFailed as exc:
                said.append(str(exc))
        return "\n".join(said)

    said = in_child(hardly_any_room, work).splitlines()
    assert len(said) == 2
    assert all("could not be written" in line for line in said)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
