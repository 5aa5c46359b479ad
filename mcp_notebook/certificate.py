"""The death certificate of a kernel: how it ended, what was lost with it, and what brings it back.

Pure. It says what is known and no more; ``as_data`` is what the journal keeps, so that the next server says the same.
"""

import signal as signals
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from mcp_notebook.kernels.base import Defined, Exit

NAMES_TOLD = 30
CELLS_TOLD = 10
KILLED = 9
MEANINGS = {4: "an illegal instruction", 6: "it aborted itself", 7: "a bus error", 8: "an arithmetic fault",
            11: "a memory fault in native code", 15: "it was asked to end"}  # fmt: skip
"""Of signals whose names tell a reader little."""


@dataclass(frozen=True)
class Certificate:
    """Of one death. ``str`` of it is what every call says until there is a new kernel."""

    code: int | None = None
    signal: int | None = None
    """At most one of them is known."""
    stopped: str | None = None
    """Why we ended the kernel ourselves, as the end of a sentence; None if we did not."""
    fault: str | None = None
    """A sentence without its stop that stands for all of how it ended, where that was no death of its own."""
    peak_memory_bytes: int | None = None
    oom_kills: int | None = None
    """How often the system killed a process since the kernel was started because memory ran out."""
    cell: str | None = None
    """The cell that was running."""
    seen: bool = True
    """Whether a server was there when it died."""
    names: tuple[str, ...] | None = None
    """The variables as the kernel told them last; None where it never tells."""
    names_total: int = 0
    rebuild: tuple[str, ...] = ()
    """The cells that ``rebuild`` would run, in its order."""
    ended: str = ""
    """When it was noticed, in ISO form."""

    @classmethod
    def of(cls, end: Exit, defined: Defined | None, **others: Any) -> "Certificate":
        """What is known of the process, of the variables, and the other fields."""
        return cls(
            code=end.code,
            signal=end.signal,
            peak_memory_bytes=end.peak_memory_bytes,
            oom_kills=end.oom_kills,
            names=defined.names if defined is not None else None,
            names_total=defined.total if defined is not None else 0,
            **others,
        )

    @classmethod
    def from_data(cls, data: Mapping[str, Any] | None) -> "Certificate | None":
        """What ``as_data`` gave, perhaps that of another version; None of None."""
        if data is None:
            return None
        known = {each.name for each in fields(cls)}
        given: dict[str, Any] = {name: value for name, value in data.items() if name in known}
        lists = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        return cls(**{**given, **lists})

    def as_data(self) -> dict[str, Any]:
        """The same as JSON."""
        return asdict(self)

    @property
    def cause(self) -> str:
        """How the process ended, in words."""
        if self.fault is not None:
            return self.fault
        if self.signal is not None:
            how = f"was killed by signal {self.signal} ({_named(self.signal)})"
        elif self.code is not None:
            how = f"ended with exit code {self.code}"
        else:
            how = "was killed" if self.stopped else "ended, cause unknown"
        return f"The kernel's process {how}"

    @property
    def memory(self) -> str:
        """A sentence on what is known of its memory, or nothing."""
        peak = f"Peak memory {in_mb(self.peak_memory_bytes)}" if self.peak_memory_bytes else "Peak memory unknown"
        suspicion = self._suspicion()
        return f"{peak}; {suspicion}." if suspicion else f"{peak}."

    @property
    def looks_like_oom(self) -> bool | None:
        """Whether the system may have killed it because memory ran out; None where that cannot be told."""
        unclear = self.signal is None and self.code is None
        if (self.signal != KILLED and not unclear) or self.stopped or self.fault:
            return False
        return None if self.oom_kills is None else self.oom_kills > 0

    def _suspicion(self) -> str:
        known = self.looks_like_oom
        if known is None:
            return "whether the system killed it because memory ran out cannot be told here"
        if known:
            often = "once" if self.oom_kills == 1 else f"{self.oom_kills:,} times"
            return (
                "it looks like the system's out-of-memory killer, which has struck on this machine"
                f" {often} since the kernel was started"
            )
        if self.signal == KILLED and not self.stopped:
            return "the system's out-of-memory killer has not struck since the kernel was started"
        return ""

    def __str__(self) -> str:
        return (
            f"{self.cause}{self._when()}{self.stopped or ''}; its variables are lost."
            f" {self.memory} {self._lost()} {self._next()}"
        )

    def _when(self) -> str:
        if self.seen:
            return f" while cell {self.cell} ran" if self.cell else ""
        ran = f", and cell {self.cell} was running when one was last" if self.cell else ""
        return f" while no server was there{ran}"

    def _lost(self) -> str:
        if self.names is None:
            return "Which names were defined is not known of such a kernel."
        if not self.names:
            return "No name was defined at the end of the latest cell."
        count = "1 name" if self.names_total == 1 else f"{self.names_total:,} names"
        return f"Lost: {count}, {_some(self.names[-NAMES_TOLD:], self.names_total)}."

    def _next(self) -> str:
        if not self.rebuild:
            return (
                "control_kernel(action='restart') starts an empty one; there is no cell that rebuild could run again."
            )
        count = "the cell that had succeeded" if len(self.rebuild) == 1 else (
            f"the {len(self.rebuild):,} cells that had succeeded")  # fmt: skip
        cells = _some(self.rebuild[:CELLS_TOLD], len(self.rebuild))
        return (
            f"control_kernel(action='rebuild') starts a new one and runs {count} again ({cells});"
            " action='restart' starts an empty one."
        )


def in_mb(size: int) -> str:
    """Of 1,000,000 bytes."""
    return f"{max(1, round(size / 1e6)):,} MB"


def _named(number: int) -> str:
    try:
        name = signals.Signals(number).name
    except ValueError:
        name = "of no common name"
    return f"{name}, {MEANINGS[number]}" if number in MEANINGS else name


def _some(names: Sequence[str], total: int) -> str:
    more = total - len(names)
    return ", ".join(names) + (f" and {more:,} more" if more > 0 else "")
