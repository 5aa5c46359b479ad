"""What was committed to branches that are not checked out, so that a commit takes back nobody's work.

The files on disk follow the branch that is checked out. What somebody else has done to them on another branch is not
in them, and would be undone by committing them there.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import anyio.to_thread

from mcp_notebook.errors import CommitRefused
from mcp_notebook.workflow import entries
from mcp_notebook.workflow.entries import Entries
from mcp_notebook.workflow.places import ROOM
from mcp_notebook.workflow.repository import NOTHING_DONE, Repository

_FILE = "committed.json"
_MOST_VERSIONS = 20
_MOST_BRANCHES = 200


async def refuse_to_revert(repository: Repository, branch: str, wanted: Entries, there: Entries) -> None:
    """Raises CommitRefused if the branch has changes of these files that the ones on disk cannot know."""
    git = repository.git
    base = await git.maybe("merge-base", "HEAD", f"refs/heads/{branch}")
    names = tuple(wanted)
    common = await entries.in_tree(git, base, names) if base else dict.fromkeys(names)
    ours = _remembered(repository.common / ROOM / _FILE).get(branch, {})
    foreign = [
        name
        for name in names
        if there[name] not in (common[name], wanted[name]) and _blob(there, name) not in ours.get(name, ())
    ]
    if foreign:
        raise CommitRefused(
            f"{branch} has changes of {', '.join(foreign)} that are not in the files here, and would be lost. "
            f"{NOTHING_DONE} Check it out (git switch {branch}) or merge it into this branch, look at the notebook, "
            "and commit again."
        )


async def remember(repository: Repository, branch: str, made: Entries) -> None:
    """That these are the files as we commit them there, or try to.

    Raises:
        CommitRefused: it cannot be written down.
    """
    file = repository.common / ROOM / _FILE
    try:
        await anyio.to_thread.run_sync(_write, file, branch, made)
    except OSError as exc:
        raise CommitRefused(f"{file} cannot be written ({exc.strerror}). {NOTHING_DONE} Make room there.") from exc


def _write(path: Path, branch: str, made: Entries) -> None:
    known = _remembered(path)
    blobs = known.pop(branch, {})
    for name in made:
        if (blob := _blob(made, name)) is not None:
            blobs[name] = [*blobs.get(name, ()), blob][-_MOST_VERSIONS:]
    latest = [*known.items(), (branch, blobs)][-_MOST_BRANCHES:]
    draft = path.with_name(f".{path.name}")
    draft.write_text(json.dumps(dict(latest)))
    draft.replace(path)


def _remembered(path: Path) -> dict[str, dict[str, list[str]]]:
    try:
        found = json.loads(path.read_text())
        return {branch: {name: list(blobs) for name, blobs in of.items()} for branch, of in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _blob(found: Mapping[str, entries.Entry | None], name: str) -> str | None:
    entry = found[name]
    return entry.blob if entry else None
