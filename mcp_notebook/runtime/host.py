"""What a runtime call needs of the session whose cell makes it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from mcp_notebook.policy import Policy


class Host(Protocol):
    """One session."""

    @property
    def workspace(self) -> Path:
        """What files are read and written in, its symlinks resolved."""

    @property
    def directory(self) -> Path:
        """The session's own in the state directory, for what must outlive the server."""

    @property
    def environment(self) -> Mapping[str, str]:
        """What the kernel was given, which commands and servers get too."""

    @property
    def credentials(self) -> Mapping[str, str]:
        """The whole environment of the client, in which web providers find their keys; never handed on."""

    @property
    def policy(self) -> Policy: ...

    async def ask(self, question: str, schema: Mapping[str, Any]) -> Any:
        """Have the user answer; ``schema`` is the JSON schema of the answer, a scalar.

        Raises:
            NotebookError: the user declined.
        """

    def notebook(self) -> dict[str, Any]:
        """The session's notebook: ``session``, ``path``, ``workspace`` and ``notebook`` in nbformat's JSON."""
