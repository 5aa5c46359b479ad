"""A notebook is committed: both halves of its pair first say the same, the text being the source of truth.

What a tool and a command have in common; how a commit is made is in commit.py.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

import anyio.to_thread

from mcp_notebook import files
from mcp_notebook.errors import CommitRefused
from mcp_notebook.options import Saved
from mcp_notebook.workflow.commit import Committed, Wanted, commit
from mcp_notebook.workflow.repository import NOTHING_DONE, check
from mcp_notebook.workflow.screening import FindSecrets

Save = Callable[[], Awaitable[Saved]]
"""Writes a live notebook into its files."""


async def commit_notebook(
    pair: files.Pair,
    message: str,
    *,
    environment: Mapping[str, str],
    find_secrets: FindSecrets,
    branch: str | None = None,
    push: bool = True,
    save: Save | None = None,
) -> Committed:
    """Write the notebook (by ``save``, if it is live; else its .ipynb is made of its text), commit it and push.

    Raises:
        CommitRefused: nothing was committed; where a merge or the like is in progress, nothing was written either.
        GitFailed, FileRefused, SaveFailed
    """
    if save is None and not any(path.exists() for path in pair.paths):
        raise CommitRefused(f"There is no {pair.name}. {NOTHING_DONE} Save the notebook first, or name another one.")
    await check(pair.paths, environment)
    notes = (await save()).notes if save is not None else await regenerate(pair)
    paths = [path for path in pair.paths if path.exists()]
    wanted = Wanted(paths, message, branch=branch, push=push)
    done = await commit(wanted, environment=environment, find_secrets=find_secrets)
    return replace(done, notes=(*notes, *done.notes))


async def regenerate(pair: files.Pair) -> tuple[str, ...]:
    """Write the half of the pair that is behind; returns what is to be said of it. A text is never reformatted.

    Raises:
        FileRefused, SaveFailed: it is as it was.
    """
    if pair.text is None:  # there is nothing that it could be made of
        return ()
    on_disk = await anyio.to_thread.run_sync(files.read, pair)
    written = await anyio.to_thread.run_sync(partial(files.write, pair, on_disk.notebook, on_disk))
    return tuple(dict.fromkeys((*on_disk.notes, *written.notes)))
