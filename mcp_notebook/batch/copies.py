"""The executed copy of a notebook, as a run writes it: papermill's metadata, and saves that cost a run little.

papermill rewrites the whole file around each cell, which takes longer than most cells do. Here a change is only marked
while a run goes on, and ``kept_saved`` writes it in a worker thread. Every write is whole or not at all.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from nbformat import NotebookNode
from papermill.engines import NotebookExecutionManager
from papermill.iorw import LocalHandler, papermill_io, write_ipynb

from mcp_notebook.errors import SaveFailed
from mcp_notebook.execution import Execution
from mcp_notebook.files import disk, ipynb
from mcp_notebook.terminal import plain

SAVE_EVERY_S = 0.4
"""With the time that a write takes this stays below a second."""
SAVE_ELSEWHERE_EVERY_S = 5.0
"""Where a write is a request to some service."""
MOST_OF_THE_TIME = 0.5
"""Spent on writing: a file that takes long to write is written less often."""
IDLE = "iopub.status.idle"
IDLE_WITHIN_S = 0.5
LOOK_EVERY_S = 0.002
LINE_CHARS = 40


class ExecutedCopy(NotebookExecutionManager):  # type: ignore[misc]  # papermill is not annotated
    """papermill's own bookkeeping of cells, with other saves."""

    def __init__(
        self,
        nb: NotebookNode,
        output_path: str | Path | None,
        *,
        progress_bar: bool | dict[str, Any] = False,
        log_output: bool = False,
    ) -> None:
        """``output_path`` is relative to the current directory, or whatever papermill can write to.

        None: nowhere. Nor into a device or a pipe while the run goes on: a reader wants one whole notebook.
        """
        super().__init__(nb, progress_bar=progress_bar, log_output=log_output)
        self.output_path = _absolute(output_path)
        self.listeners: list[Callable[[int, NotebookNode], None]] = []
        """Called with a cell and its position when it begins, and when it has ended."""
        self.failed: SaveFailed | None = None
        """Why the latest write failed, while a run goes on; the last one raises it."""
        self._open: list[tuple[NotebookNode, Execution]] = []
        """Cells whose kernel has not said that they are done, and what gives their outputs: the running one last."""
        self._begun: list[tuple[NotebookNode, Execution]] = []
        """All cells that began: a thread may print long after its cell has ended."""
        self._is_dirty = self._is_kept = False

    def save(self, **kwargs: Any) -> None:
        """Write it, or while ``kept_saved`` leave that to others. Raises SaveFailed."""
        self._is_dirty = True
        if not self._is_kept:
            self.write(self.nb)
            self._is_dirty, self.failed = False, None
        self.last_save_time = self.now()

    def autosave_cell(self, **kwargs: Any) -> None:
        """What the running cell has printed is saved as often as all else."""

    def cell_start(self, cell: NotebookNode, cell_index: int | None = None, **kwargs: Any) -> None:
        """As papermill's; the progress bar names the cell."""
        if self.pbar:
            self.pbar.set_description_str(title_of(cell), refresh=False)
        super().cell_start(cell, cell_index, **kwargs)
        self._tell(cell, cell_index)

    def cell_complete(self, cell: NotebookNode, cell_index: int | None = None, **kwargs: Any) -> None:
        """As papermill's, with all that has come of the cell."""
        self._show()
        super().cell_complete(cell, cell_index, **kwargs)
        self._tell(cell, cell_index)

    def notebook_complete(self, **kwargs: Any) -> None:
        """As papermill's, but cells that never began stay pending, and the run is then marked as one with an exception.

        papermill takes it that nobody told of them: where no kernel started, all would be marked as completed.
        """
        about = self.nb.metadata["papermill"]
        self.end_time = self.now()
        about["end_time"] = self.end_time.isoformat()
        about["duration"] = (self.end_time - self.start_time).total_seconds()
        if any(cell["metadata"]["papermill"]["status"] == self.PENDING for cell in self.nb.cells):
            about["exception"] = True
        self.cleanup_pbar()
        self.save()

    def cell_takes(self, cell: NotebookNode, execution: Execution) -> None:
        """From now on ``cell`` has what ``execution`` gives, which may be running."""
        self._open.append((cell, execution))
        self._begun.append((cell, execution))
        self._show()

    def cell_changed(self) -> None:
        """What runs has given more: the next write has it."""
        self._is_dirty = True

    async def cells_have_all(self) -> None:
        """Return when the kernel has said of every cell that it is done, which it does after its reply."""
        with anyio.move_on_after(IDLE_WITHIN_S):
            while self._open:
                self._show()
                await anyio.sleep(LOOK_EVERY_S)
        self._open.clear()
        self._show_late()
        self._begun.clear()
        self._is_dirty = True

    @asynccontextmanager
    async def kept_saved(self) -> AsyncIterator[None]:
        """While it lasts, the file is never much older than ``SAVE_EVERY_S``; who called it saves at the end."""
        self._is_kept = True
        failed: Exception | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_saved)
                try:
                    yield
                except Exception as exc:  # out of the group, which would wrap it
                    failed = exc
                finally:
                    tasks.cancel_scope.cancel()
        finally:
            self._is_kept = False
        if failed is not None:
            raise failed

    async def _keep_saved(self) -> None:
        every = pause = SAVE_EVERY_S if isinstance(self.output_path, Path) else SAVE_ELSEWHERE_EVERY_S
        while True:
            await anyio.sleep(pause)
            if self.pbar:
                self.pbar.refresh()
            self._show_late()
            if self._is_dirty:
                began = anyio.current_time()
                await self.write_now()
                took = anyio.current_time() - began
                pause = max(every, took / MOST_OF_THE_TIME - took)

    async def write_now(self) -> None:
        """Write it in a worker thread; a failure is kept in ``failed``."""
        self._is_dirty, self.failed = False, None
        try:
            await anyio.to_thread.run_sync(self.write, _snapshot(self.nb))
        except SaveFailed as exc:
            self._is_dirty, self.failed = True, exc
        except Exception as exc:  # whatever papermill's handlers for other places raise
            self._is_dirty, self.failed = True, SaveFailed(f"{self.output_path} could not be written: {exc}")

    def write(self, notebook: NotebookNode) -> None:
        """Write ``notebook`` as the copy. Raises SaveFailed; what was there before is still there then."""
        write_whole(notebook, self.output_path)

    def _tell(self, cell: NotebookNode, index: int | None) -> None:
        for listener in self.listeners:
            listener(index or 0, cell)

    def _show(self) -> None:
        for cell, execution in self._open:
            self._show_one(cell, execution)
        self._open = [(cell, each) for cell, each in self._open if not (each.finished and IDLE in each.timings)]

    def _show_late(self) -> None:
        for cell, execution in self._begun:
            outputs = execution.outputs
            if outputs != cell["outputs"]:
                cell["outputs"], self._is_dirty = outputs, True

    def _show_one(self, cell: NotebookNode, execution: Execution) -> None:
        cell["outputs"], cell["execution_count"] = execution.outputs, execution.execution_count
        cell["metadata"]["execution"] = ipynb.node(execution.timings)
        if execution.made.ended:
            cell["metadata"]["mcp_notebook"] = ipynb.node({"calls": execution.made.ended})


