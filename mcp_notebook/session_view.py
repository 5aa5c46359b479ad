"""What a session tells of itself; ``Session`` is this and what can be done with it."""

from pathlib import Path
from typing import Any

from mcp_notebook import files
from mcp_notebook.document import Document
from mcp_notebook.execution import Execution
from mcp_notebook.kernels.base import KernelInfo
from mcp_notebook.ledger import Ledger
from mcp_notebook.life import KernelLife, State
from mcp_notebook.notebook import Notebook
from mcp_notebook.record import Record


class SessionView:
    """The attributes are set by ``Session``."""

    handle: str
    name: str
    workspace: Path
    started: str
    root: Path
    """The workspace of whoever opened it, which ``workspace`` lies in."""
    principal: str
    """Whose it is."""
    outlives_server: bool
    """Whether its server is a process that commands reach, and of which there may be a next one."""
    is_run: bool
    """See ``SessionOptions``."""
    client_name: str
    """Of the client that used it last."""
    agent: str | None
    """The name of the agent that used it last, where it has one."""
    _document: Document
    _life: KernelLife
    _record: Record
    _ledger: Ledger
    _notes: list[str]
    _last_used: float

    @property
    def notebook(self) -> Notebook:
        return self._document.notebook

    @property
    def path(self) -> Path | None:
        """The notebook's file: the text of a pair, else the .ipynb; None before the first save."""
        return self._document.path

    def has(self, pair: files.Pair) -> bool:
        """Whether its notebook is one of these files."""
        return self._document.has(pair)

    def shares_ipynb(self, pair: files.Pair) -> bool:
        """Whether its notebook has the .ipynb of the pair, beside another text."""
        return self._document.shares_ipynb(pair)

    @property
    def has_unsaved(self) -> bool:
        """Whether cells or outputs of it are in no file."""
        return self._document.has_unsaved

    @property
    def state(self) -> State:
        return self._life.state

    @property
    def has_had_kernel(self) -> bool:
        """A session that starts one is given it again; a new one may be refused its first."""
        return self._life.number > 0

    @property
    def death(self) -> str | None:
        """How the kernel died and what to do, until it is started again."""
        return self._life.death

    @property
    def cause_of_death(self) -> str | None:
        """Of ``death`` what is in our own words alone: no names of the user's."""
        return self._life.certificate.cause if self._life.certificate is not None else None

    @property
    def kernel_info(self) -> KernelInfo | None:
        return self._life.info

    @property
    def masked(self) -> list[str]:
        """The names of the variables whose values its outputs do not show."""
        return self._record.masking.names

    @property
    def pending(self) -> list[Execution]:
        """What has not finished, in the order it runs."""
        return self._life.pending

    @property
    def last_used(self) -> float:
        """When something last happened in it, in seconds since the epoch."""
        return self._last_used

    def say(self, note: str) -> None:
        """With the next answer."""
        self._notes.append(note)

    def take_notes(self) -> list[str]:
        """What is to be said once with the next answer."""
        notes, self._notes = self._notes, []
        if why := self._ledger.take_failure():
            notes.append(
                f"The state directory cannot be written ({why}). All goes on, but if the server is killed now, what"
                " happened since is lost: make room, and call save_notebook."
            )
        return notes

    def stale(self) -> dict[str, str]:
        """The ids of cells whose outputs may not be what their source gives now, and why."""
        return self._record.stale(self._life.number)

    def marks(self) -> dict[str, str]:
        """What is to be said of cells, by id: that it runs or waits to run, else that it is ``stale: ...``."""
        marks = {cell_id: f"stale: {why}" for cell_id, why in self.stale().items()}
        return marks | {execution.cell_id: execution.status for execution in self.pending}

    def show_running(self) -> Execution | None:
        """Put what the running execution has given so far into its cell; returns it."""
        running = self._life.running
        if running is not None:
            self._record.show(running)
        return running

    def as_data(self) -> dict[str, Any]:
        """The whole notebook, for code in its cells."""
        self.show_running()
        path = str(self.path) if self.path is not None else None
        where = {"session": self.handle, "path": path, "workspace": str(self.workspace)}
        return where | {"notebook": self.notebook.node}

    def status(self) -> dict[str, Any]:
        """The session and its kernel, as data."""
        info, certificate = self.kernel_info, self._life.certificate
        return {
            "session": self.handle,
            "name": self.name,
            "state": self.state,
            "path": str(self.path) if self.path else None,
            "workspace": str(self.workspace),
            "started": self.started,
            "cells": len(self.notebook.cells),
            "pending": [execution.id for execution in self.pending],
            "death": self.death,
            **({"certificate": certificate.as_data()} if certificate else {}),
            **({"kernel": info.as_data()} if info else {}),
        }
