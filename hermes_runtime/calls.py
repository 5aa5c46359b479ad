"""The functions that cells call. Names, parameters, defaults and answers are those of Hermes's own ``hermes_tools``.

Each has an async form of the same parameters, ``await terminal.aio("make")``. Sent into Python kernels as source; the
standard library only, Python 3.9 and newer.
"""

from __future__ import annotations

import contextvars
import functools
import json
import shlex
import sys
import time
from typing import TYPE_CHECKING, Any, TypeVar

from hermes_runtime import carriers, wire
from hermes_runtime.proxies import proxies

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

IN_DICTS = frozenset(("terminal", "read_file", "write_file", "search_files", "patch", "web_search", "web_extract"))
"""Calls that answer in Hermes's way: an error is in the dict."""
SCRAP = "application/scrapbook.scrap.{}+json"
SCRAP_VERSION = 1
NO_SCRAP = "glue() keeps texts and what JSON can hold, not {}: convert it first, as with .to_dict() or .tolist()."

_collecting: contextvars.ContextVar[bool] = contextvars.ContextVar("collecting", default=False)


def ask(tool: str, args: dict[str, Any]) -> Any:
    """Have the host carry a call out and return its answer."""
    if _collecting.get():
        return tool, args
    try:
        answer = carriers.current().call(tool, args)
    except wire.Refused as exc:
        answer = _refused(tool, exc)
    return _finished(args, answer)


async def ask_async(tool: str, args: dict[str, Any]) -> Any:
    """The same, while other tasks go on."""
    try:
        answer = await carriers.current().call_async(tool, args)
    except wire.Refused as exc:
        answer = _refused(tool, exc)
    return _finished(args, answer)


def with_async_form(function: Callable[..., T]) -> Callable[..., T]:
    """Give ``function``, which returns what ``ask`` returns, an attribute ``aio`` that is awaited."""

    @functools.wraps(function)
    async def aio(*args: Any, **kwargs: Any) -> Any:
        token = _collecting.set(True)
        try:
            asked: Any = function(*args, **kwargs)
        finally:
            _collecting.reset(token)
        return await ask_async(*asked)

    function.aio = aio  # type: ignore[attr-defined]
    return function


@with_async_form
def terminal(
    command: str, timeout: int | None = None, workdir: str | None = None, background: bool = False
) -> dict[str, Any]:
    """Run a shell command; returns a dict with "output" (stdout and stderr), "exit_code" and "error".

    The directory (cd) and exported variables last from call to call. After `timeout` seconds (180 by default, at most
    600) everything that the command started is ended and "exit_code" is 124. Of output beyond 50,000 characters head
    and tail are returned. `workdir` holds for this command alone.

    With background=True it goes on while the code does, and what is returned has methods: job.poll(), job.wait(seconds)
    and job.kill().
    """
    args = {"command": command, "timeout": timeout, "workdir": workdir}
    answer: dict[str, Any] = ask("terminal", args | {"background": True} if background else args)
    return answer


@with_async_form
def read_file(path: str, offset: int = 1, limit: int = 500) -> dict[str, Any]:
    """Read lines of a text file; returns a dict with "content" ("1|first line\\n2|..."), "total_lines", "truncated" ...

    `offset` is the number of the first line, from 1; `limit` at most 2000. Paths are relative to the terminal's
    directory and stay inside the workspace. Where it cannot be read the dict has "error".
    """
    answer: dict[str, Any] = ask("read_file", {"path": path, "offset": offset, "limit": limit})
    return answer


@with_async_form
def write_file(path: str, content: str, cross_profile: bool = False) -> dict[str, Any]:
    """Write `content` to a file, whole or not at all; returns a dict with "bytes_written" and "resolved_path".

    Directories are made. Where it cannot be written the dict has "error". `cross_profile` does nothing here.
    """
    args = {"path": path, "content": content, "cross_profile": cross_profile}
    answer: dict[str, Any] = ask("write_file", args)
    return answer


@with_async_form
def search_files(
    pattern: str,
    target: str = "content",
    path: str = ".",
    file_glob: str | None = None,
    limit: int = 50,
    offset: int = 0,
    output_mode: str = "content",
    context: int = 0,
) -> dict[str, Any]:
    """Search in files by a regular expression (target="content"), or for files by a glob (target="files").

    Returns a dict with "total_count" and "matches", each with "path", "line" and "content"; or "files", with
    target="files" or output_mode="files_only"; or "counts", with output_mode="count".
    """
    answer: dict[str, Any] = ask(
        "search_files",
        {
            "pattern": pattern,
            "target": target,
            "path": path,
            "file_glob": file_glob,
            "limit": limit,
            "offset": offset,
            "output_mode": output_mode,
            "context": context,
        },
    )
    return answer


