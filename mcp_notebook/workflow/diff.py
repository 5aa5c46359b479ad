"""A notebook's file compared cell by cell: with a revision of git, or with another file.

Both halves of a pair are read on either side, so that .py and .ipynb are compared alike and cells keep their ids.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread
from nbformat import NotebookNode

from mcp_notebook import files
from mcp_notebook.errors import FileRefused, NotebookError
from mcp_notebook.files import Pair
from mcp_notebook.workflow.changes import Changes, changes
from mcp_notebook.workflow.diff_text import diff_text, summary
from mcp_notebook.workflow.renames import earlier_name
from mcp_notebook.workflow.repository import Repository, find

MOST_BYTES = 50_000_000
"""Of a file in git."""
_LEFT_CHARS = 200
"""For the positions of cells that are not shown whole."""
Mask = Callable[[Sequence[NotebookNode]], object]
"""Masks secrets in the outputs of cells, in place."""


@dataclass(frozen=True)
class Side:
    """One of the two notebooks; ``notes`` are sentences on how it was found."""

    label: str
    notebook: NotebookNode
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Diff:
    """What differs between two sides."""

    old: Side
    new: Side
    changes: Changes

    @property
    def differs(self) -> bool:
        """Whether anything does."""
        return bool(self.changes.cells or self.changes.metadata)

    def text(self, chars: int | None = None, size: int | None = None, rest: str = "") -> str:
        """All of it, or what fits into ``chars`` and ``size`` bytes; ``rest`` then says how to see the other cells."""
        first = f"{self.old.label} -> {self.new.label}. {summary(self.changes)}"
        head = "\n".join([first, *self.old.notes, *self.new.notes])
        room = None if chars is None else chars - len(head) - len(rest) - _LEFT_CHARS
        body, left = diff_text(self.changes, room, size)
        parts = [head, *([body] if body else [])]
        if left:
            places = _ranges([change.is_at for change in left if change.is_at is not None])
            parts.append(f"\nOf {len(left)} cells not all is shown. {rest.format(cells=places)}")
        return "\n".join(parts)


def _ranges(positions: Sequence[int]) -> str:
    """``3-7,9``, as many as fit."""
    ranges: list[list[int]] = []
    for position in positions:
        if ranges and position == ranges[-1][1] + 1:
            ranges[-1][1] = position
        else:
            ranges.append([position, position])
    text = ",".join(str(a) if a == b else f"{a}-{b}" for a, b in ranges)
    return text if len(text) <= _LEFT_CHARS else text[:_LEFT_CHARS].rpartition(",")[0]


async def compare(
    path: str, against: str, workspace: Path, environment: Mapping[str, str], mask: Mask = lambda _: None
) -> Diff:
    """The file ``path`` of the workspace as it is, compared with ``against``: a revision, or another notebook file.

    ``environment`` is that of whoever asks: git gets it.

    Raises:
        FileRefused: there is no such file, or it is no notebook.
        GitFailed: git cannot say it, or nbdime is not installed.
    """
    pair = await anyio.to_thread.run_sync(files.locate, path, workspace)
    other = await anyio.to_thread.run_sync(_other_file, against, workspace)
    if other is not None:
        old = await anyio.to_thread.run_sync(_on_disk, other, against)
        new = await anyio.to_thread.run_sync(_on_disk, pair, path)
        return await _compared(old, new, mask)
    repository = await _repository(pair, path, against, environment)
    old = await _earlier(repository, pair, path, against)
    is_there = any(place.exists() for place in pair.paths)
    new = await anyio.to_thread.run_sync(_on_disk, pair, path) if is_there else _deleted(path)
    if not is_there and not old.notebook.cells:
        raise FileRefused(f"There is no {pair.name} in {workspace}, nor in {against}.")
    return await _compared(old, new, mask)


async def at_revision(repository: Repository, pair: Pair, revision: str) -> NotebookNode | None:
    """The pair's notebook as a commit has it; None if it has none of its files.

    Raises:
        FileRefused: what is there is no notebook, or too large.
        GitFailed
    """
    names = {place: _name_in(repository, place) for place in pair.paths}
    contents = {place: await _blob(repository, revision, name) for place, name in names.items()}
    if all(data is None for data in contents.values()):
        return None
    return await anyio.to_thread.run_sync(partial(files.read_contents, pair, contents, f"{revision[:8]}:"))


async def compared(old: Side, new: Side) -> Diff:
    """Two notebooks, however they were got."""
    return await _compared(old, new, lambda _: None)


async def _compared(old: Side, new: Side, mask: Mask) -> Diff:
    def work() -> Diff:
        for side in (old, new):
            mask(side.notebook.cells)
        return Diff(old, new, changes(old.notebook, new.notebook))

    return await anyio.to_thread.run_sync(work)


def _other_file(against: str, workspace: Path) -> Pair | None:
    """The notebook that ``against`` names, if there is one: with its suffix, since branches have names without."""
    if not Path(against).suffix:
        return None
    try:
        pair = files.locate(against, workspace)
    except NotebookError:
        return None
    return pair if any(place.exists() for place in pair.paths) else None


def _on_disk(pair: Pair, path: str) -> Side:
    if not any(place.exists() for place in pair.paths):
        raise FileRefused(f"There is no {pair.name} in {pair.workspace}. Name a notebook that is there.")
    found = files.read(pair)
    return Side(path, found.notebook, found.notes)


def _deleted(path: str) -> Side:
    return Side(path, files.empty(), (f"{path} is not on the disk any more.",))


async def _repository(pair: Pair, path: str, against: str, environment: Mapping[str, str]) -> Repository:
    directory = next((place for place in pair.paths[0].parents if place.is_dir()), pair.paths[0].parent)
    consequence = f"So {path} cannot be compared with {against!r}: name another notebook file as `against`."
    return await find(directory, environment, consequence)


async def _earlier(repository: Repository, pair: Pair, path: str, against: str) -> Side:
    commit = await _commit(repository, against)
    if commit is None:
        return Side(against, files.empty(), ("There is no commit yet: all of it is new.",))
    label = f"{against} ({commit[:8]})" if not commit.startswith(against) else commit[:8]
    found = await at_revision(repository, pair, commit)
    if found is not None:
        return Side(label, found)
    text = pair.paths[0]
    renamed = await earlier_name(repository, _name_in(repository, text), commit)
    if renamed is not None:
        before = await anyio.to_thread.run_sync(_pair_like, repository.top / renamed, pair)
        found = await at_revision(repository, before, commit)
        if found is not None:
            return Side(label, found, (f"There it is called {renamed}.",))
    return Side(label, files.empty(), (f"{path} is not in {against}: all of it is new.",))


async def _commit(repository: Repository, against: str) -> str | None:
    """Of a revision; None where there is no commit at all. Raises FileRefused."""
    if against.strip() and not against.startswith("-") and against.isprintable():
        if commit := await repository.commit_of(against):
            return commit
        if against == "HEAD":
            return None
    raise FileRefused(
        f"{against!r} is neither a revision of the repository {repository.top} nor a notebook file of the workspace. "
        "Name a commit, a branch or a tag, such as HEAD~1 or origin/main, or a file with its suffix."
    )


def _pair_like(text: Path, pair: Pair) -> Pair:
    """The pair that had another name."""
    ipynb = None if pair.text is None or pair.ipynb is None else text.with_suffix(".ipynb")
    return Pair(text if pair.text is None else ipynb, None if pair.text is None else text, pair.fmt, pair.workspace)


def _name_in(repository: Repository, path: Path) -> str:
    try:
        return path.relative_to(repository.top.resolve()).as_posix()
    except ValueError:
        raise FileRefused(f"{path} is outside of the repository {repository.top}.") from None


async def _blob(repository: Repository, revision: str, name: str) -> bytes | None:
    """A file of a commit as a checkout would write it; None if there is none."""
    place = f"{revision}:{name}"
    size = await repository.git.maybe("cat-file", "-s", place)
    if size is None:
        return None
    if int(size) > MOST_BYTES:
        raise FileRefused(f"{name} in {revision[:8]} has {int(size):,} bytes, too many to be compared.")
    done = await repository.git.run("cat-file", "--filters", place)
    if done.code:
        raise FileRefused(f"{name} cannot be read in {revision[:8]}: {done.words}")
    return done.stdout.encode(errors="surrogateescape")
