"""Interpreters of both ends of what is supported, and warm kernels on them."""

import os
import sys
import venv
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.environments import python_of
from tests.kernels.cells import running

NEWEST = "newest"
OLDEST = "oldest"


def interpreter(age: str) -> str:
    """The Python with the newest ipykernel that is supported, which is this one, or with the oldest."""
    if age == NEWEST:
        return sys.executable
    return os.environ.get("MCP_NOTEBOOK_TEST_OLDEST") or str(python_of("ipykernel629"))


@pytest.fixture(scope="module")
async def kernel(settings: Settings, anyio_backend: str) -> AsyncIterator[LocalKernel]:
    """A lean kernel of the newest ipykernel that the tests of a module share and leave usable."""
    async with running(settings) as kernel:
        yield kernel


@pytest.fixture(scope="session")
def bare_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment in which nothing is installed."""
    path = tmp_path_factory.mktemp("bare") / "env"
    venv.create(path, symlinks=True)
    return path


@pytest.fixture(scope="session")
def other_environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment of its own that finds the packages of this one."""
    path = tmp_path_factory.mktemp("other") / "env"
    venv.create(path, symlinks=True)
    here = next(Path(entry) for entry in sys.path if entry.endswith("site-packages"))
    (next(path.glob("lib/python3*/site-packages")) / "ours.pth").write_text(f"{here}\n")
    return path
