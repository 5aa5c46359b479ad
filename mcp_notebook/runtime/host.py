"""What a runtime call needs of the session whose cell makes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mcp_notebook.policy import Policy


@dataclass
class Made:
    """The calls that one execution has made."""

    execution: str = ""
    """Its id."""
    begun: int = 0
    """How many count against its budget."""
    ended: list[dict[str, Any]] = field(default_factory=list)
    """Each with ``name``, ``seconds`` and ``ok``, and with ``args`` and ``answer`` if those are kept."""

    @property
    def questions(self) -> int:
        """How many times the user was asked something and that came to an end."""
        return sum(call["name"] == "ask_user" for call in self.ended)


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


class Cells(Protocol):
    """What runs in a session."""

    def running(self) -> Made | None:
        """The calls of the execution that runs; None between cells."""

    def called(self, made: Made) -> None:
        """One of its calls has ended, and is in ``made``."""
