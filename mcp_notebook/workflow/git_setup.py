"""``mcp-notebook git-setup``: git learns to diff and merge notebooks by cell, and takes no outputs in.

The diff driver is nbdime's, the merge drivers are ours (``merge_driver``), the filter is nbstripout's. All are in a
file of our own that the repository's configuration includes, and in marked lines of its ``info/attributes``: what the
user has set stays, and is in force again after ``--undo``. Nothing of it is committed. The attributes stand in lines of
their own and at the end, since the last one wins, and nbstripout's installer would add its own diff driver below a file
that has none.
"""

import importlib.util
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from mcp_notebook.errors import GitFailed
from mcp_notebook.forges.git import Git
from mcp_notebook.workflow.merge_driver import CLEAN, CONFLICT
from mcp_notebook.workflow.places import ROOM, alone
from mcp_notebook.workflow.repository import Repository, find
from mcp_notebook.workflow.stripping import OUR_KEYS

NOTHING_SET = "Nothing was changed."
INCLUDED = f"{ROOM}/gitconfig"
"""Relative to the configuration that includes it, so that a repository can be moved."""
_BEGIN, _END = "# mcp-notebook git-setup: begin", "# mcp-notebook git-setup: end"
_JOINED = ", after a line that had no end"
ATTRIBUTES = f"""\
*.ipynb filter=nbstripout
*.ipynb diff=jupyternotebook
*.ipynb merge=mcp-notebook
*.py diff=mcp-notebook-text
*.py merge=mcp-notebook-text
{_END}
"""
_DRIVERS = ("nbstripout", "jupyternotebook", "mcp-notebook", "mcp-notebook-text")
_PACKAGES = ("nbdime", "nbstripout")


@dataclass(frozen=True)
class Report:
    """What was done, as sentences, and whether git does now what was wanted."""

    lines: tuple[str, ...]
    is_good: bool = True


def configuration(python: str) -> dict[str, str]:
    """What git is told, by key. Python does not look for modules in the repository, whose they would be."""
    run = f"{shlex.quote(python)} -P -m"
    by_cell = f"{run.replace('%', '%%')} mcp_notebook.workflow.merge_driver %O %A %B %P"
    by_line = "git merge-file --marker-size=%L -L ours -L base -L theirs %A %O %B"
    return {
        "filter.nbstripout.clean": f"{run} nbstripout --keep-id --extra-keys {shlex.quote(' '.join(OUR_KEYS))}",
        "filter.nbstripout.smudge": "cat",
        "filter.nbstripout.required": "true",
        "diff.jupyternotebook.command": f"{run} nbdime.vcs.git.diffdriver diff --use-filter --",
        # Above a change stands the cell that it is in, or the function, as git shows it of Python.
        "diff.mcp-notebook-text.xfuncname": r"^(# %%.*|[ \t]*(class|(async[ \t]+)?def)[ \t].*)$",
        "merge.mcp-notebook.driver": f"{by_cell}; case $? in {CLEAN}) exit 0;; {CONFLICT}) exit 1;; esac; {by_line}",
        "merge.mcp-notebook.name": "notebooks by cell",
        # Python is started for notebooks only, and its absence leaves scripts as git would merge them.
        "merge.mcp-notebook-text.driver": f"grep -q '^# %%%%' %A && {by_cell} || {by_line}",
        "merge.mcp-notebook-text.name": "percent scripts by cell, others by line",
    }


async def set_up(directory: Path, environment: Mapping[str, str]) -> Report:
    """Install the drivers and the filter for the repository around ``directory``; twice is once.

    Raises:
        GitFailed: there is no repository, a package is missing, or a file cannot be written.
    """
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise GitFailed(
            f"{' and '.join(missing)} is not installed. {NOTHING_SET} Install it: {sys.executable} -m pip install "
            "'mcp-notebook[git]'"
        )
    repository = await find(directory, environment, NOTHING_SET)
    wanted = configuration(sys.executable)
    async with alone(repository):
        before = await _attributes_before(repository)
        try:
            await _include(repository, wanted)
            await anyio.to_thread.run_sync(_add_attributes, _attributes(repository))
        except OSError as exc:
            raise GitFailed(f"{exc.filename} cannot be written ({exc.strerror}). Mend its permissions.") from exc
        return await _checked(repository, wanted, before)


