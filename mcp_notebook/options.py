"""What a session is made with, and what saving it gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from mcp_notebook import files
from mcp_notebook.masking import Masking
from mcp_notebook.policy import Policy

LOCAL = "local"
"""The principal that is the user of this process, as whoever comes without one is."""

RUN_SPILL_CHARS = 100_000_000
"""An executed copy has its outputs whole."""

OnChange = Callable[[str, str | None], None]
"""Called with the session's handle and the id of the cell that changed, None for the whole notebook."""


@dataclass(frozen=True)
class Saved:
    """Where a notebook was written, and what its reader must know."""

    paths: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """A session that is to be made in ``place``: of a file, of a notebook that is to be executed, or of nothing."""

    place: Path
    pair: files.Pair | None = None
    name: str | None = None
    kernel: str | None = None
    notebook: NotebookNode | None = None
    directory_of_kernels: Path | None = None

    def options(self) -> dict[str, Any]:
        """Those of ``SessionOptions`` that follow from it alone."""
        chosen = {"kernel_name": self.kernel, "directory_of_kernels": self.directory_of_kernels}
        return chosen if self.notebook is None else {**chosen, "is_run": True, "spill_over_chars": RUN_SPILL_CHARS}


@dataclass(frozen=True)
class SessionOptions:
    """See ``Settings`` for the limits."""

    handle: str
    name: str
    workspace: Path
    directory: Path
    """Its own in the state directory: long outputs, the kernels' log files, the journal."""
    spill_over_chars: int
    output_limit_bytes: int
    queue_limit: int = 1000
    memory_mb: int | None = None
    root: Path | None = None
    """The workspace of whoever opened it, which ``workspace`` lies in."""
    principal: str = LOCAL
    """Whose it is."""
    kernel_name: str | None = None
    directory_of_kernels: Path | None = None
    """Where its kernels run; beside its file, if None."""
    is_run: bool = False
    """Whether a notebook is executed in it from its first cell to its last: then it asks nobody, and no call means it
    without naming it."""
    started: str = ""
    """When it was opened, in ISO form; now, if empty."""
    outlives_server: bool = False
    """Whether kernel and session go on when this server ends."""
    on_change: OnChange = field(default=lambda _handle, _cell_id: None)
    policy: Policy = field(default_factory=Policy)
    client_environment: Callable[[], Mapping[str, str]] = field(default=dict)
    """The whole environment of the client that uses it."""
    masking: Masking = field(default_factory=Masking)
    """What is masked in its outputs."""
    check_free: Callable[[files.Pair], None] = field(default=lambda _pair: None)
    """Raises FileRefused for files that another session has."""

    def facts(self) -> dict[str, Any]:
        """What another server needs to make it again, as JSON."""
        return {
            "handle": self.handle,
            "name": self.name,
            "workspace": str(self.workspace),
            "root": str(self.root or self.workspace),
            "principal": self.principal,
            "kernel_name": self.kernel_name,
            "started": self.started,
            **({"is_run": True} if self.is_run else {}),
        }

    def of(self, facts: Mapping[str, Any]) -> "SessionOptions":
        """These options for the session that ``facts`` tells of."""
        return replace(
            self,
            handle=str(facts["handle"]),
            name=str(facts["name"]),
            workspace=Path(str(facts["workspace"])),
            root=Path(str(facts["root"])),
            principal=str(facts["principal"]),
            kernel_name=facts["kernel_name"],
            started=str(facts["started"]),
            is_run=bool(facts.get("is_run")),
        )
