"""What several tests of runtime calls stand on: file calls, another environment, a user and his relays."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_notebook.runtime.files import Files
from tests.daemons import User, user
from tests.kernels.conftest import other_environment
from tests.relays import Relays, relays
from tests.runtime.hosts import host

__all__ = ["files", "me", "other_environment", "started", "workspace"]


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Empty, and in it everything happens."""
    return host(tmp_path).workspace


@pytest.fixture
def files(tmp_path: Path, workspace: Path) -> Files:
    """Relative paths start in the workspace."""
    return Files(host(tmp_path), lambda: workspace)


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """A user of whom nothing is left running."""
    with user(tmp_path) as me:
        yield me


@pytest.fixture
def started(me: User) -> Iterator[Relays]:
    """Relays of this user."""
    with relays(me) as started:
        yield started