async def undo(directory: Path, environment: Mapping[str, str]) -> Report:
    """Take away exactly what ``set_up`` has brought.

    Raises:
        GitFailed: there is no repository, or a file cannot be written.
    """
    repository = await find(directory, environment, NOTHING_SET)
    async with alone(repository):
        was_included = await _is_included(repository.git)
        if was_included:
            await repository.git.text("config", "--local", "--unset-all", "include.path", f"^{INCLUDED}$")
        try:
            (repository.common / INCLUDED).unlink(missing_ok=True)
            had_attributes = await anyio.to_thread.run_sync(_remove_attributes, _attributes(repository))
        except OSError as exc:
            raise GitFailed(f"{exc.filename} cannot be written ({exc.strerror}). Mend its permissions.") from exc
    if not was_included and not had_attributes:
        return Report((f"git-setup was not in force in {repository.top}: nothing to undo.",))
    return Report((f"In {repository.top} git treats notebooks as it did before git-setup.",))


async def _include(repository: Repository, wanted: Mapping[str, str]) -> None:
    file = repository.common / INCLUDED
    with _draft(file) as draft:
        for key, value in wanted.items():
            await repository.git.text("config", "--file", str(draft), key, value)
    if not await _is_included(repository.git):
        await repository.git.text("config", "--local", "--add", "include.path", INCLUDED)


async def _is_included(git: Git) -> bool:
    included = await git.maybe("config", "--local", "--get-all", "include.path")
    return INCLUDED in (included or "").splitlines()


async def _attributes_before(repository: Repository) -> list[str]:
    """What of others is in force for notebooks, and will not be."""
    seen = await repository.git.text("check-attr", "filter", "diff", "merge", "--", "any.ipynb", "any.py")
    return [line for line in seen.splitlines() if line.rpartition(": ")[2] not in ("unspecified", *_DRIVERS)]


async def _checked(repository: Repository, wanted: Mapping[str, str], before: Sequence[str]) -> Report:
    """Whether git sees it: what the user has set himself, further down, would win."""
    lines = [f"In {repository.top} git shows and merges notebooks by cell, and takes in none of their outputs."]
    if before:
        lines.append(f"In place of what other attributes say, until --undo: {'; '.join(before)}.")
    others = [key for key, value in wanted.items() if await repository.git.maybe("config", "--get", key) != value]
    if others:
        lines.append(f"But other values are in force for {', '.join(others)}: see git config --show-origin --get-all.")
    seen = await repository.git.text("check-attr", "filter", "diff", "merge", "--", "any.ipynb")
    wrong = [line for line in seen.splitlines() if line.rpartition(": ")[2] not in _DRIVERS]
    if wrong:
        lines.append(f"But git sees other attributes: {'; '.join(wrong)}.")
    is_good = not others and not wrong
    if is_good:
        lines.append("Outputs that are in git already go with the next commit: git add --renormalize '*.ipynb'.")
        lines.append("Undo it by: mcp-notebook git-setup --undo")
    return Report(tuple(lines), is_good)


def _attributes(repository: Repository) -> Path:
    return repository.common / "info" / "attributes"


def _add_attributes(path: Path) -> None:
    before = _read(path)
    kept = _without(before)
    above = f"{kept}{_BEGIN}\n" if kept.endswith("\n") or not kept else f"{kept}\n{_BEGIN}{_JOINED}\n"
    if (after := above + ATTRIBUTES) != before:
        path.parent.mkdir(exist_ok=True)
        _write(path, after)


def _remove_attributes(path: Path) -> bool:
    before = _read(path)
    after = _without(before)
    if after == before:
        return False
    if after:
        _write(path, after)
    else:
        path.unlink()
    return True


def _without(text: str) -> str:
    """The text without our lines; what the user has written around them stays."""
    above, begin, rest = text.partition(_BEGIN)
    _, end, below = rest.partition(f"{_END}\n")
    if rest.startswith(_JOINED):
        above = above.removesuffix("\n")
    return f"{above}{below}" if begin and end else text


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""


def _write(path: Path, text: str) -> None:
    with _draft(path) as draft:
        draft.write_bytes(text.encode(errors="surrogateescape"))
        draft.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)


@contextmanager
def _draft(path: Path) -> Iterator[Path]:
    """Takes the place of ``path`` once it is whole."""
    draft = path.with_name(f".{path.name}-mcp-notebook")
    draft.unlink(missing_ok=True)
    try:
        yield draft
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
