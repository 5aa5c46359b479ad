"""Runs of notebooks as jobs of the server: each in a session of its own, waited for, stopped, gone on with.

A job is one run, or several of the same notebook one after the other with other parameters. The kernel of a run that
failed stays alive for a look; that of one that ended well is ended.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from mcp_notebook.batch.results import Result
from mcp_notebook.leases import Connection
from mcp_notebook.session import Session

if TYPE_CHECKING:
    from mcp_notebook.batch.copies import ExecutedCopy
    from mcp_notebook.batch.preparing import Source

STOP_WITHIN_S = 20.0
JOB = "n-"
"""Begins the id of a job."""


@dataclass(frozen=True)
class Order:
    """What is to be run, and how."""

    path: str
    """As it was named."""
    source: "Source"
    workspace: Path
    connection: Connection
    verify: bool = False
    timeout_s: float | None = None
    """For each cell."""
    patterns: Sequence[tuple[str, str]] = ()
    """What is not compared, by ``verify``."""


@dataclass
class OneRun:
    """One set of parameters. Changed only by the task that runs it."""

    parameters: Mapping[str, Any]
    output_path: Path | None = None
    """None until there is a copy."""
    is_placed: bool = False
    """Whether its place was chosen for it."""
    session: Session | None = None
    """While it runs, and after it failed."""
    copy: "ExecutedCopy | None" = None
    start: int = 0
    """The position of the first cell that is run."""
    result: Result | None = None
    refused: str = ""
    """Why it could not be run at all."""
    notes: list[str] = field(default_factory=list)
    is_recalled: bool = False
    """Whether an earlier server has begun it."""

    @property
    def is_good(self) -> bool:
        """Whether it ended well."""
        return self.result is not None and self.result.is_good

    @property
    def ended(self) -> bool:
        """Whether nothing more comes of it."""
        return self.result is not None or bool(self.refused)

    @property
    def has_variables(self) -> bool:
        """Whether there is a kernel with what the cells above the failure gave."""
        return self.session is not None and self.session.state not in ("dead", "shutdown", "starting")

    @property
    def progress(self) -> str:
        """How far it is: cells done, the current one, and what that printed last."""
        if self.copy is None:
            return "preparing"
        cells = self.copy.nb["cells"]
        done = sum(cell["metadata"].get("papermill", {}).get("status") == "completed" for cell in cells)
        running = self.session.pending[:1] if self.session is not None else []
        told = [f"{done} of {len(cells)} cells done"]
        for execution in running:
            position = next((at for at, cell in enumerate(cells) if cell["id"] == execution.cell_id), None)
            told.append(f"#{position} runs: {execution.latest_line}".removesuffix(": "))
        return ", ".join(told)


class Job:
    """See the module; made and performed by ``NotebookRuns``."""

    def __init__(self, order: Order, runs: Sequence[OneRun], *, is_sweep: bool) -> None:
        self.id = f"{JOB}{secrets.token_hex(4)}"
        self.order = order
        self.runs = list(runs)
        self.is_sweep = is_sweep
        self.created = time.time()
        """In seconds since the epoch."""
        self._finished_at: float | None = None
        self.stopping = False
        """Whether somebody has asked it to stop."""
        self.request: tuple[str, str] | None = None
        """The id of the request that began it, and the digest of what that asked for."""
        self.resumed_by: str | None = None
        """The job that has gone on from where this one failed."""
        self._changed = anyio.Event()

    @property
    def finished(self) -> bool:
        """Whether nothing more comes of it."""
        return self._finished_at is not None

    @property
    def updated(self) -> float:
        """When it changed last, in seconds since the epoch; of one that goes on, now."""
        return self._finished_at or time.time()

    def finish(self) -> None:
        """Nothing more comes of it."""
        self._finished_at = self._finished_at or time.time()

    @property
    def latest_line(self) -> str:
        """How far it is."""
        ended = sum(run.ended for run in self.runs)
        current = next((run.progress for run in self.runs if not run.ended), "")
        return f"{ended} of {len(self.runs)} runs done; {current}" if self.is_sweep else current

    async def wait(self, timeout_s: float) -> bool:
        """Whether it has finished before the time is up."""
        with anyio.move_on_after(timeout_s):
            while not self.finished:
                await self._changed.wait()
        return self.finished

    async def stop(self) -> None:
        """Interrupt the running cell and begin no other; returns when all is written, or the cell cannot be stopped."""
        self.stopping = True
        for run in self.runs:
            if run.session is not None and not run.ended:
                for execution in run.session.pending:
                    await run.session.cancel(execution)
        await self.wait(STOP_WITHIN_S)

    def tell(self) -> None:
        """Let those look who wait for it."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()
