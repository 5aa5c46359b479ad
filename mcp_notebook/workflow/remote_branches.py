"""What a remote has: the commits of its branches, brought here where they are missing.

Nothing of the user's changes by it, but that git may learn of new commits on the remote's branches.
"""

from collections.abc import Sequence

from mcp_notebook.errors import GitFailed
from mcp_notebook.workflow.repository import Repository

ASK_S = 60.0
FETCH_S = 300.0
_QUIETLY = ("--quiet", "--no-tags", "--no-prune", "--no-recurse-submodules", "--no-write-fetch-head")


async def tips(repository: Repository, remote: str, branches: Sequence[str]) -> dict[str, str]:
    """The commits of those branches that the remote has, by name.

    Raises:
        GitFailed: it cannot be asked.
    """
    git = await repository.git.over_network()
    refs = {f"refs/heads/{branch}": branch for branch in branches}
    done = await git.run("ls-remote", "--quiet", "--", remote, *refs, timeout_s=ASK_S)
    if done.code:
        raise GitFailed(
            f"{remote} cannot be asked for its branches: {done.words} Check `git remote -v`, the network and the "
            "credentials that git has for it."
        )
    listed = (line.split("\t") for line in done.stdout.splitlines() if "\t" in line)
    return {refs[ref]: commit for commit, ref in listed if ref in refs}


async def bring(repository: Repository, remote: str, branch: str, commit: str) -> None:
    """Have the ``commit`` that ``branch`` is at on the remote. Raises GitFailed."""
    if await repository.commit_of(commit) is not None:
        return
    git = await repository.git.over_network()
    done = await git.run("fetch", *_QUIETLY, "--", remote, f"refs/heads/{branch}", timeout_s=FETCH_S)
    if done.code:
        raise GitFailed(f"{branch} cannot be fetched from {remote}: {done.words}")


async def parting(repository: Repository, base: str, head: str) -> str:
    """The commit from which ``head`` has left ``base``; ``base`` itself where history does not reach so far back."""
    return await repository.git.maybe("merge-base", base, head) or base
