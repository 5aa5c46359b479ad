"""``mcp-notebook ci-setup``: workflows by which a forge's CI runs the notebooks that a pull request changes.

The first line of a file that we write has the digest of the rest. So a file that somebody has changed is known, and is
left as it is; one of an earlier version of ours is renewed.
"""

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import anyio.to_thread

from mcp_notebook import __version__
from mcp_notebook.errors import FileRefused, GitFailed, SaveFailed
from mcp_notebook.files import disk
from mcp_notebook.workflow.git_setup import NOTHING_SET, Report
from mcp_notebook.workflow.repository import find

WORKFLOWS = {
    # Gitea and Forgejo keep artifacts by the third version of the protocol; GitHub takes none of that any more.
    ".gitea/workflows/notebook-ci.yml": "actions/upload-artifact@v3",
    ".github/workflows/notebook-ci.yml": "actions/upload-artifact@v4",
}
PACKAGE = f"mcp-notebook[papermill]=={__version__}"
_FIRST = "# Written by `mcp-notebook ci-setup`, which renews it unless somebody has changed it: sha256 {}\n"
_OURS = re.compile(re.escape(_FIRST).replace(re.escape("{}"), "([0-9a-f]{64})").encode())


@dataclass(frozen=True)
class _Done:
    line: str
    is_good: bool = True


async def set_up(directory: Path, environment: Mapping[str, str]) -> Report:
    """Write the workflows into the repository around ``directory``; twice is once.

    Raises:
        GitFailed: there is no repository, or a file cannot be written.
    """
    repository = await find(directory, environment, NOTHING_SET)
    done = [
        await anyio.to_thread.run_sync(_set, repository.top, name, workflow(upload))
        for name, upload in WORKFLOWS.items()
    ]
    lines = [each.line for each in done]
    if all(each.is_good for each in done):
        lines.append(f"Commit them: git add {' '.join(WORKFLOWS)} && git commit -m 'Run notebooks in CI'")
    return Report(tuple(lines), all(each.is_good for each in done))


def workflow(upload: str) -> str:
    """The whole file; ``upload`` is the action that keeps artifacts."""
    template = resources.files("mcp_notebook").joinpath("data/notebook-ci.yml").read_text()
    text = template.replace("@PACKAGE@", PACKAGE).replace("@UPLOAD@", upload)
    return _FIRST.format(hashlib.sha256(text.encode()).hexdigest()) + text


def _set(top: Path, name: str, text: str) -> _Done:
    try:
        path = disk.target(top / name, Path(os.path.realpath(top)))
        before = disk.contents(path)
        if before == text.encode():
            return _Done(f"{name} is there already.")
        ours = before is None or _is_ours(before)
        if not ours or not disk.replace({path: text.encode()}, expected={path: disk.digest(before)}):
            return _Done(f"{name} was left as it is, since somebody has changed it. Remove it to have it anew.", False)
    except (FileRefused, SaveFailed, OSError) as exc:
        raise GitFailed(f"{name} was not written: {exc} Mend its permissions, or what is in its place.") from exc
    return _Done(f"Wrote {name}." if before is None else f"Renewed {name}.")


def _is_ours(data: bytes) -> bool:
    found = _OURS.match(data)
    return found is not None and found[1].decode() == hashlib.sha256(data[found.end() :]).hexdigest()
