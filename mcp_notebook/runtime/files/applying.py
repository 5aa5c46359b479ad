"""A patch applied: every operation is tried on what the files hold first, and only then done.

What is done is done file by file: should the disk say no in between, the answer says how far it came.
"""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp_notebook.errors import BadRequest, FileRefused
from mcp_notebook.runtime.files import diffs, lint, replacing, texts, writing
from mcp_notebook.runtime.files.patches import Hunk, Operation
from mcp_notebook.runtime.files.places import Place, Workspace, reason, status
from mcp_notebook.runtime.files.storing import store

NOT_TRIED = "Patch validation failed (no files were modified):\n"
NOT_DONE = "Apply phase failed (state may be inconsistent — run `git diff` to assess):\n"
NO_CHANGES = "Patch contains no changes (only context lines were provided)"


@dataclass
class Outcome:
    """What became of the files, by the names that the patch has."""

    modified: list[str] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    diffs: list[str] = field(default_factory=list)
    lint: dict[str, dict[str, Any]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def answer(self, touched: list[Path]) -> dict[str, Any]:
        """The answer of ``patch``; ``touched`` are all files that the patch names."""
        told: dict[str, Any] = {
            "diff": "\n".join(self.diffs),
            "files_modified": self.modified if self.errors else [str(path) for path in touched],
            "files_created": self.created,
            "files_deleted": self.deleted,
            "lint": {name: self.lint[name] for name in [*self.modified, *self.created]},
        }
        told = {"success": not self.errors} | {key: value for key, value in told.items() if value}
        if self.errors:
            return told | {"error": NOT_DONE + _listed(self.errors)}
        return told | ({"resolved_path": str(touched[0])} if len(touched) == 1 else {})


def apply(operations: list[Operation], workspace: Workspace) -> dict[str, Any]:
    """Do what the patch says, or nothing if any of it cannot be done.

    Raises:
        FileRefused: a path is outside the workspace.
        BadRequest: what the patch wants changed is not there.
    """
    places = [[_located(each, path, workspace) for path in each.paths] for each in operations]
    errors = [error for each, at in zip(operations, places, strict=True) for error in _trial(each, at)]
    if not errors and not any(each.kind != "update" or any(h.changes for h in each.hunks) for each in operations):
        errors = [NO_CHANGES]
    if errors:
        raise BadRequest(NOT_TRIED + _listed(errors))
    outcome = Outcome()
    for each, at in zip(operations, places, strict=True):
        doing, action = _ACTIONS[each.kind]
        try:
            action(each, at, outcome)
        except (BadRequest, FileRefused) as exc:
            outcome.errors.append(f"Failed to {doing} {each.path}: {exc}")
        except OSError as exc:
            outcome.errors.append(f"Failed to {doing} {each.path}: {reason(exc)}")
    return outcome.answer([place.path for at in places for place in at])


def _listed(errors: list[str]) -> str:
    return "\n".join(f"  • {error}" for error in errors)


def _located(operation: Operation, path: str, workspace: Workspace) -> Place:
    # A symlink is removed or moved itself; a change goes to what it leads to.
    return workspace.locate(path, follow=operation.kind in ("add", "update"))


def _trial(operation: Operation, places: list[Place]) -> list[str]:
    """Why it cannot be done."""
    path = operation.path
    if operation.kind == "update":
        return _trial_of_update(operation, places[0])
    if operation.kind == "delete" and not _is_file(places[0]):
        return [f"{path}: file not found for deletion"]
    if operation.kind == "move":
        missing = [] if _is_file(places[0]) else [f"{path}: source file not found for move"]
        taken = f"{operation.target}: destination already exists — move would overwrite"
        return [*missing, taken] if _exists(places[1]) else missing
    return []


def _trial_of_update(operation: Operation, place: Place) -> list[str]:
    try:
        text = texts.load(place).text
    except FileNotFoundError:
        return [f"{operation.path}: File not found: {operation.path}"]
    except FileRefused as exc:
        return [f"{operation.path}: {exc}"]
    except OSError as exc:
        return [f"{operation.path}: Failed to read file: {reason(exc)}"]
    errors = []
    for number, hunk in enumerate(operation.hunks, start=1):
        try:
            text = _changed(text, hunk)
        except BadRequest as exc:
            if not hunk.signed(" -"):
                errors.append(f"{operation.path}: {exc}")
                continue
            label = f"'{hunk.hint}'" if hunk.hint else "(no hint)"
            errors.append(f"{operation.path}: hunk {number} {label} not found — {exc}")
    return errors


def _changed(text: str, hunk: Hunk) -> str:
    """The text with the hunk's change.

    Raises:
        BadRequest: there is no such place, or more than one.
    """
    if not hunk.changes:
        return text
    if old := hunk.signed(" -"):
        return replacing.replace(text, "\n".join(old), "\n".join(hunk.signed(" +")))
    added = "\n".join(hunk.signed("+"))
    newline = texts.newline_of(text) or "\n"
    if hunk.hint is None:
        return text.rstrip("\r\n") + texts.with_newlines(f"\n{added}\n", newline)
    count = text.count(hunk.hint)
    if count == 0:
        raise BadRequest(f"addition-only hunk context hint '{hunk.hint}' not found")
    if count > 1:
        raise BadRequest(f"addition-only hunk context hint '{hunk.hint}' is ambiguous ({count} occurrences)")
    end = text.find("\n", text.index(hunk.hint)) + 1
    if not end:
        return text + texts.with_newlines(f"\n{added}", newline)
    return text[:end] + texts.with_newlines(f"{added}\n", newline) + text[end:]


def _is_file(place: Place) -> bool:
    try:
        mode = status(place).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


def _exists(place: Place) -> bool:
    try:
        status(place)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def _add(operation: Operation, places: list[Place], outcome: Outcome) -> None:
    lines = [line for hunk in operation.hunks for line in hunk.signed("+")]
    stored = store(places[0], operation.path, "\n".join(lines))
    outcome.created.append(operation.path)
    outcome.lint[operation.path] = stored.lint()
    outcome.diffs.append(f"--- /dev/null\n+++ b/{operation.path}\n" + "\n".join(f"+{line}" for line in lines))


def _update(operation: Operation, places: list[Place], outcome: Outcome) -> None:
    before = texts.load(places[0])
    after = before.text
    for hunk in operation.hunks:
        after = _changed(after, hunk)
    stored = store(places[0], operation.path, after, before)
    outcome.modified.append(operation.path)
    outcome.lint[operation.path] = stored.lint()
    outcome.diffs.append(diffs.diff(before.text, after, operation.path))


def _delete(operation: Operation, places: list[Place], outcome: Outcome) -> None:
    path = operation.path
    try:
        before = texts.load(places[0]).text
    except (FileRefused, OSError):  # too long to show, or a symlink
        before = ""
    writing.remove(places[0])
    outcome.deleted.append(path)
    outcome.diffs.append(diffs.between(before, "", f"a/{path}", "/dev/null") or f"# Deleted: {path}")


def _move(operation: Operation, places: list[Place], outcome: Outcome) -> None:
    if _exists(places[1]):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    writing.move(*places)
    name = f"{operation.path} -> {operation.target}"
    outcome.modified.append(name)
    outcome.lint[name] = _lint_of_moved(name, places[1])
    outcome.diffs.append(f"# Moved: {name}")


def _lint_of_moved(name: str, place: Place) -> dict[str, Any]:
    try:
        text = texts.load(place).text if lint.suffix_of(name) in lint.PARSERS else ""
    except (FileRefused, OSError):
        return {"status": "skipped", "message": f"Failed to read {place.given} for lint"}
    return lint.verdict(name, text)


_ACTIONS: dict[str, tuple[str, Callable[[Operation, list[Place], Outcome], None]]] = {
    "add": ("add", _add),
    "update": ("update", _update),
    "delete": ("delete", _delete),
    "move": ("move", _move),
}
