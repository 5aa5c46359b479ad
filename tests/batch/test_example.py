"""The example of the documentation, run as its first cell says."""

import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import scrapbook
from nbformat import NotebookNode

from mcp_notebook.files import locate, read
from mcp_notebook.files.texts import compose
from tests.conftest import environment_of
from tests.environments import REPOSITORY

EXAMPLE = REPOSITORY / "docs" / "examples" / "agent_task_system_health.py"


def text_of(notebook: NotebookNode) -> str:
    """What its cells printed."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_the_example_runs_as_it_says(tmp_path: Path) -> None:
    """Figures of this machine through hermes_runtime, a plot, scraps that scrapbook reads; the text is unchanged."""
    before = EXAMPLE.read_bytes()
    out = tmp_path / "out.ipynb"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mcp_notebook", "run", str(EXAMPLE), str(out)),
            *("-p", "threshold", "0.0001", "-p", "hostname", "forge-vps-01"),
        ],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert EXAMPLE.read_bytes() == before
    notebook = nbformat.read(out, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    nbformat.validate(notebook)
    assert "forge-vps-01: " in text_of(notebook)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    health = scrapbook.read_notebook(str(out)).scraps["health"].data
    assert health["hostname"] == "forge-vps-01"
    assert health["figures from"] == "hermes_runtime"
    assert "memory" in health["alerts"]
    assert '"healthy": false' in done.stdout


def test_the_example_explains_itself_where_no_host_is(tmp_path: Path) -> None:
    """Under plain papermill the same notebook reads the figures by itself."""
    source = tmp_path / "health.ipynb"
    notebook = read(locate(EXAMPLE, REPOSITORY)).notebook
    source.write_text(nbformat.writes(notebook))  # type: ignore[no-untyped-call]  # nbformat is not annotated
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "health.ipynb", "out.ipynb", "-p", "hostname", "here"],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = nbformat.read(tmp_path / "out.ipynb", as_version=4)  # type: ignore[no-untyped-call]  # as above
    assert "No host answers calls from this kernel" in text_of(out)
    assert "here: " in text_of(out)


def test_the_example_is_as_jupytext_writes_it() -> None:
    """Its parameters can be told, and saving it in a session leaves it as it is."""
    notebook = read(locate(EXAMPLE, REPOSITORY)).notebook
    assert set(papermill.inspect_notebook(notebook)) == {"threshold", "hostname"}
    text = EXAMPLE.read_text()
    assert compose(notebook, "py:percent", text, EXAMPLE) == text
