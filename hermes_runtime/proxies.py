"""``servers`` in a cell: the tools of MCP servers as functions.

Speaks no MCP: every question goes through the function that ``proxies`` is given. Sent into a Python kernel as
source, after ``schemas``; the standard library of Python 3.9 only.
"""

from __future__ import annotations

import base64
import difflib
import inspect
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from hermes_runtime.schemas import Parameters, attribute, is_wrapper, one_line

Ask = Callable[[str, dict[str, Any]], Any]
AskAsync = Callable[[str, dict[str, Any]], Awaitable[Any]]

SHOWN = 100
"""Characters of a description in a list."""


class Tool(Protocol):
    """A function with the signature and the documentation of a tool; ``aio`` is the same for async code."""

    __name__: str
    __qualname__: str
    aio: Callable[..., Awaitable[Any]]

    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class ServerError(RuntimeError):
    """The tool says that it failed; ``answer`` is the whole of what it said."""

    def __init__(self, message: str, answer: Mapping[str, Any]) -> None:
        super().__init__(message)
        self.answer = answer


def proxies(ask: Ask, ask_async: AskAsync | None = None) -> Servers:
    """``servers``. ``ask`` makes a runtime call and returns its answer, or raises; ``ask_async`` is awaited for it."""
    return Servers(_Line(ask, ask_async))


class _Line:
    """How the host is asked, and what is asked of it."""

    def __init__(self, ask: Ask, ask_async: AskAsync | None) -> None:
        self.ask = ask
        self.ask_async = ask_async

    async def aask(self, name: str, args: dict[str, Any]) -> Any:
        """Without a way to wait, the loop stands still meanwhile."""
        return self.ask(name, args) if self.ask_async is None else await self.ask_async(name, args)


class Servers:
    """The MCP servers of this session: ``servers.github.create_issue(title="...")``.

    ``dir(servers)`` has the servers, ``dir(servers.github)`` the tools of one, ``help(servers.github.create_issue)``
    what one does, and ``servers.search("issue")`` finds tools in all of them. A name that Python cannot write has
    underscores, or is asked for as ``servers["my-server"]["my.tool"]``. ``await servers.github.create_issue.aio(...)``
    is the same for async code.
    """

    def __init__(self, line: _Line) -> None:
        self._line = line
        self._known: dict[str, Server] = {}

    def search(self, text: str, limit: int = 10) -> Found:
        """The tools of all servers whose names and descriptions answer ``text`` best; starts all servers."""
        return Found(self._line.ask("servers.search", {"text": text, "limit": limit}))

    def __getitem__(self, name: str) -> Server:
        server = self._known.get(name) or self._refresh().get(name)
        if server is None:
            raise KeyError(_unknown("MCP server", name, self._known))
        return server

    def __getattr__(self, name: str) -> Server:
        if _is_probe(name):
            raise AttributeError(name)
        server: Server | None = _named(self._known, name) or _named(self._refresh(), name)
        if server is None:
            raise AttributeError(_unknown("MCP server", name, self._known))
        return server

    def __iter__(self) -> Iterator[str]:
        return iter(self._refresh())

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_attributes(_or_else(self._refresh, self._known))]

    def _ipython_key_completions_(self) -> list[str]:
        return list(_or_else(self._refresh, self._known))

    def __repr__(self) -> str:
        try:
            listed = self._line.ask("servers.list", {})
        except Exception as exc:
            return f"<MCP servers; they cannot be listed: {exc}>"
        lines = [f"  {each['name']} ({_state(each)})" for each in listed]
        return "\n".join(["MCP servers:", *lines]) if lines else "MCP servers: none are configured"

    def _refresh(self) -> dict[str, Server]:
        names = [each["name"] for each in self._line.ask("servers.list", {})]
        self._known = {name: self._known.get(name) or Server(self._line, name) for name in names}
        return self._known


