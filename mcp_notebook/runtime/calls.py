"""The table of runtime calls: what code in cells may ask for, by name.

To add a call, write a method of one of the families (its parameters are the call's) and add its row; the kernel's half
is a function of ``hermes_runtime.calls``.
"""

import functools
import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mcp_notebook.errors import BadRequest
from mcp_notebook.runtime.files import Files
from mcp_notebook.runtime.hermes import HermesTools
from mcp_notebook.runtime.host import Host
from mcp_notebook.runtime.servers import Servers
from mcp_notebook.runtime.terminal import Terminal
from mcp_notebook.runtime.web import Web

SCALARS = ("string", "integer", "number", "boolean")


class Families:
    """What answers the calls of one session, and what they keep between calls."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.terminal = Terminal(host)
        self.files = Files(host, lambda: self.terminal.cwd)
        self.web = Web(host)
        self.servers = Servers(host)
        self.hermes = HermesTools(host)

    def answer_of(self, name: str) -> "Answer":
        """The method that answers a call, or where Hermes is the provider one with the same parameters that asks it.

        A command in the background stays ours, with its ``terminal.poll`` and ``terminal.kill``: it outlives Hermes's
        process and the server.
        """
        own = CALLS[name].method(self)
        if not self.hermes.has(name):
            return own

        @functools.wraps(own)
        async def by_hermes(*args: Any, **kwargs: Any) -> Any:
            given = inspect.signature(own).bind(*args, **kwargs).arguments
            if given.pop("background", False):
                return await own(*args, **kwargs)
            return await self.hermes.call(name, given)

        return by_hermes

    async def ask_user(self, question: str, schema: dict[str, Any]) -> Any:
        """The user's answer."""
        if not isinstance(question, str) or not isinstance(schema, dict) or schema.get("type") not in SCALARS:
            raise BadRequest(f"ask_user wants a question, and a schema whose type is one of {', '.join(SCALARS)}.")
        choices = schema.get("enum", [])
        if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
            raise BadRequest("ask_user wants its choices as a list of texts.")
        return await self.host.ask(question, schema)

    async def this_notebook(self) -> dict[str, Any]:
        """The session's notebook."""
        return self.host.notebook()

    async def leave(self) -> None:
        """This server ends and the session does not."""
        await self.hermes.aclose()
        await self.servers.aclose()
        await self.web.aclose()

    async def end(self) -> None:
        """The session ends."""
        await self.leave()
        await self.terminal.end()


Answer = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Call:
    """One row: which of a session's methods answers."""

    method: Callable[[Families], Answer]
    counted: bool = True
    """Whether it takes one of the calls that a cell may make; not what the module asks for its own use."""
    timed: bool = True
    """Whether it is given up after the time that the policy sets; else it has a time of its own, or none."""
    known_as: str = ""
    """The name that the policy allows or not, where it is another."""


CALLS: Mapping[str, Call] = {
    "terminal": Call(lambda of: of.terminal.run, timed=False),
    "terminal.poll": Call(lambda of: of.terminal.poll, counted=False, known_as="terminal"),
    "terminal.kill": Call(lambda of: of.terminal.kill, counted=False, known_as="terminal"),
    "read_file": Call(lambda of: of.files.read_file),
    "write_file": Call(lambda of: of.files.write_file),
    "search_files": Call(lambda of: of.files.search_files),
    "patch": Call(lambda of: of.files.patch),
    "web_search": Call(lambda of: of.web.search),
    "web_extract": Call(lambda of: of.web.extract),
    "ask_user": Call(lambda of: of.ask_user, timed=False),
    "this_notebook": Call(lambda of: of.this_notebook, counted=False),
    "servers.list": Call(lambda of: of.servers.listed, counted=False, known_as="servers"),
    "servers.tools": Call(lambda of: of.servers.tools, counted=False, known_as="servers"),
    "servers.search": Call(lambda of: of.servers.search, counted=False, known_as="servers"),
    "servers.call": Call(lambda of: of.servers.call, known_as="servers"),
}
