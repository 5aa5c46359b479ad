"""A session as the runtime calls see it, without one: plain values."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mcp_notebook.errors import NotebookError
from mcp_notebook.policy import Policy
from tests.environments import environment


@dataclass(frozen=True)
class PlainHost:
    """Fulfils ``runtime.host.Host``; nobody is there to answer questions."""

    workspace: Path
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    async def ask(self, question: str, schema: Mapping[str, Any]) -> Any:
        """Nobody answers."""
        raise NotebookError(f"Nobody is there to answer {question!r}.")

    def notebook(self) -> dict[str, Any]:
        """An empty one."""
        return {"session": "plain", "path": None, "workspace": str(self.workspace), "notebook": {"cells": []}}


def host(base: Path, **environment: str) -> PlainHost:
    """A session whose workspace and directory lie below ``base``."""
    workspace, directory = base / "workspace", base / "session"
    workspace.mkdir(exist_ok=True)
    directory.mkdir(exist_ok=True)
    return PlainHost(workspace.resolve(), directory, environment)


def with_ripgrep() -> str:
    """A PATH on which the ripgrep of the tests comes first; fails the test where it was not installed."""
    found = sorted((environment("node") / "node_modules" / "@vscode").glob("ripgrep-*/bin/rg"))
    if not found:
        pytest.fail("ripgrep is missing in the environment node. Run: make clean envs", pytrace=False)
    return f"{found[0].parent}{os.pathsep}{os.environ['PATH']}"


WITHOUT_RIPGREP = "/nonexistent"
"""A PATH on which there is nothing."""