class Server:
    """The tools of one MCP server; it is started when they are first asked for."""

    def __init__(self, line: _Line, name: str) -> None:
        self._line = line
        self._name = name
        self._revision: int | None = None
        """Of the tools that are known; None if they are to be asked for again."""
        self._known: dict[str, Tool] = {}

    def __getitem__(self, name: str) -> Tool:
        tool = self._tools().get(name) or self._refresh().get(name)
        if tool is None:
            raise KeyError(_unknown(f"tool of {self._name}", name, self._known))
        return tool

    def __getattr__(self, name: str) -> Tool:
        if _is_probe(name):
            raise AttributeError(name)
        tool: Tool | None = _named(self._tools(), name) or _named(self._refresh(), name)
        if tool is None:
            raise AttributeError(_unknown(f"tool of {self._name}", name, self._known))
        return tool

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools())

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *_attributes(_or_else(self._tools, self._known))]

    def _ipython_key_completions_(self) -> list[str]:
        return list(_or_else(self._tools, self._known))

    def __repr__(self) -> str:
        if not self._known:
            return f"<MCP server {self._name!r}; dir() of it lists its tools>"
        lines = [f"  {attribute(name)}{inspect.signature(tool)}" for name, tool in self._known.items()]
        return "\n".join([f"MCP server {self._name!r}:", *lines])

    def _tools(self) -> dict[str, Tool]:
        return self._refresh() if self._revision is None else self._known

    def _refresh(self) -> dict[str, Tool]:
        answer = self._line.ask("servers.tools", {"server": self._name})
        self._known = {tool["name"]: _function(self, tool) for tool in answer["tools"]}
        self._revision = answer["revision"]
        return self._known

    def _heard(self, answer: Mapping[str, Any]) -> None:
        if answer["revision"] != self._revision:
            self._revision = None


class Found(list["Match"]):
    """What a search found; ``failures`` are the servers that could not be searched."""

    def __init__(self, results: list[dict[str, Any]]) -> None:
        super().__init__(Match(each) for each in results if "error" not in each)
        self.failures = [each for each in results if "error" in each]

    def __repr__(self) -> str:
        lines = [repr(each) for each in self] or ["No tool answers that."]
        return "\n".join(lines + [f"{each['server']} could not be searched: {each['error']}" for each in self.failures])


class Match:
    """A tool that a search found."""

    def __init__(self, result: Mapping[str, Any]) -> None:
        self.server = str(result["server"])
        self.tool = str(result["tool"])
        self.description = str(result["description"])
        self.signature = Parameters(result["input_schema"]).signature(result.get("output_schema"))

    def __repr__(self) -> str:
        called = f"servers.{attribute(self.server)}.{attribute(self.tool)}{self.signature}"
        return f"{called}\n    {one_line(self.description)[:SHOWN]}"


class Blob:
    """An image, a sound or a file that a tool gave: ``data`` in bytes and its ``mime_type``. Shown by notebooks."""

    def __init__(self, data: bytes, mime_type: str, uri: str = "") -> None:
        self.data = data
        self.mime_type = mime_type
        self.uri = uri

    def __repr__(self) -> str:
        return f"<{self.mime_type or 'bytes'}, {len(self.data):,} bytes{', ' + self.uri if self.uri else ''}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        bundle = {"text/plain": repr(self)}
        kind, encoded = self.mime_type.partition("/")[0], base64.b64encode(self.data).decode()
        if self.mime_type == "image/svg+xml":
            bundle[self.mime_type] = self.data.decode(errors="replace")
        elif kind == "image":
            bundle[self.mime_type] = encoded
        elif kind == "audio" and re.fullmatch(r"[\w.+/-]+", self.mime_type):
            bundle["text/html"] = f'<audio controls src="data:{self.mime_type};base64,{encoded}"></audio>'
        return bundle