def _snapshot(notebook: NotebookNode) -> NotebookNode:
    """A copy that is cheap, for it holds up everybody: what a run changes in it later, it replaces."""
    taken = NotebookNode(notebook)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    taken["metadata"] = deepcopy(notebook["metadata"])
    taken["cells"] = [
        NotebookNode(cell, metadata=NotebookNode(cell["metadata"]))  # type: ignore[no-untyped-call]  # as above
        for cell in notebook["cells"]
    ]
    return taken


def write_whole(notebook: NotebookNode, path: str | Path | None) -> None:
    """Write a notebook to ``path``, at once and whole where that is a regular file. Raises SaveFailed."""
    if not isinstance(path, Path):
        if path is not None:
            write_ipynb(notebook, path)
        return
    data, _ = ipynb.compose(notebook, path)
    if not disk.is_special(path):
        disk.replace({disk.target(path, None): data}, expected={})
        return
    try:
        path.write_bytes(data)
    except OSError as exc:
        raise SaveFailed(f"{path} could not be written: {exc.strerror}. Name another file.") from exc


def title_of(cell: NotebookNode) -> str:
    """The first line of a cell that says something, without what would steer a terminal."""
    lines = (plain(line).strip().lstrip("# ") for line in cell["source"].splitlines())
    return next((line[:LINE_CHARS] for line in lines if line), "")


def _absolute(path: str | Path | None) -> str | Path | None:
    """A file's path for good: papermill changes the directory for a run. What is elsewhere is its handler's."""
    if path is None or isinstance(path, Path):
        return None if path is None or disk.is_special(path) else path.absolute()
    handler = papermill_io.get_handler(path)
    if not isinstance(handler, LocalHandler):
        return path
    base = handler.cwd(None)
    handler.cwd(base)
    return _absolute(Path(base or os.getcwd()) / path)  # noqa: PTH109 - what papermill itself asks
