"""Executed copies, with their outputs, are kept on a branch of their own at the remote, for people to look at.

The branch ``reports/BRANCH`` has nothing else. It is made of git's objects and pushed: no branch, index or file of the
user's knows of it.
"""

from collections.abc import Mapping

from mcp_notebook.errors import GitFailed
from mcp_notebook.workflow import entries, places, pushing
from mcp_notebook.workflow.entries import Entry
from mcp_notebook.workflow.remote_branches import bring, tips
from mcp_notebook.workflow.repository import Repository, refuse_nobody


def reports_of(branch: str) -> str:
    """The name of the branch that has the executed copies of another one."""
    return f"reports/{branch}"


async def publish(repository: Repository, remote: str, branch: str, copies: Mapping[str, bytes]) -> str:
    """Put the copies, by their names there, onto the branch's reports; returns the commit that has them.

    Raises:
        GitFailed: they are not there.
    """
    await refuse_nobody(repository.git)
    reports = reports_of(branch)
    async with places.alone(repository):
        tip = (await tips(repository, remote, (reports,))).get(reports)
        if tip is not None:
            await bring(repository, remote, reports, tip)
        commit = await _made(repository, branch, tip, copies)
        if commit == tip:
            return commit
        problem = await pushing.push_commit(repository, remote, commit, reports)
    if problem is not None:
        raise GitFailed(problem)
    return commit


async def _made(repository: Repository, branch: str, tip: str | None, copies: Mapping[str, bytes]) -> str:
    with places.temporary(repository) as room:
        git = repository.git.having(GIT_INDEX_FILE=str(room / "index"))
        await git.text("read-tree", *((tip,) if tip else ("--empty",)))
        added: entries.Entries = {}
        for name, data in copies.items():
            # No filters: the one of git-setup would take the outputs out.
            blob = await git.text("hash-object", "-w", "--no-filters", "--stdin", stdin=data)
            added[name] = Entry("100644", blob)
        await entries.put(git, added)
        tree = await git.text("write-tree")
        if tip is not None and tree == await git.text("rev-parse", f"{tip}^{{tree}}"):
            return tip
        message = f"Executed copies of notebooks on {branch}\n".encode()
        return await git.text("commit-tree", tree, *(("-p", tip) if tip else ()), stdin=message)