class Resource:
    """A resource that a tool gave, with its ``text``, or linked to, without."""

    def __init__(self, uri: str, mime_type: str = "", text: str | None = None, name: str = "") -> None:
        self.uri = uri
        self.mime_type = mime_type
        self.text = text
        self.name = name

    def __repr__(self) -> str:
        size = "" if self.text is None else f", {len(self.text):,} characters"
        return f"<resource {self.uri}{size}>"


def _function(server: Server, tool: Mapping[str, Any]) -> Tool:
    """The function for a tool of ``servers.tools``."""
    name, output = str(tool["name"]), tool.get("output_schema")
    parameters = Parameters(tool["input_schema"])

    def question(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return {"server": server._name, "tool": name, "arguments": parameters.arguments(name, args, kwargs)}

    def call(*args: Any, **kwargs: Any) -> Any:
        return received(server._line.ask("servers.call", question(args, kwargs)))

    async def aio(*args: Any, **kwargs: Any) -> Any:
        return received(await server._line.aask("servers.call", question(args, kwargs)))

    def received(answer: Mapping[str, Any]) -> Any:
        server._heard(answer)
        return _value(answer, output)

    functions: dict[str, Any] = {"": call, ".aio": aio}
    for suffix, each in functions.items():
        each.__name__ = attribute(name)
        each.__qualname__ = f"{attribute(server._name)}.{attribute(name)}{suffix}"
        each.__doc__ = parameters.documentation(str(tool["description"]))
        each.__signature__ = parameters.signature(output)
    made: Tool = functions[""]
    made.aio = aio
    return made


def _value(answer: Mapping[str, Any], output: Any) -> Any:
    """Structured content where there is some, else what the blocks say."""
    blocks = [_block(each) for each in answer["content"]]
    if answer["is_error"]:
        said = "\n".join(each if isinstance(each, str) else repr(each) for each in blocks)
        raise ServerError(said or "The tool failed and did not say why.", answer)
    if "structured" in answer:
        structured = answer["structured"]
        wrapped = is_wrapper(output) and isinstance(structured, dict) and list(structured) == ["result"]
        return structured["result"] if wrapped else structured
    return blocks[0] if len(blocks) == 1 else blocks or None


def _block(block: Mapping[str, Any]) -> Any:
    """A content block of MCP as what it holds; one of a kind that is not known as it is."""
    kind = block.get("type")
    if kind == "text":
        return block["text"]
    if kind in ("image", "audio"):
        return Blob(base64.b64decode(block["data"]), block.get("mimeType", ""))
    if kind == "resource_link":
        return Resource(block["uri"], block.get("mimeType", ""), name=block.get("name", ""))
    if kind == "resource" and "blob" in block["resource"]:
        inner = block["resource"]
        return Blob(base64.b64decode(inner["blob"]), inner.get("mimeType", ""), inner["uri"])
    if kind == "resource":
        inner = block["resource"]
        return Resource(inner["uri"], inner.get("mimeType", ""), inner.get("text"))
    return block


def _attributes(names: Iterable[str]) -> list[str]:
    return [each for each in map(attribute, names) if not _is_probe(each)]


def _is_probe(name: str) -> bool:
    """Whether IPython, copy or a debugger looks for a hook: no reason to start a server."""
    return name.startswith("_") and not name[1:2].isdigit()


def _named(known: Mapping[str, Any], name: str) -> Any:
    return known.get(name) or next((each for original, each in known.items() if attribute(original) == name), None)


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, 5, 0.4) or names[:20]
    return f"There is no {what} {name!r}. " + (f"There is: {', '.join(near)}" if near else "There are none.")


def _or_else(get: Callable[[], Iterable[str]], known: Iterable[str]) -> Iterable[str]:
    """Names for completion, which also happens when nothing can be asked."""
    try:
        return get()
    except Exception:
        return known


def _state(listed: Mapping[str, Any]) -> str:
    return (
        f"cannot be used: {listed['error']}"
        if listed["error"]
        else (f"{listed['transport']}, {'started' if listed['started'] else 'not started'}")
    )
