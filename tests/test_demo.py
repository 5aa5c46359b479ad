"""``mcp-notebook demo``: the main job end to end, as a newcomer starts it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from PIL import Image

from mcp_notebook.settings import load
from tests.daemons import processes_of, wait_until

DEMO = [sys.executable, "-m", "mcp_notebook", "demo"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the demo said, and the directory that it left its files in."""
    here = tmp_path_factory.mktemp("demo")
    environment = os.environ | {"MCP_NOTEBOOK_HOME": str(here / "home")}
    done = subprocess.run(DEMO, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, here / "out" / "demo"


@pytest.fixture
def notebook(told: tuple[str, Path]) -> NotebookNode:
    """The notebook that the demo saved."""
    node: NotebookNode = nbformat.read(told[1] / "seattle-weather.ipynb", as_version=4)  # type: ignore[no-untyped-call] # nbformat's own
    return node


def test_tells_the_story(told: tuple[str, Path]) -> None:
    """Data, a mistake, its correction, a picture, and the checks of other people's tools."""
    story = told[0]
    for word in ("1,461 days", "KeyError", "edit_cell", "image/png", "nbclient", "jupytext"):
        assert word in story


def test_fits_a_reader(told: tuple[str, Path]) -> None:
    """The story is short, in lines that a terminal holds, and without control characters."""
    lines = told[0].splitlines()
    assert len(lines) < 160
    assert [line for line in lines if len(line) > 120 or not line.isprintable()] == []


def test_leaves_a_clean_notebook(notebook: NotebookNode) -> None:
    """Every code cell ran without error, the corrected one too, and the plot is an output."""
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    assert any("image/png" in output.get("data", {}) for output in outputs)


def test_loses_nothing_with_the_server(told: tuple[str, Path]) -> None:
    """The server's and the client's processes are killed, the count is whole, and the variables are there."""
    story = told[0]
    assert len(set(re.findall(r"^    (month .\d:)", story, re.MULTILINE))) == 12
    assert re.search(r"kill -9 \d+, the server", story)
    assert re.search(r"kill -9 \d+ \d+$", story, re.MULTILINE)
    assert "1,461 days in memory, and the count stands at 12" in story
    assert "Resumed the session seattle-weather-" in story


def test_leaves_the_pair_the_data_and_the_picture(told: tuple[str, Path]) -> None:
    """The files lie where the story says, and nothing else does."""
    directory = told[1]
    names = {"seattle-weather.csv", "seattle-weather.ipynb", "seattle-weather.png", "seattle-weather.py"}
    assert {path.name for path in directory.iterdir()} == names
    with Image.open(directory / "seattle-weather.png") as picture:
        assert min(picture.size) > 200


def test_leaves_no_process_and_touches_nobody_elses(told: tuple[str, Path]) -> None:
    """Neither server, keeper, kernel nor sockets; the user's own state directory was not even made."""
    directory = told[1]
    assert traces_of(directory) == ([], False)
    assert not (directory.parents[1] / "home").exists()


def test_says_why_it_stopped(tmp_path: Path) -> None:
    """A call that is refused stops the story with a sentence, not a stack of exceptions, and nothing is left."""
    workspace = tmp_path / "out" / "demo"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", workspace / ".venv"], check=True)
    done = subprocess.run(DEMO, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "-m pip install ipykernel" in done.stdout
    assert done.stdout.endswith("The demo stopped: open_session was refused.\n")
    assert done.stderr == ""
    assert traces_of(workspace) == ([], False)


def test_a_demo_that_was_killed_leaves_room_for_the_next(tmp_path: Path) -> None:
    """What it left is ended before anything else is done."""
    workspace = tmp_path / "out" / "demo"
    with subprocess.Popen(DEMO, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        next(line for line in killed.stdout if line.startswith("> open_session"))
        killed.kill()
    assert traces_of(workspace)[0] != []
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", workspace / ".venv"], check=True)
    done = subprocess.run(DEMO, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.endswith("The demo stopped: open_session was refused.\n")
    wait_until(lambda: traces_of(workspace) == ([], False))


def traces_of(workspace: Path) -> tuple[list[str], bool]:
    """The processes of the demo that played there, and whether its sockets' directory is there."""
    home = str(workspace / ".mcp-notebook")
    sockets = load(os.environ | {"MCP_NOTEBOOK_HOME": home}).sockets
    return [str(process) for process in processes_of(home, str(sockets))], sockets.exists()
