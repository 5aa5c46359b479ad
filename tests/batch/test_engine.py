"""papermill's engine as Python programs use it: options, errors, where it may be called, and what it imports."""

import asyncio
import io
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from papermill.exceptions import PapermillExecutionError

from mcp_notebook.papermill_engine import NotebookEngine
from tests.batch.notebooks import Case, code, text
from tests.conftest import environment_of

OUTPUT = "out.ipynb"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory, of a user who has nothing else."""
    for name, value in environment_of(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def execute(*cells: NotebookNode, **options: Any) -> NotebookNode:
    """Run a notebook of these cells by our engine; returns the copy on disk."""
    Path("in.ipynb").write_text(nbformat.writes(Case(cells).notebook))  # type: ignore[no-untyped-call]  # not annotated
    papermill.execute_notebook("in.ipynb", OUTPUT, engine_name="mcp-notebook", **({"progress_bar": False} | options))
    return copy()


def copy() -> NotebookNode:
    """What is on disk."""
    found: NotebookNode = nbformat.read(OUTPUT, as_version=4)  # type: ignore[no-untyped-call]  # not annotated
    return found


def statuses() -> list[str]:
    """papermill's status of each cell."""
    return [cell.metadata.papermill.status for cell in copy().cells]


def test_the_kernel_runs_in_the_given_directory_with_hermes_runtime(place: Path) -> None:
    """``cwd`` is the kernel's, paths are relative to the caller's; calls of cells are answered and recorded."""
    (place / "inner").mkdir()
    found = execute(
        code("import os, hermes_runtime\nprint(os.getcwd())"),
        code("print(hermes_runtime.terminal('echo hello')['output'])"),
        cwd=place / "inner",
    )
    assert found.cells[0].outputs[0].text == f"{place / 'inner'}\n"
    assert found.cells[1].outputs[0].text.strip() == "hello"
    assert found.cells[1].metadata.mcp_notebook.calls[0].name == "terminal"


def test_nbclients_options_hold() -> None:
    """allow_errors, allow_error_names, force_raise_errors, another tag to skip by."""
    failing = (code("1/0"), code("print('on')"))
    for options in ({"allow_errors": True}, {"allow_error_names": ["ZeroDivisionError"]}):
        with pytest.raises(PapermillExecutionError):  # papermill's own, at the end
            execute(*failing, **options)
        assert copy().cells[-1].outputs[0].text == "on\n"
    with pytest.raises(PapermillExecutionError):
        execute(code("1/0", "raises-exception"), code("print('on')"), force_raise_errors=True)
    assert copy().cells[-1].outputs == []
    found = execute(code("1/0", "mine"), code("2"), skip_cells_with_tag="mine")
    assert [cell.execution_count for cell in found.cells] == [None, 1]


def test_a_cell_that_takes_too_long_ends_the_run() -> None:
    """With nbclient's error; the cell is marked as failed, and what it printed is there."""
    with pytest.raises(CellTimeoutError, match=r"longer than 0\.5 s"):
        execute(code("print('in', flush=True)\nwhile True: pass"), text("after"), execution_timeout=0.5)
    assert statuses() == ["failed", "pending"]
    assert copy().cells[0].outputs[0].text == "in\n"


def test_a_dead_kernel_ends_the_run() -> None:
    """With nbclient's error and how the process ended."""
    with pytest.raises(DeadKernelError, match="exit code 7"):
        execute(code("x = 1"), code("import os\nos._exit(7)"), code("x"))
    assert statuses() == ["completed", "failed", "pending"]


def test_what_cells_print_is_passed_on(caplog: pytest.LogCaptureFixture) -> None:
    """To papermill's files and log, once, in order."""
    out, err = io.StringIO(), io.StringIO()
    with caplog.at_level(logging.INFO, "papermill"):
        execute(
            code("import sys\nfor i in range(3): print(i, flush=True)\nprint('no end', end='')"),
            code("print('e', file=sys.stderr)\n42"),
            stdout_file=out,
            stderr_file=err,
            log_output=True,
        )
    assert (out.getvalue(), err.getvalue()) == ("0\n1\n2\nno end", "e\n")
    assert "42" in caplog.messages


def test_what_a_thread_prints_later_is_in_its_cell() -> None:
    """However long ago that has ended, and while the next one runs."""
    found = execute(
        code("import threading\ngo = threading.Event()\ndef late():\n    go.wait()\n    print('late', flush=True)"),
        code("thread = threading.Thread(target=late)\nthread.start()\nprint('now')"),
        code("1"),
        code("go.set()\nthread.join()"),
    )
    assert "late\n" in [output.text for cell in found.cells[1:] for output in cell.outputs if "text" in output][-1]


def test_it_can_be_called_where_a_loop_runs() -> None:
    """As in a cell of a notebook."""

    async def in_a_loop() -> NotebookNode:
        return execute(code("print('nested')"))

    assert asyncio.run(in_a_loop()).cells[0].outputs[0].text == "nested\n"


def test_a_progress_bar_counts_cells(capsys: pytest.CaptureFixture[str]) -> None:
    """papermill's own, with the cell's first line."""
    execute(text("# Begin"), code("x = 1"), progress_bar={"mininterval": 0})
    assert "2/2" in capsys.readouterr().err


def test_another_runner_can_be_handed_in() -> None:
    """It gets the copy that is kept by papermill's rules."""
    seen: list[str] = []

    def runner(copy: Any, kernel_name: str, **options: Any) -> None:
        seen.extend([kernel_name, options["input_path"]])
        for index, cell in enumerate(copy.nb.cells):
            copy.cell_start(cell, index)
            copy.cell_complete(cell, index)

    execute(code("1/0"), runner=runner)
    assert seen == ["python3", "in.ipynb"]
    assert statuses() == ["completed"]


def test_a_notebook_that_names_no_kernel_is_python() -> None:
    """The engine says so to papermill."""
    bare = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call]  # nbformat is not annotated
    assert (NotebookEngine.nb_kernel_name(bare), NotebookEngine.nb_language(bare)) == ("python", "python")
    assert NotebookEngine.nb_kernel_name(bare, "bash") == "bash"


@pytest.mark.parametrize(
    "source",
    [
        "import papermill, sys; assert 'mcp_notebook.papermill_engine' in sys.modules; "
        "assert not {'mcp', 'anyio', 'mcp_notebook.errors', 'mcp_notebook.sessions'} & sys.modules.keys()",
        "import mcp_notebook.papermill_engine, mcp_notebook.batch.copies",
        "import mcp_notebook.batch.results, mcp_notebook.batch.performing, sys; assert 'papermill' not in sys.modules",
    ],
)
def test_imports_are_cheap_and_go_in_any_order(source: str) -> None:
    """papermill loads the engine at its own import, for everybody; the server loads no papermill before a run."""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
