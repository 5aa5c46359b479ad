"""Entries of git's index: read, set and taken back, without a look at the files they are of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import anyio

from mcp_notebook.errors import GitFailed
from mcp_notebook.forges.git import Git

_EMPTY_BLOBS = ("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391",
                "473a0f4c3be8a93681a267e3b1e9a7dcda1185436fe141f7749120a303721813")  # fmt: skip
"""In SHA-1 and SHA-256: what `git add --intent-to-add` writes."""
_TRIES = 50
_BETWEEN_TRIES_S = 0.1


@dataclass(frozen=True)
class Entry:
    """What a file is in an index or a tree."""

    mode: str
    blob: str

    @property
    def is_file(self) -> bool:
        """Not so links and submodules."""
        return self.mode.startswith("100")


Entries = dict[str, Entry | None]
"""By name; None where there is none."""


async def in_index(git: Git, names: Sequence[str]) -> Entries:
    """What the index has of these files."""
    listed = await git.text("--literal-pathspecs", "ls-files", "--stage", "-z", "--", *names)
    found: Entries = dict.fromkeys(names)
    for line in filter(None, listed.split("\0")):
        about, _, name = line.partition("\t")
        mode, blob, _ = about.split()
        if name in found:
            found[name] = Entry(mode, blob)
    return found


async def in_tree(git: Git, tree: str, names: Sequence[str]) -> Entries:
    """What a commit has of these files."""
    listed = await git.text("--literal-pathspecs", "ls-tree", "-r", "-z", "--full-tree", tree, "--", *names)
    found: Entries = dict.fromkeys(names)
    for line in filter(None, listed.split("\0")):
        about, _, name = line.partition("\t")
        mode, _, blob = about.split()
        if name in found:
            found[name] = Entry(mode, blob)
    return found


def is_untouched(staged: Entry | None, before: Entry | None) -> bool:
    """Whether the user has staged nothing: the index has what the commit before has."""
    return staged == before or (before is None and staged is not None and staged.blob in _EMPTY_BLOBS)


async def put(git: Git, entries: Mapping[str, Entry | None]) -> None:
    """Set these entries; another git that has the index locked is waited for.

    Raises:
        GitFailed: the index cannot be changed, or stays locked.
    """
    if not entries:
        return
    lines = "".join(f"{entry.mode} {entry.blob}\t{name}\0" for name, entry in entries.items() if entry)
    gone = "".join(f"{name}\0" for name, entry in entries.items() if entry is None)
    for how, names in (("--index-info", lines), ("--stdin", gone)):
        if names:
            options = ("--add",) if names is lines else ("--force-remove",)
            await _update(git, (*options, "-z", how), names.encode(errors="surrogateescape"))


async def _update(git: Git, options: tuple[str, ...], stdin: bytes) -> None:
    for _ in range(_TRIES):
        done = await git.run("update-index", *options, stdin=stdin)
        if done.code == 0:
            return
        if ".lock" not in done.words:
            break
        await anyio.sleep(_BETWEEN_TRIES_S)
    raise GitFailed(
        f"git's index cannot be changed: {done.words} If no other git is at work here, remove that lock file."
    )
