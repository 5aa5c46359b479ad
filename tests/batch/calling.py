"""Calls of tools through one client, in files of a test's own; and what is in an executed copy."""

import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from mcp import Client
from mcp_types import TextContent
from nbformat import NotebookNode

from tests.live import soon


class Tools:
    """Calls through one client, in files of this test's own."""

    def __init__(self, client: Client, workspace: Path) -> None:
        self._client = client
        self.workspace = workspace
        self.directory = f"t{secrets.token_hex(4)}"

    def write(self, text: str, name: str = "report.py") -> str:
        """A file of the workspace; returns how the tools call it."""
        path = self.workspace / self.directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return f"{self.directory}/{name}"

    def cells(self, *sources: str) -> str:
        """A notebook of these code cells."""
        return self.write("\n".join(f"# %%\n{source}\n" for source in sources), f"n{secrets.token_hex(3)}.py")

    async def call(self, tool: str, **arguments: Any) -> str:
        """The text of an answer."""
        result = await soon(self._client.call_tool(tool, arguments))
        assert not result.is_error, result.content
        return "\n".join(block.text for block in result.content if isinstance(block, TextContent))

    async def refused(self, tool: str, **arguments: Any) -> str:
        """Why a call was refused."""
        result = await soon(self._client.call_tool(tool, arguments))
        assert result.is_error, result.content
        assert isinstance(result.content[0], TextContent)
        return result.content[0].text

    def copy(self, answer: str) -> NotebookNode:
        """The executed copy that an answer names."""
        return read(self.path(answer))

    def path(self, answer: str) -> Path:
        """Where it is."""
        found = re.search(r"Executed copy: (.*)", answer)
        assert found is not None, answer
        return Path(found[1])


def read(path: Path) -> NotebookNode:
    """A notebook, which must be whole and valid."""
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # not annotated
    nbformat.validate(notebook)
    return notebook


def job_of(answer: str) -> str:
    """The id of the job that an answer is of."""
    found = re.search(r"\bn-[0-9a-f]{8}\b", answer)
    assert found is not None, answer
    return found[0]


def statuses(notebook: NotebookNode) -> Sequence[str]:
    """papermill's status of each code cell."""
    return [cell.metadata.papermill.status for cell in notebook.cells if cell.cell_type == "code"]
