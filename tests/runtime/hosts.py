"""A host for families of calls that are tested without a session."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_notebook.policy import Policy


@dataclass(frozen=True)
class PlainHost:
    """What ``runtime.Host`` asks for, as plain values."""

    workspace: Path
    directory: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    credentials: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)

    async def ask(self, question: str, schema: Mapping[str, Any]) -> Any:
        """Nobody is there to answer."""
        raise NotImplementedError

    def notebook(self) -> dict[str, Any]:
        """An empty one."""
        return {"session": "plain", "path": None, "workspace": str(self.workspace), "notebook": {"cells": []}}
