"""The file calls of a session in a directory of the test's own, and the other environments of the kernels' tests."""

from pathlib import Path

import pytest

from mcp_notebook.runtime.files import Files
from tests.kernels.conftest import other_environment
from tests.runtime.hosts import host

__all__ = ["files", "other_environment", "workspace"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Empty, and in it everything happens."""
    return host(tmp_path).workspace


@pytest.fixture
def files(tmp_path: Path, workspace: Path) -> Files:
    """Relative paths start in the workspace."""
    return Files(host(tmp_path), lambda: workspace)
