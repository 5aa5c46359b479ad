"""Where the environments are that ``make envs`` builds: other clients, older kernels, Node.

Each is a directory under ``.envs/`` of the repository, or of ``MCP_NOTEBOOK_TEST_ENVS``. What each holds
is in the text files beside this one. A test that needs one that is missing fails; it is never skipped.
"""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


def environment(name: str) -> Path:
    """The directory of the environment ``name``; fails the test, with the command to run, without it."""
    root = Path(os.environ.get("MCP_NOTEBOOK_TEST_ENVS") or REPOSITORY / ".envs")
    if not (root / name / ".ready").exists():
        pytest.fail(f"The environment {root / name} was not built. Run: make envs", pytrace=False)
    return root / name


def python_of(name: str) -> Path:
    """The interpreter of the environment ``name``."""
    return environment(name) / "bin" / "python"
