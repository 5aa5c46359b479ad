"""What was committed to branches that are not checked out, so that a commit takes back nobody's work.

The files on disk follow the branch that is checked out. What somebody else has done to them on another branch is not
in them, and would be undone by committing them there.
"""

import json
from collections.abc import Mapping

import anyio.to_thread

from mcp_notebook.errors import CommitRefused
from mcp_notebook.workflow import entries
from mcp_notebook.workflow.entries import Entries
from mcp_notebook.workflow.places import ROOM
from mcp_notebook.workflow.repository import NOTHING_DONE, Repository

_FILE = "committed.json"


async def refuse_to_revert(repository: Repository, branch: str, wanted: Entries, there: Entries) -> None:
    """Raises CommitRefused if the branch has changes of these files that the ones on disk cannot know."""
    git = repository.git
    base = await git.maybe("merge-base", "HEAD", f"refs/heads/{branch}")
    names = tuple(wanted)
    common = await entries.in_tree(git, base, names) if base else dict.fromkeys(names)
    ours = _remembered(repository).get(branch, {})
    foreign = [
        name
        for name in names
        if there[name] not in (common[name], wanted[name]) and _blob(there, name) != ours.get(name)
    ]
    if foreign:
        raise CommitRefused(
            f"{branch} has changes of {', '.join(foreign)} that are not in the files here, and would be lost. "
            f"{NOTHING_DONE} Check it out (git switch {branch}) or merge it into this branch, look at the notebook, "
            "and commit again."
        )


async def remember(repository: Repository, branch: str, made: Entries) -> None:
    """That these are the files as we commit them there."""
    await anyio.to_thread.run_sync(_write, repository, branch, made)


def _write(repository: Repository, branch: str, made: Entries) -> None:
    known = _remembered(repository)
    known[branch] = {**known.get(branch, {}), **{name: blob for name in made if (blob := _blob(made, name))}}
    draft = repository.common / ROOM / f".{_FILE}"
    draft.write_text(json.dumps(known))
    draft.replace(draft.with_name(_FILE))


def _remembered(repository: Repository) -> dict[str, dict[str, str]]:
    try:
        found = json.loads((repository.common / ROOM / _FILE).read_text())
    except (OSError, ValueError):
        return {}
    return {branch: dict(blobs) for branch, blobs in found.items()} if isinstance(found, dict) else {}


def _blob(found: Mapping[str, entries.Entry | None], name: str) -> str | None:
    entry = found[name]
    return entry.blob if entry else None
