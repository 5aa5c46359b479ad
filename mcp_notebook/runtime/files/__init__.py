"""The runtime calls on files: read_file, write_file, search_files and patch.

Names, parameters, shapes, limits and values are those of Hermes's tools, with the differences that
``tests/runtime/differences.py`` lists. Everything stays inside the session's workspace, symlinks
resolved; ``places`` says how far that goes. Answers are dicts, also when a call cannot be carried out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
from anyio.to_thread import run_sync

from mcp_notebook.errors import BadRequest, FileRefused
from mcp_notebook.runtime.files import applying, diffs, patches, reading, replacing, similar, texts
from mcp_notebook.runtime.files.engines import Engine
from mcp_notebook.runtime.files.places import Place, Workspace, names, reason
from mcp_notebook.runtime.files.searching import Query, search
from mcp_notebook.runtime.files.storing import store
from mcp_notebook.runtime.host import Host

SEEK_ELSEWHERE = (
    "old_string not found. Use read_file to verify the current content, or search_files to locate the text."
)
MOST_FOUND = 100_000


class Files:
    """Of one session."""

    def __init__(self, host: Host, cwd: Callable[[], Path]) -> None:
        """``cwd`` gives the directory from which relative paths start."""
        self._host = host
        self._cwd = cwd
        # A change reads, then writes: two at once would lose one of them.
        self._changing = anyio.Lock()

    def _workspace(self) -> Workspace:
        return Workspace.of(self._host.workspace, self._cwd(), self._host.environment)

    async def read_file(self, path: str, offset: int = 1, limit: int = 500) -> dict[str, Any]:
        """Lines of a text file, each with its number: ``{content, total_lines, file_size, truncated, ...}``."""
        first = max(1, _whole(offset, 1))
        count = max(1, min(_whole(limit, 500), reading.MOST_LINES))
        return await run_sync(_read, self._workspace(), path, first, count)

    async def write_file(self, path: str, content: str, cross_profile: bool = False) -> dict[str, Any]:
        """Replace a file's content, or make the file and its directories: ``{bytes_written, resolved_path, ...}``.

        ``cross_profile`` is taken for the sake of Hermes's callers and means nothing here.
        """
        if not path or not isinstance(path, str):
            return _error(
                "write_file: missing required field 'path'. Re-emit the tool call with both 'path' and 'content' set."
            )
        if _not_text(content=content):
            return _error(f"write_file: 'content' must be a string, got {type(content).__name__}.")
        async with self._changing:
            return await run_sync(_write, self._workspace(), path, content)

    async def search_files(
        self,
        pattern: str,
        target: str = "content",
        path: str = ".",
        file_glob: str | None = None,
        limit: int = 50,
        offset: int = 0,
        output_mode: str = "content",
        context: int = 0,
    ) -> dict[str, Any]:
        """Lines that match an expression, or (``target="files"``) files whose names match a glob."""
        if wrong := _not_text(pattern=pattern, path=path, file_glob=file_glob or ""):
            return _error(wrong)
        first, count = max(0, _whole(offset, 0)), max(1, min(_whole(limit, 50), MOST_FOUND))
        around = min(max(0, _whole(context, 0)), first + count + 1000)
        by_name = target in ("files", "find")
        query = Query(pattern, path, by_name, file_glob or None, count, first, output_mode, around)
        engine = Engine.of(self._host.environment, self._host.workspace)
        try:
            return await search(query, self._workspace(), engine, self._host.policy.answer_bytes * 9 // 10)
        except FileRefused as exc:
            return _error(str(exc))

    async def patch(
        self,
        path: str | None = None,
        old_string: str | None = None,
        new_string: str | None = None,
        replace_all: bool = False,
        mode: str = "replace",
        patch: str | None = None,
        cross_profile: bool = False,
    ) -> dict[str, Any]:
        """Replace text in a file, or (``mode="patch"``) apply a V4A patch: ``{success, diff, files_modified, ...}``."""
        if mode == "replace":
            if not path:
                return _error("path required")
            if old_string is None or new_string is None:
                return _error("old_string and new_string required")
            if wrong := _not_text(path=path, old_string=old_string, new_string=new_string):
                return _error(wrong)
            async with self._changing:
                changed = await run_sync(_replace, self._workspace(), path, old_string, new_string, bool(replace_all))
        elif mode == "patch":
            if not patch:
                return _error("patch content required")
            if wrong := _not_text(patch=patch):
                return _error(wrong)
            async with self._changing:
                changed = await run_sync(_apply, self._workspace(), patch)
        else:
            return _error(f"Unknown mode: {mode}")
        error = changed.get("error", "")
        if "Could not find" in error and "Did you mean one of these sections?" not in error:
            changed["_hint"] = SEEK_ELSEWHERE
        return changed


def _error(text: str) -> dict[str, Any]:
    return {"error": text}


def _not_text(**arguments: object) -> str | None:
    """What is wrong with the first that is no string."""
    for name, value in arguments.items():
        if not isinstance(value, str):
            return f"{name} must be a string, not {type(value).__name__}."
    return None


def _whole(value: object, default: int) -> int:
    """The number that a caller may have meant."""
    try:
        return int(value)  # type: ignore[call-overload, no-any-return]  # whatever it is, int() says
    except (TypeError, ValueError, OverflowError):
        return default


def _read(workspace: Workspace, path: str, offset: int, limit: int) -> dict[str, Any]:
    try:
        place = workspace.locate(path)
        if not path:
            return _not_found(place, workspace)
        return reading.read(place, offset, limit)
    except FileNotFoundError:
        return _not_found(place, workspace)
    except FileRefused as exc:
        return _error(str(exc))
    except OSError as exc:
        return reading.failed(place, exc)


def _not_found(place: Place, workspace: Workspace) -> dict[str, Any]:
    answer = reading.unread(f"File not found: {place.given}")
    directory = place.given.rpartition("/")[0] or ("/" if place.given.startswith("/") else ".")
    try:
        likely = similar.files(place.given, names(workspace.locate(directory)))
    except FileRefused:
        likely = []
    return answer | ({"similar_files": likely} if likely else {})


def _write(workspace: Workspace, path: str, content: str) -> dict[str, Any]:
    try:
        place = workspace.locate(path)
    except FileRefused as exc:
        return _error(str(exc))
    real = str(place.path)
    try:
        stored = store(place, real, content)
    except FileRefused as exc:
        return {"bytes_written": 0, "dirs_created": False, "error": str(exc), "resolved_path": real}
    except OSError as exc:
        error = f"Failed to write file: {reason(exc)}"
        return {"bytes_written": 0, "dirs_created": False, "error": error, "resolved_path": real}
    return {
        "bytes_written": stored.bytes_written,
        # That they are there, as Hermes says it.
        "dirs_created": True,
        "lint": stored.lint(compared=True),
        "resolved_path": real,
        "files_modified": [real],
    }


def _replace(workspace: Workspace, path: str, old: str, new: str, everywhere: bool) -> dict[str, Any]:
    try:
        place = workspace.locate(path)
    except FileRefused as exc:
        return _error(str(exc))
    real = str(place.path)
    try:
        before = texts.load(place)
        after = replacing.replace(before.text, old, new, everywhere=everywhere)
    except FileNotFoundError:
        return {"success": False, "error": f"Failed to read file: {real}"}
    except OSError as exc:
        return {"success": False, "error": f"Failed to read file: {real}: {reason(exc)}"}
    except (BadRequest, FileRefused) as exc:
        return {"success": False, "error": str(exc)}
    try:
        stored = store(place, real, after, before)
    except (OSError, FileRefused) as exc:
        why = reason(exc) if isinstance(exc, OSError) else str(exc)
        return {"success": False, "error": f"Failed to write changes: {why}"}
    return {
        "success": True,
        "diff": diffs.diff(before.text, after, real),
        "files_modified": [real],
        "lint": stored.lint(compared=True),
        "resolved_path": real,
    }


def _apply(workspace: Workspace, patch: str) -> dict[str, Any]:
    try:
        operations = patches.parse(patch)
    except BadRequest as exc:
        return _error(str(exc)) if "traversal" in str(exc) else {"success": False, "error": str(exc)}
    try:
        return applying.apply(operations, workspace)
    except FileRefused as exc:
        return _error(str(exc))
    except BadRequest as exc:
        return {"success": False, "error": str(exc)}
