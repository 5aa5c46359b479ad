"""The tool notebook_commit: a notebook's files go into git as they belong there."""

from dataclasses import replace
from typing import Annotated

import anyio.to_thread
from pydantic import Field

from mcp_notebook import files
from mcp_notebook.session import Session
from mcp_notebook.tools.tool import Call, SessionHandle
from mcp_notebook.tools.waiting import with_progress
from mcp_notebook.tools.workplace import workplace
from mcp_notebook.workflow.commit import Committed
from mcp_notebook.workflow.notebooks import commit_notebook


async def notebook_commit(
    call: Call,
    path: Annotated[str, Field(description="The notebook, relative to the workspace: its .py or its .ipynb.")],
    message: Annotated[str, Field(description="The commit message: what changed, and why.")],
    branch: Annotated[
        str | None,
        Field(description="Commit to this branch, made if it is new; default is the one that is checked out."),
    ] = None,
    session: SessionHandle = None,
) -> str:
    """Commit a notebook to git and push its branch.

    A notebook that your session has open is saved first; else the .ipynb is made anew from its .py. Both files are
    committed, the .ipynb without outputs, counts and times; on disk it keeps them. Nothing else is committed: the
    user's index, other changes and the branch that is checked out stay as they are. With `branch` nothing is
    checked out either; a new one begins at the remote's of that name, else at HEAD.

    The user's own git does it: hooks run, and the push uses the user's credentials. Refused, with nothing
    committed: a secret in what would be committed (the answer names the place; read it from os.environ instead),
    a merge or rebase in progress, a detached HEAD without `branch`, a branch whose notebook somebody else has
    changed, a hook that fails. A push that fails keeps the commit, and the answer says what to do; calling again
    with the same arguments pushes it.

    Returns the commit, its files, and whether it was pushed. Next: notebook_pr(branch=..., title=...,
    description=...) proposes the branch.
    """
    return await with_progress(call, "committing", lambda: _committed(call, path, message, branch, session))


async def _committed(call: Call, path: str, message: str, branch: str | None, handle: str | None) -> str:
    place = await workplace(call, handle)
    pair = await anyio.to_thread.run_sync(files.locate, path, place.workspace)
    mine, others = _open_in(call, pair, place.session)
    with place.secrets.in_errors():  # a hook may have printed anything
        done = await commit_notebook(
            pair,
            message,
            environment=place.environment,
            find_secrets=place.secrets.spans,
            branch=branch,
            save=mine.save if mine is not None else None,
        )
    if others is not None:
        note = f"{pair.name} is open in the session {others.handle}: what that has not saved is not in the commit."
        done = replace(done, notes=(*done.notes, note))
    return place.masking.text(_answer(done))


def _open_in(call: Call, pair: files.Pair, session: Session | None) -> tuple[Session | None, Session | None]:
    """The caller's own session that has the notebook open, or another one of the same principal."""
    having = next((each for each in call.sessions.usable_by(call.connection) if each.has(pair)), None)
    if having is None:
        return None, None
    is_mine = having is session or having in call.sessions.of(call.connection)
    return (having, None) if is_mine else (None, having)


def _answer(done: Committed) -> str:
    if not done.is_pushed:
        return done.summary
    return f'{done.summary}\nNext: notebook_pr(branch="{done.branch}", title=..., description=...)'
