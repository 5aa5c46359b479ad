"""The notebook of a session and its file: taken in when it changes on disk, saved without clobbering."""

import copy
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.to_thread
from nbformat import NotebookNode

from mcp_notebook import files
from mcp_notebook.files.merge import Merged, merge, recognise
from mcp_notebook.masking import Masking
from mcp_notebook.nodes import snapshot
from mcp_notebook.notebook import Notebook


class Document:
    """A live notebook; ``on_disk`` is what was last read or written, None for one without a file.

    ``check_free`` raises FileRefused for a pair that another live notebook has; ``keep`` is told what the files hold
    whenever that is new.
    """

    def __init__(
        self,
        workspace: Path,
        default_path: str,
        on_disk: files.OnDisk | None,
        check_free: Callable[[files.Pair], None],
        keep: Callable[[files.OnDisk], Awaitable[None]],
        masking: Masking,
        directory: Path | None = None,
    ) -> None:
        self.workspace = workspace
        opened_in = directory or (on_disk.pair.paths[0].parent if on_disk else workspace)
        self.directory = opened_in if opened_in.is_dir() else workspace
        """Where its kernels run, whatever it is saved as later: beside the file it was opened from, if nowhere else."""
        self._check_free = check_free
        self._keep = keep
        self._masking = masking
        self._saving: files.Pair | None = None
        self.notebook = Notebook(on_disk.notebook if on_disk else None)
        self._default_path = default_path
        self.on_disk = on_disk
        self._lock = anyio.Lock()

    @property
    def path(self) -> Path | None:
        """The file: the text of a pair, else the .ipynb; None before the first save."""
        return None if self.on_disk is None else self.on_disk.pair.text or self.on_disk.pair.ipynb

    @property
    def pairs(self) -> list[files.Pair]:
        """Its files, and where it is being saved."""
        return [each for each in (self._saving, self.on_disk and self.on_disk.pair) if each]

    @property
    def has_unsaved(self) -> bool:
        """Whether a cell says, or shows, what no file does."""
        return self.on_disk is None or self.on_disk.base["cells"] != self.notebook.cells

    def has(self, pair: files.Pair) -> bool:
        """Whether this is the notebook of one of the files, or is being saved there."""
        return any(path in each.paths for each in self.pairs for path in pair.paths)

    def shares_ipynb(self, pair: files.Pair) -> bool:
        """Whether it has the .ipynb of the pair, beside another text."""
        return any(
            each.ipynb == pair.ipynb is not None and None not in (each.text, pair.text) and each.text != pair.text
            for each in self.pairs
        )

    async def refresh(self, before: Callable[[], object]) -> tuple[str, ...]:
        """Merge in what changed on disk, after calling ``before``; returns what is to be said of it.

        Raises:
            FileRefused: what is on disk now cannot be read as a notebook; the live one is unchanged.
        """
        async with self._lock:
            if self.on_disk is None or not await anyio.to_thread.run_sync(files.changed, self.on_disk):
                return ()
            before()
            ours = snapshot(self.notebook.node)
            theirs, merged = await anyio.to_thread.run_sync(_merged_with_disk, self.on_disk, ours, self._masking)
            self._take(ours, merged.notebook)
            self.on_disk = theirs
            await self._keep(theirs)
            return (*theirs.notes, *merged.notes)

    async def mask(self) -> list[NotebookNode]:
        """Mask outputs that a file had, or that came before a secret was known; returns the cells that had one.

        What was read is masked as well, so that masking is no change that was made here.
        """
        base = self.on_disk.base["cells"] if self.on_disk is not None else []
        await anyio.to_thread.run_sync(self._masking.cells, base)
        return await anyio.to_thread.run_sync(self._masking.cells, list(self.notebook.cells))

    async def save(self, path: str | None, before: Callable[[], object]) -> tuple[tuple[Path, ...], tuple[str, ...]]:
        """Write the pair, after calling ``before``; returns the files and what is to be said.

        What changed on disk since is merged, and what was edited here during the writing is kept.

        Raises:
            FileRefused, SaveFailed: what was on disk is still there.
        """
        async with self._lock:
            pair, base = await anyio.to_thread.run_sync(self._target, path)
            self._check_free(pair)
            self._saving = pair
            try:
                before()
                ours = snapshot(self.notebook.node)
                on_disk = await anyio.to_thread.run_sync(files.write, pair, ours, base)
            finally:
                self._saving = None
            if on_disk.notes:
                self._take(ours, on_disk.notebook)
            self.on_disk = on_disk
            await self._keep(on_disk)
        return tuple(place for place in (pair.text, pair.ipynb) if place), on_disk.notes

    def _take(self, ours: NotebookNode, merged: NotebookNode) -> None:
        """What came of merging ``ours``, and what was edited here meanwhile."""
        if self.notebook.node != ours:
            merged = merge(ours, self.notebook.node, merged).notebook
        self.notebook.node = merged

    def _target(self, path: str | None) -> tuple[files.Pair, files.OnDisk | None]:
        if path is None and self.on_disk is not None:
            return self.on_disk.pair, self.on_disk
        pair = files.locate(path, self.workspace) if path is not None else self._free_pair()
        same = self.on_disk is not None and pair == self.on_disk.pair
        return pair, self.on_disk if same else None

    def _free_pair(self) -> files.Pair:
        """Where a notebook without a path goes: a name that yesterday's has not taken."""
        numbered = (f"{self._default_path}-{number}" for number in itertools.count(2))
        names = itertools.chain([self._default_path], numbered)
        pairs = (files.locate(name, self.workspace) for name in names)
        return next(pair for pair in pairs if not any(place.exists() for place in pair.paths))


def _merged_with_disk(base: files.OnDisk, ours: NotebookNode, masking: Masking) -> tuple[files.OnDisk, Merged]:
    theirs = files.read(base.pair, base)
    masking.cells(theirs.base["cells"])
    recognise(theirs.base.cells, base.base.cells)
    return theirs, merge(base.base, ours, copy.deepcopy(theirs.base))
