"""What is installed is what is needed, no more: the wheel is built and looked into."""

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.environments import REPOSITORY


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of the source as it is, built without the network."""
    directory = tmp_path_factory.mktemp("wheel")
    options = [
        "--no-deps",
        "--no-build-isolation",
        "--disable-pip-version-check",
        "--wheel-dir",
        str(directory),
    ]
    command = [sys.executable, "-m", "pip", "wheel", *options, str(REPOSITORY)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [built] = directory.glob("*.whl")
    return built


def test_holds_the_data_and_what_is_sent_into_kernels(wheel: Path) -> None:
    """The demo's data with its source and licence, and the kernel's half, come with an installation."""
    names = ZipFile(wheel).namelist()
    for name in ("mcp_notebook/data/seattle-weather.csv", "mcp_notebook/data/README.md"):
        assert name in names
    assert "hermes_runtime/kernel.py" in names


def test_holds_nothing_else(wheel: Path) -> None:
    """Tests, documentation and left-overs stay at home."""
    tops = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"mcp_notebook", "hermes_runtime"}


def test_gives_the_command_and_the_licence(wheel: Path) -> None:
    """Installing it makes ``mcp-notebook``, and brings the licence along."""
    with ZipFile(wheel) as archive:
        [entry_points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert "mcp-notebook = mcp_notebook.cli:main" in archive.read(entry_points).decode()
        assert any(name.endswith("licenses/LICENSE") for name in archive.namelist())
