"""What a server finds of a session that an earlier one had: its journal, read, as the session needs it."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from nbformat.notebooknode import from_dict

from mcp_notebook import files
from mcp_notebook.files import remembered
from mcp_notebook.journal import read
from mcp_notebook.rules import Ran
from mcp_notebook.state import JOURNAL
from mcp_notebook.versions import UnreadableJournal, renewed

APPENDED = "appended"
"""Of the order of the cells: one behind all others, those of the entry before included."""
NO_KERNEL = {"directory": None, "life": 0, "death": None}


@dataclass(frozen=True)
class Recalled:
    """A session as its journal tells it."""

    facts: dict[str, Any]
    """What it was made with."""
    kernel: dict[str, Any]
    """``directory`` of the kernel's files or None, ``life``, and ``death`` or None, and so ``stopped``."""
    lease: dict[str, Any]
    """Who used it last: ``token``, ``client_name``, ``agent`` and ``process``."""
    on_disk: files.OnDisk | None
    cells: list[NotebookNode]
    metadata: NotebookNode
    executions: dict[str, dict[str, Any]]
    ran: dict[str, Ran]
    made: dict[str, dict[str, Any]]
    """The runtime calls of executions that have not ended."""
    requests: dict[str, dict[str, Any]]
    runs: dict[str, dict[str, Any]]
    lineage: int = 1
    base: int = 0
    defined: dict[str, Any] | None = None
    """The user's variables in the kernel, as it told them last."""
    changed: frozenset[str] = field(default_factory=frozenset)
    """The ids of cells that are not as in the base."""
    renewed: dict[str, Any] = field(default_factory=dict)
    """What brings a journal of an earlier version up to this one."""
    damaged: int = 0
    """Lines of the journal that say nothing."""


def has_journal(directory: Path) -> bool:
    """Whether a session that has not ended left this directory."""
    return (directory / JOURNAL).exists()


def recall(directory: Path) -> Recalled | None:
    """What a session's directory tells; None when its session had not begun. Blocks.

    Raises:
        OSError, UnreadableJournal: also for what is no journal.
    """
    journal = read(directory / JOURNAL)
    renewal = renewed(journal.entries)
    found = {key: value for key, value in (journal.entries | renewal).items() if value is not None}
    if "facts" not in found:
        if journal.damaged or found.keys() - {"version"}:
            raise UnreadableJournal("its journal does not say whose it is: the beginning is damaged.")
        return None
    number, on_disk = int(found.get("base", 0)), None
    if number:
        text = (directory / f"document-{number}.json").read_text(encoding="utf-8", errors="surrogatepass")
        on_disk = remembered.from_data(json.loads(text))
    cells = {cell["id"]: cell for cell in (on_disk.notebook["cells"] if on_disk else ())}
    changed = {key: _node(value) for key, value in _under("cell", found)}
    cells |= changed
    metadata = found.get("metadata", on_disk.notebook["metadata"] if on_disk else {})
    return Recalled(
        facts=found["facts"],
        kernel=found.get("kernel", NO_KERNEL),
        lease=found.get("lease", {"token": None, "client_name": "", "agent": None}),
        on_disk=on_disk,
        cells=[cells[cell_id] for cell_id in _order(found) if cell_id in cells],
        metadata=_node(metadata),
        executions=dict(sorted(_under("execution", found), key=lambda item: int(item[1]["place"] or 1 << 40))),
        made=_made(found),
        ran={key: Ran(**_known(Ran, value)) for key, value in _under("ran", found)},
        requests=dict(_under("request", found)),
        runs=dict(_under("run", found)),
        lineage=int(found.get("lineage", 1)),
        base=number,
        defined=found.get("defined"),
        changed=frozenset(changed),
        renewed=renewal,
        damaged=journal.damaged,
    )


def damage(lines: int) -> str:
    """What is to be said of a journal with so many lines that say nothing."""
    which = "1 line of this session's journal is" if lines == 1 else f"{lines} lines of this session's journal are"
    return (
        f"{which} damaged, as a crash of the machine leaves it: cells may be missing here, or be as they were before."
        " Look at read_notebook before you save."
    )


def recall_kernel(directory: Path) -> dict[str, Any]:
    """Of all that ``recall`` gives, what concerns the kernel. Blocks; raises OSError."""
    kernel: dict[str, Any] = read(directory / JOURNAL).entries.get("kernel", NO_KERNEL)
    return kernel


def _made(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for key, told in _under("made", found):
        execution_id = key.partition("/")[0]
        calls = made.setdefault(execution_id, {"execution": execution_id, "begun": 0, "ended": []})
        calls["begun"] = max(calls["begun"], told["begun"])
        calls["ended"].append(told["call"])
    return made


def _known(kind: type, told: Mapping[str, Any]) -> dict[str, Any]:
    """Without what a later server told beyond that."""
    names = {each.name for each in fields(kind)}
    return {name: value for name, value in told.items() if name in names}


def _order(found: Mapping[str, Any]) -> list[str]:
    """The ids of all cells; the keys of ``found`` are in the order in which they were set."""
    order: dict[str, None] = {}  # an appended cell may be in the order already that was written with it
    for key, value in found.items():
        if key == "order":
            order = dict.fromkeys(value)
        elif key.startswith(f"{APPENDED}/"):
            order.setdefault(key.partition("/")[2])
    return list(order)


def _under(prefix: str, found: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((key.partition("/")[2], value) for key, value in found.items() if key.startswith(f"{prefix}/"))


def _node(value: Any) -> NotebookNode:
    node: NotebookNode = from_dict(value)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    return node
