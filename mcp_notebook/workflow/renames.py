"""What a file was called in an earlier commit: git finds it by its content."""

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from mcp_notebook.workflow.repository import Repository


async def earlier_name(repository: Repository, name: str, commit: str) -> str | None:
    """Of the file ``name`` in the work tree, which git may not know yet; None if git finds no such file."""
    with tempfile.TemporaryDirectory() as room:  # for an index that the user does not see
        index = Path(room, "index")
        with suppress(FileNotFoundError):
            shutil.copyfile(repository.directory / "index", index)
        git = repository.git.having(GIT_INDEX_FILE=str(index))
        await git.run("--literal-pathspecs", "add", "--intent-to-add", "--force", "--", name)
        options = ("--name-status", "-z", "--diff-filter=R", "--find-renames=40%", "--no-ext-diff")
        done = await git.run("diff", *options, commit, "--")
    fields = done.stdout.split("\0") if done.code == 0 else []
    # Each rename is three fields: R and how similar, the old name, the new one.
    return dict(zip(fields[2::3], fields[1::3], strict=False)).get(name)
