"""What a session must know again when its server was killed: written as it happens, read by the next server.

Cells are kept one by one: what the notebook's files held when they were last read or written is one file, cells
that changed since are entries of the journal. Long outputs stay in the files that they are in.
"""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio.to_thread
from nbformat import NotebookNode

from mcp_notebook import files
from mcp_notebook.execution import Execution
from mcp_notebook.files import remembered
from mcp_notebook.identity import ProcessId
from mcp_notebook.journal import Journal, directory_to_disk, to_disk
from mcp_notebook.notebook import Notebook
from mcp_notebook.recalled import APPENDED, Recalled
from mcp_notebook.rules import Ran
from mcp_notebook.state import JOURNAL
from mcp_notebook.syncing import Syncing


class Ledger:
    """The journal of one session. Without a directory nothing is kept: the kernels end with this server."""

    def __init__(self, directory: Path | None, notebook: Notebook, recalled: Recalled | None = None) -> None:
        self._directory = directory
        self._notebook = notebook
        self._journal = Journal(directory / JOURNAL) if directory is not None else None
        self._syncing = Syncing(self._journal) if self._journal is not None else None
        self._base = recalled.base if recalled else 0
        self._order: list[str] = [cell["id"] for cell in recalled.cells] if recalled else []
        self._changed: set[str] = set(recalled.changed) if recalled else set()
        """Cells that have an entry."""
        self._latest: dict[str, Any] = {}
        """What is not in the document and must not be missing."""
        self._held_back: dict[str, Any] | None = None
        """What waits to be written together."""
        self._is_behind = False
        """Something could not be written, and was not made good yet."""
        self._missed: dict[str, Any] = {}
        """What could not be written and is not in the document."""
        self._told: str | None = None
        self._base_failed: str | None = None
        if recalled is not None:
            self._put(recalled.renewed)

    @property
    def failed(self) -> str | None:
        """Why a crash would lose something, as far as is known."""
        if self._journal is None or self._base_failed:
            return self._base_failed
        return (self._journal.failed if self._is_behind else None) or self._journal.sync_failed

    async def keep_synced(self) -> None:
        """A task for as long as the session lives."""
        if self._syncing is not None:
            await self._syncing.work()

    def take_failure(self) -> str | None:
        """``failed``, once each time that it begins."""
        before, self._told = self._told, self.failed
        return self._told if self._told != before else None

    def facts(self, facts: Mapping[str, Any]) -> None:
        self._set({"facts": dict(facts)})

    def lease(self, token: str | None, client_name: str, agent: str | None, process: ProcessId | None) -> None:
        relay = process.as_data() if process is not None else None
        self._set({"lease": {"token": token, "client_name": client_name, "agent": agent, "process": relay}})

    def kernel(
        self,
        directory: Path | None,
        life: int,
        death: Mapping[str, Any] | None = None,
        stopped: str | None = None,
    ) -> None:
        """``death`` is its certificate; ``stopped`` says why we are about to kill it."""
        where = str(directory) if directory else None
        self._set({"kernel": {"directory": where, "life": life, "death": death, "stopped": stopped}})

    def defined(self, variables: Mapping[str, Any] | None) -> None:
        """What the kernel told of the user's variables."""
        self._set({"defined": variables})

    def lineage(self, number: int) -> None:
        self._set({"lineage": number})

    def metadata(self) -> None:
        self._put({"metadata": self._notebook.node["metadata"]})

    def cell(self, cell: NotebookNode | None) -> None:
        """A cell that was edited, added or moved; None when one was deleted."""
        self._put(self._cell_entry(cell) | self._order_entry())

    def queued(self, execution: Execution, cell: NotebookNode) -> None:
        self._put(self._cell_entry(cell) | self._order_entry(cell) | _execution_entry(execution))

    def sent(self, execution: Execution, msg_id: str, ran: Ran | None) -> None:
        """It runs in the kernel, under this message id of the request."""
        self._put(_execution_entry(execution, msg_id) | self._ran_entry(execution, ran))

    def ended(self, execution: Execution, ran: Ran | None, cell: NotebookNode | None) -> None:
        """The cell, if there still is one, shows what it gave."""
        made = {_made_key(execution, number): None for number in range(1, len(execution.made.ended) + 1)}
        self._put(_execution_entry(execution) | self._ran_entry(execution, ran) | self._cell_entry(cell) | made)

    def called(self, execution: Execution) -> None:
        """A runtime call of the running execution has ended; its cell has them all at its own end."""
        made = execution.made
        self._put({_made_key(execution, len(made.ended)): {"begun": made.begun, "call": made.ended[-1]}})

    def forgotten(self, execution_id: str) -> None:
        self._put({f"execution/{execution_id}": None})

    def run(self, run_id: str, data: Mapping[str, Any]) -> None:
        """A run of several cells, each time one of them begins."""
        self._put({f"run/{run_id}": dict(data)})

    def request(self, request_id: str, digest: str, execution_id: str) -> None:
        self._put({f"request/{request_id}": {"hash": digest, "began": execution_id, "at": time.time()}})

    async def keep_base(self, on_disk: files.OnDisk) -> None:
        """The notebook's files were read or written: this is what they hold."""
        if self._directory is None:
            return
        failed = await anyio.to_thread.run_sync(self._write_base, self._base_file(self._base + 1), on_disk)
        if failed:  # the base before, and what changed since, are still true
            self._base_failed = failed
            return
        self._base_failed = None
        self._base += 1
        known = {cell["id"]: cell for cell in on_disk.base["cells"]}
        entries: dict[str, Any] = {}
        changed = {cell["id"]: cell for cell in self._notebook.cells if known.get(cell["id"]) != cell}
        for cell_id in self._changed - set(changed):
            entries[f"cell/{cell_id}"] = None
        self._changed = set(changed)
        entries |= {f"cell/{cell_id}": cell for cell_id, cell in changed.items()}
        self._put(entries | {"base": self._base, "metadata": self._notebook.node["metadata"]} | self._order_entry())
        if not self._is_behind:  # else what the journal tells of is the base before
            self._remove_bases(but=self._base_file(self._base))

    def close(self) -> None:
        """Another server goes on with it."""
        if self._journal is not None and self._syncing is not None:
            if self._is_behind:  # there may be room again
                self._put({"base": self._base})
            self._journal.close()
            self._syncing.note()

    def remove(self) -> None:
        """The session has ended: nothing is to be found again."""
        if self._journal is not None and self._syncing is not None:
            with suppress(OSError):
                self._journal.remove()
            self._syncing.note()
            self._remove_bases()

    def _set(self, entries: Mapping[str, Any]) -> None:
        self._latest |= entries
        self._put(entries)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is told within it is written at once, at its end."""
        self._held_back = {}
        try:
            yield
        finally:
            entries, self._held_back = self._held_back, None
            self._put(entries)

    def _put(self, entries: Mapping[str, Any]) -> None:
        if self._journal is None or self._syncing is None or not entries:
            return
        if self._held_back is not None:
            self._held_back |= entries
            return
        if self._is_behind:
            entries = self._whole() | self._missed | dict(entries)
        self._is_behind = not self._journal.put(entries)
        self._missed = {key: entries[key] for key in entries if not _is_of_document(key)} if self._is_behind else {}
        self._syncing.note()

    def _whole(self) -> dict[str, Any]:
        """All of the document, since nobody knows which entries are missing."""
        cells = {cell["id"]: cell for cell in self._notebook.cells}
        self._order, self._changed = list(cells), set(cells)
        document = {"order": self._order, "metadata": self._notebook.node["metadata"], "base": self._base}
        return self._latest | {f"cell/{cell_id}": cell for cell_id, cell in cells.items()} | document

    def _cell_entry(self, cell: NotebookNode | None) -> dict[str, Any]:
        if cell is None:
            return {}
        self._changed.add(cell["id"])
        return {f"cell/{cell['id']}": cell}

    def _ran_entry(self, execution: Execution, ran: Ran | None) -> dict[str, Any]:
        entry = {f"ran/{execution.cell_id}": vars(ran)} if ran is not None else {}
        self._latest |= entry
        return entry

    def _order_entry(self, cell: NotebookNode | None = None) -> dict[str, Any]:
        """What changed, which can be where ``cell`` stands; without it, anything."""
        if cell is not None and self._stands_as_known(cell["id"]):
            return {}
        if cell is not None and self._is_appended(cell["id"]):
            self._order.append(cell["id"])
            return {f"{APPENDED}/{cell['id']}": True}
        order = [each["id"] for each in self._notebook.cells]
        if order == self._order:
            return {}
        if order[:-1] == self._order:  # so that a long notebook is not written as often as it has cells
            self._order = order
            return {f"{APPENDED}/{order[-1]}": True}
        gone = set(self._order).difference(order) & self._changed
        self._changed -= gone
        self._order = order
        return {"order": order} | {f"cell/{cell_id}": None for cell_id in gone}

    def _stands_as_known(self, cell_id: str) -> bool:
        at = self._notebook.position(cell_id)
        return len(self._order) == len(self._notebook.cells) and self._order[at] == cell_id

    def _is_appended(self, cell_id: str) -> bool:
        ids = [cell["id"] for cell in self._notebook.cells[-2:]]
        return len(self._order) + 1 == len(self._notebook.cells) and ids == [*self._order[-1:], cell_id]

    def _base_file(self, number: int) -> Path:
        assert self._directory is not None
        return self._directory / f"document-{number}.json"

    def _remove_bases(self, but: Path | None = None) -> None:
        assert self._directory is not None
        for path in self._directory.glob("document-*.json"):
            with suppress(OSError):
                if path != but:
                    path.unlink()

    def _write_base(self, path: Path, on_disk: files.OnDisk) -> str | None:
        try:
            with path.open("w", encoding="utf-8", errors="surrogatepass") as file:
                path.chmod(0o600)
                json.dump(remembered.as_data(on_disk), file, ensure_ascii=False)
                file.flush()
                to_disk(file.fileno())  # the journal will say that it is there
            directory_to_disk(path.parent)
        except OSError as exc:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            return exc.strerror
        return None


def _execution_entry(execution: Execution, msg_id: str | None = None) -> dict[str, Any]:
    data = execution.as_data()
    return {f"execution/{execution.id}": data | ({"msg_id": msg_id} if msg_id else {})}


def _made_key(execution: Execution, number: int) -> str:
    return f"made/{execution.id}/{number}"


def _is_of_document(key: str) -> bool:
    return key in ("order", "metadata", "base") or key.partition("/")[0] in ("cell", APPENDED)
