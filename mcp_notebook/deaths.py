"""What one session knows of its kernel for the day on which that dies, and the certificate of the death.

All of it is in the journal: the next server says the same of a kernel that died before, and knows what was defined
in one that dies while there is none.
"""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from mcp_notebook.certificate import KILLED, Certificate
from mcp_notebook.kernels.base import Defined, Exit, KernelInfo
from mcp_notebook.ledger import Ledger
from mcp_notebook.record import Record

BY_ACTION = ", as control_kernel(action='kill') asked"
FAULT = "mcp-notebook failed in this session and ended its kernel (the server's log says why)"


class Deaths:
    """Kept by a session, which tells it when a kernel begins and a cell ends."""

    def __init__(self, record: Record, ledger: Ledger) -> None:
        self._record = record
        self._ledger = ledger
        self._defined: Defined | None = None
        self._stopped: str | None = None
        self._seen = True
        self._life: tuple[Any, int] = (None, 0)
        """Where the kernel has its files, and which life it is."""

    def began(self, info: KernelInfo, directory: Any, life: int) -> None:
        """There is a new kernel, with nothing defined."""
        self._life, self._stopped, self._seen = (directory, life), None, True
        self._ledger.kernel(directory, life)
        self.learn(Defined() if info.interpreter is not None else None)

    def recall(self, kernel: Mapping[str, Any], defined: Mapping[str, Any] | None, *, lives: bool) -> None:
        """Go on from what an earlier server kept; what it meant to stop and did not, it has not stopped."""
        self._life = (kernel["directory"], kernel["life"])
        self._defined = Defined.from_data(defined)
        self._stopped, self._seen = None if lives else kernel.get("stopped"), lives

    def learn(self, defined: Defined | None) -> None:
        """What the kernel told of its variables, if it did."""
        if defined != self._defined:
            self._defined = defined
            self._ledger.defined(asdict(defined) if defined is not None else None)

    def stop(self, why: str) -> None:
        """The kernel is about to be killed by us; ``why`` ends the sentence on its death."""
        self._stopped = why
        self._ledger.kernel(*self._life, stopped=why)

    def certify(self, end: Exit | None, defined: Defined | None, cell_id: str | None) -> Certificate:
        """Of the death that has just been noticed; ``end`` is None where it is a fault of ours."""
        end, fault = (end, None) if end is not None else (Exit(), FAULT)
        by_us = end.signal == KILLED or (end.signal is None and end.code is None)
        certificate = Certificate.of(
            end,
            defined if defined is not None else self._defined,
            stopped=self._stopped if by_us else None,
            fault=fault,
            cell=cell_id,
            seen=self._seen,
            rebuild=tuple(self._record.plan("rebuild", self._life[1])),
            ended=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._ledger.kernel(None, self._life[1], certificate.as_data())
        return certificate
