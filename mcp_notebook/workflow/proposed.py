"""The notebooks that a branch changes, as they were and as they are, from git's objects alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio.to_thread
from nbformat import NotebookNode

from mcp_notebook.errors import FileRefused
from mcp_notebook.files import halves, ipynb, texts
from mcp_notebook.forges.git import Git
from mcp_notebook.workflow.repository import Repository

MOST_NOTEBOOKS = 20
MOST_FILES = 400
"""That are looked into: most texts that a branch changes are no notebooks."""
MOST_BYTES = 20_000_000
"""Of a file that is looked into."""
_MOST_BYTES_OF_ALL = 50_000_000

Contents = Mapping[str, bytes]
"""By ``COMMIT:NAME``."""


@dataclass(frozen=True)
class ProposedNotebook:
    """One notebook; None where the branch adds or removes it."""

    name: str
    """Of its text, else of its .ipynb, in the repository."""
    before: NotebookNode | None
    after: NotebookNode | None


async def proposed_notebooks(repository: Repository, base: str, head: str) -> tuple[list[ProposedNotebook], bool]:
    """Those that differ between two commits, and whether there may be more.

    Raises:
        GitFailed: git cannot compare them.
    """
    listed = await repository.git.text("diff-tree", "-r", "-z", "--name-only", "--no-renames", base, head)
    stems: dict[str, set[str]] = {}
    for name in filter(None, listed.split("\0")):
        suffix = Path(name).suffix
        if "\n" not in name and (suffix == ".ipynb" or suffix in texts.suffixes()):
            stems.setdefault(name.removesuffix(suffix), set()).add(name)
    likely = sorted(stems, key=lambda stem: (f"{stem}.ipynb" not in stems[stem], stem))[:MOST_FILES]
    candidates = {stem: (*sorted(stems[stem] - {f"{stem}.ipynb"}), f"{stem}.ipynb") for stem in likely}
    wanted = [f"{commit}:{name}" for names in candidates.values() for name in names for commit in (base, head)]
    contents = await _contents(repository.git, wanted)
    found = await anyio.to_thread.run_sync(partial(_notebooks, candidates.values(), base, head, contents))
    return found[:MOST_NOTEBOOKS], len(found) > MOST_NOTEBOOKS or len(stems) > MOST_FILES


def _notebooks(candidates: Iterable[Sequence[str]], base: str, head: str, contents: Contents) -> list[ProposedNotebook]:
    found = []
    for names in candidates:
        before, after = (_at({name: contents.get(f"{commit}:{name}") for name in names}) for commit in (base, head))
        name = (after or before or ("",))[0]
        if name:
            found.append(ProposedNotebook(name, before and before[1], after and after[1]))
    return sorted(found, key=lambda each: each.name)


def _at(contents: Mapping[str, bytes | None]) -> tuple[str, NotebookNode] | None:
    """The notebook that these files are, the .ipynb being the last, and what it is called; None if they are none."""
    *text_names, ipynb_name = contents
    try:
        data = contents[ipynb_name]
        known = ipynb.parse(data, Path(ipynb_name)).notebook if data is not None else None
        for name in text_names:
            content = contents[name]
            fmt = texts.format_of(content.decode(errors="replace"), Path(name)) if content else None
            if content is not None and fmt is not None:
                return name, halves.join(content, known or ipynb.empty(), Path(name), fmt).notebook
    except FileRefused:  # it cannot be read, which is not for a pull request's text to mend
        return None
    return None if known is None else (ipynb_name, known)


async def _contents(git: Git, wanted: Sequence[str]) -> dict[str, bytes]:
    """Of those that are there and not too large."""
    asked = "".join(f"{each}\n" for each in wanted).encode(errors="surrogateescape")
    sizes = (await git.text("cat-file", "--batch-check=%(objectsize)", stdin=asked)).split("\n") if wanted else []
    chosen = []
    left = _MOST_BYTES_OF_ALL
    for each, size in zip(wanted, sizes, strict=True):
        if size.isdigit() and int(size) <= min(MOST_BYTES, left):
            chosen.append(each)
            left -= int(size)
    if not chosen:
        return {}
    asked = "".join(f"{each}\n" for each in chosen).encode(errors="surrogateescape")
    shown = await git.text("cat-file", "--batch=%(objectsize)", stdin=asked)
    return _split(chosen, shown.encode(errors="surrogateescape"))


def _split(names: Sequence[str], data: bytes) -> dict[str, bytes]:
    """git writes a line with the size before each, and a line end behind it."""
    found = {}
    at = 0
    for name in names:
        end = data.index(b"\n", at)
        size = int(data[at:end])
        found[name] = data[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found
