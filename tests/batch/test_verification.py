"""Verification and nbval itself come to the same, cell by cell; what we save and execute passes nbval."""

import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from mcp_notebook.batch.checked import GOOD
from mcp_notebook.batch.verification import check_stored, checked, is_skipped, read_patterns
from mcp_notebook.errors import BadRequest
from mcp_notebook.files.ipynb import node
from mcp_notebook.settings import Settings
from tests.batch.notebooks import Case, code, text
from tests.live import alone, ran, soon

STORED: dict[str, tuple[str, str | None]] = {
    "print('same')": ("print('same')", "ok"),
    "print('a')": ("print('b')", "differs"),
    "# NBVAL_IGNORE_OUTPUT\nprint('a')": ("# NBVAL_IGNORE_OUTPUT\nprint('b')", "ignored"),
    "# NBVAL_SKIP\nprint('a')": ("# NBVAL_SKIP\n1/0", "skipped"),
    "# NBVAL_RAISES_EXCEPTION\nraise ValueError('a')": ("# NBVAL_RAISES_EXCEPTION\nraise ValueError('a')", "ok"),
    "# NBVAL_RAISES_EXCEPTION\nraise ValueError('b')": ("# NBVAL_RAISES_EXCEPTION\nraise ValueError('c')", "differs"),
    "x = 1": ("1/0", "failed"),
    "x + 1": ("x = 1; x + 1", "ok"),
    "x + 2": ("x + 3", "differs"),
    "print('out')\nx": ("x", "differs"),
    "import time; print(time.time())": ("import time; print(time.time())", "ok"),
    "print('1'); import sys; print('e', file=sys.stderr); print('2')": (
        "print('1'); print('2'); import sys; print('e', file=sys.stderr)",
        "ok",
    ),
}
"""What was run and stored, what the cell says now, and what comes of it; times are sanitised."""
PATTERNS = "[times]\nregex: \\d{5,}\\.\\d+\nreplace: TIME\n"


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    """The kernels want asyncio."""
    return "asyncio"


def notebook(sources: list[str]) -> NotebookNode:
    """Code cells of these sources."""
    return Case(tuple(code(source) for source in sources)).notebook


def written(path: Path, stored: NotebookNode) -> None:
    """Put it there."""
    path.write_text(nbformat.writes(stored))  # type: ignore[no-untyped-call]  # nbformat is not annotated


def nbval(path: Path, *arguments: str) -> dict[int, bool]:
    """Whether each code cell that nbval runs passes."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "--nbval",
            *arguments,
            "-rA",
            "-p",
            "no:cacheprovider",
            "--color=no",
            path.name,
        ],
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    known = {"PASSED": True, "FAILED": False}
    found = re.findall(r"^(PASSED|FAILED) \S+::Cell (\d+)", done.stdout, re.MULTILINE)
    cells: dict[int, bool] = {int(number): known[verdict] for verdict, number in found}
    assert cells, done.stdout + done.stderr
    return cells


def test_our_verdicts_are_nbvals(tmp_path: Path) -> None:
    """On the same stored notebook, with markers and sanitising expressions."""
    first, second, patterns = (tmp_path / name for name in ("first.ipynb", "second.ipynb", "clean.cfg"))
    patterns.write_text(PATTERNS)
    written(first, notebook(list(STORED)))
    execute = "papermill.execute_notebook(*sys.argv[1:3], engine_name='mcp-notebook', allow_errors=True)"
    run = [sys.executable, "-c", f"import sys, papermill; {execute}"]
    subprocess.run([*run, str(first), str(first)], cwd=tmp_path, capture_output=True, timeout=100, check=False)
    stored = nbformat.read(first, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    stored.cells = [cell for cell in stored.cells if cell.cell_type == "code"]
    for cell, (now, _) in zip(stored.cells, STORED.values(), strict=True):
        cell.source = now
    written(second, stored)
    subprocess.run([*run, str(second), str(first)], cwd=tmp_path, capture_output=True, timeout=100, check=False)
    executed = nbformat.read(first, as_version=4)  # type: ignore[no-untyped-call]  # as above
    mine = checked(stored, executed, read_patterns(patterns))
    assert [each.verdict for each in mine] == [verdict for _, verdict in STORED.values()]
    theirs = nbval(second, "--nbval-sanitize-with", str(patterns))
    assert {each.position: each.verdict in GOOD for each in mine if each.verdict != "skipped"} == theirs


def test_a_skipped_cell_is_not_run() -> None:
    """By comment or by tag, which nbval writes with hyphens."""
    assert is_skipped(code("# NBVAL_SKIP\nx"))
    assert is_skipped(code("x", "nbval-skip"))
    assert not is_skipped(code("x", "nbval-ignore-output"))


def test_expressions_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    """A missing file, and an expression that is none."""
    (tmp_path / "bad.cfg").write_text("[x]\nregex: (\nreplace: y\n")
    for name in ("missing.cfg", "bad.cfg"):
        with pytest.raises(BadRequest, match=name):
            read_patterns(tmp_path / name)


@pytest.mark.anyio
async def test_what_a_session_saves_passes_nbval(settings: Settings, tmp_path: Path) -> None:
    """Streams, results, tables, images, expected errors."""
    sources = [
        "import sys, pandas\nprint('a', flush=True)\nprint('b')",
        "for i in range(3):\n    print(f'\\r{i}', end='')\nprint()\nprint('err', file=sys.stderr)\n42",
        "pandas.DataFrame({'a': [1, 2]})",
        "# NBVAL_RAISES_EXCEPTION\nraise KeyError('expected')",
        "from IPython.display import HTML, display\ndisplay(HTML('<b>x</b>'), {'k': [1]})",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()",
    ]
    async with alone(settings) as session:
        for source in sources:
            await ran(session, source)
        saved = await soon(session.save("saved.ipynb"))
    assert nbval(saved.paths[0]) == dict.fromkeys(range(len(sources)), True)


def test_a_cell_that_was_never_run_must_have_no_outputs() -> None:
    """nbval's rule; one without outputs has only to run."""
    stored = Case((text("t"), code("1"), code("2"))).notebook
    executed = Case(tuple(stored.cells)).notebook
    executed.cells = [node(cell | {"execution_count": 1}) for cell in stored.cells]
    stored.cells[2].outputs = [nbformat.v4.new_output("stream", name="stdout", text="x")]  # type: ignore[no-untyped-call]
    assert [(each.position, each.verdict) for each in checked(stored, executed)] == [(1, "not stored"), (2, "failed")]


def test_an_output_that_is_kept_in_git_is_compared() -> None:
    """It has no count there, as every other cell."""
    stored = Case((code("1", "keep_output"), code("2", "keep_output"), code("3"))).notebook
    stream = partial(nbformat.v4.new_output, "stream", name="stdout")
    executed = Case(tuple(node(cell | {"execution_count": 1}) for cell in stored.cells)).notebook
    for cell, was, now in zip(stored.cells, ("a", "b", ""), ("a", "c", "d"), strict=True):
        cell.outputs = [stream(text=was)] if was else []
        next(each for each in executed.cells if each.id == cell.id).outputs = [stream(text=now)]
    check_stored(stored)
    assert [each.verdict for each in checked(stored, executed)] == ["ok", "differs", "not stored"]