@with_async_form
def patch(
    path: str | None = None,
    old_string: str | None = None,
    new_string: str | None = None,
    replace_all: bool = False,
    mode: str = "replace",
    patch: str | None = None,
    cross_profile: bool = False,
) -> dict[str, Any]:
    """Replace text in a file (mode="replace"), or apply a patch in V4A form to several (mode="patch").

    Returns a dict with "success", "diff" and "files_modified", or "success": False and "error". `old_string` must occur
    once, unless `replace_all`.
    """
    answer: dict[str, Any] = ask(
        "patch",
        {
            "path": path,
            "old_string": old_string,
            "new_string": new_string,
            "replace_all": replace_all,
            "mode": mode,
            "patch": patch,
            "cross_profile": cross_profile,
        },
    )
    return answer


@with_async_form
def web_search(query: str, limit: int = 5) -> dict[str, Any]:
    """Search the web; returns {"success": True, "data": {"web": [{"title", "url", "description", "position"}]}}.

    Where it fails: {"success": False, "error": ...}.
    """
    answer: dict[str, Any] = ask("web_search", {"query": query, "limit": limit})
    return answer


@with_async_form
def web_extract(urls: list[str], char_limit: int | None = None) -> dict[str, Any]:
    """Read up to 5 web pages as Markdown; returns {"results": [{"url", "title", "content", "error"}]}.

    Of a page longer than `char_limit` (15,000 by default) head and tail are returned, and where the whole is.
    """
    answer: dict[str, Any] = ask("web_extract", {"urls": urls, "char_limit": char_limit})
    return answer


@with_async_form
def ask_user(question: str, choices: list[Any] | None = None, type: type = str) -> Any:  # noqa: A002 - its best name
    """Ask the user, and wait for the answer, which is returned: a str, int, float or bool as `type` says.

    With `choices` it is one of them. Where the user declines, HostError is raised.
    """
    kinds: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
    if type not in kinds:
        raise TypeError(f"ask_user() answers with a str, an int, a float or a bool, not with {type!r}.")
    if choices is not None and not choices:
        raise ValueError("ask_user() cannot ask for one of no choices.")
    schema: dict[str, Any] = {"type": kinds[type]}
    if choices is not None:
        schema["enum"] = [str(choice) for choice in choices]
    return ask("ask_user", {"question": question, "schema": schema})


@with_async_form
def this_notebook() -> dict[str, Any]:
    """The session's notebook: a dict with "session", "path", "workspace" and "notebook", in nbformat's JSON."""
    answer: dict[str, Any] = ask("this_notebook", {})
    return answer


def glue(name: str, value: Any, display: bool = False) -> None:
    """Keep `value`, a text or what JSON can hold, as a scrap of this name in the notebook, in scrapbook's format.

    `scrapbook.read_notebook(path).scraps` gives it back. With `display` it is shown as well.
    """
    encoder = "text" if isinstance(value, str) else "json"
    try:
        data = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError):
        raise TypeError(NO_SCRAP.format(type(value).__name__)) from None
    scrap = {"name": name, "data": data, "encoder": encoder, "version": SCRAP_VERSION}
    told = {"name": name, "data": True, "display": False}
    _publish({SCRAP.format(encoder): scrap}, {"scrapbook": told})
    if display:
        _publish({"text/plain": repr(value)}, {"scrapbook": {**told, "data": False, "display": True}})


def json_parse(text: str) -> Any:
    """Parse JSON in which strings may hold raw tabs and newlines, as output of commands often has."""
    return json.loads(text, strict=False)


def shell_quote(s: str) -> str:
    """Quote a text for a command line: terminal(f"ls {shell_quote(name)}")."""
    return shlex.quote(s)


def retry(fn: Callable[[], T], max_attempts: int = 3, delay: float = 2) -> T:
    """Call `fn` until it raises nothing, at most so often; the pause after an attempt doubles, from `delay` seconds."""
    for attempt in range(max_attempts - 1):
        try:
            return fn()
        except Exception:
            time.sleep(delay * 2**attempt)
    return fn()


class Job(dict[str, Any]):
    """A command in the background: the latest that is known of it, as ``terminal`` answers."""

    def poll(self) -> Job:
        """What it has written until now, and its "exit_code" once it has ended."""
        return self._now("terminal.poll")

    def kill(self) -> Job:
        """End it, and all that it started."""
        return self._now("terminal.kill")

    def wait(self, seconds: float = 180, every: float = 0.2) -> Job:
        """Return when it has ended, or after so many seconds."""
        until = time.monotonic() + seconds
        while self.poll().get("running") and time.monotonic() < until:
            time.sleep(min(every, max(0.0, until - time.monotonic())))
        return self

    def _now(self, tool: str) -> Job:
        if "handle" in self:  # else it was not started
            self.update(ask(tool, {"handle": self["handle"]}))
        return self


def _finished(args: dict[str, Any], value: Any) -> Any:
    """Only commands have ``background`` among their arguments."""
    return Job(value) if args.get("background") else value


def _refused(tool: str, why: wire.Refused) -> dict[str, str]:
    if tool in IN_DICTS:
        return {"error": str(why)}
    raise carriers.HostError(str(why)) from None


def _publish(data: dict[str, Any], metadata: dict[str, Any]) -> None:
    ipython: Any = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        raise carriers.HostError("glue() keeps a value in the notebook whose cell runs, and this code runs in none.")
    ipython.display.publish_display_data(data=data, metadata=metadata)


servers = proxies(ask, ask_async)
