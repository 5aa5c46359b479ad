"""How much output a session may hold, in the document and outside of it, before its running cell is stopped."""

from mcp_notebook.execution import Execution
from mcp_notebook.record import Record


class OutputLimit:
    """Watches the running execution; what it replaces, and what deleted cells left, is discarded first."""

    def __init__(self, record: Record, limit_bytes: int, short_bytes: int) -> None:
        self._record = record
        self._limit_bytes = limit_bytes
        self._short_bytes = short_bytes
        """So little is always allowed: a session that is full can still be worked in."""
        self._told: Execution | None = None

    def passed_by(self, execution: Execution) -> bool:
        """True once for each execution that is to be stopped."""
        if execution.held_bytes <= self._short_bytes or execution is self._told:
            return False
        if not self._is_passed(execution):
            return False
        self._record.forget_superseded()
        if not self._is_passed(execution):
            return False
        self._told = execution
        return True

    @property
    def notice(self) -> str:
        """What the stopped cell's outputs say."""
        return (
            f"The outputs of this session passed {self._limit_bytes:,} bytes ([limits] output_bytes): what this cell"
            " gives from here on is not kept, and it was asked to stop. Delete cells that have much output, or run"
            " them again with less."
        )

    def _is_passed(self, execution: Execution) -> bool:
        return self._record.held_bytes + execution.held_bytes > self._limit_bytes
