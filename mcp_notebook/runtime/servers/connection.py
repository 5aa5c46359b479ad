"""One server of the configuration: started once at the first call, however many arrive, and again after it died."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
from mcp import Client

from mcp_notebook.errors import ServerFailed
from mcp_notebook.runtime.host import Host
from mcp_notebook.runtime.servers.configuration import Entry
from mcp_notebook.runtime.servers.life import END_WITHIN_S, Life, SessionGone
from mcp_notebook.runtime.servers.results import result_json, tool_json

Answer = TypeVar("Answer")

MOST_PAGES = 1000
"""Of a list of tools: a server that never ends it must not keep us for ever."""


class Connection:
    """``revision`` is raised whenever the tools may have changed; no two connections ever have the same."""

    def __init__(self, entry: Entry, host: Host, revisions: Iterator[int], start_within_s: float) -> None:
        self.entry = entry
        self.revision = 0
        self._host = host
        self._revisions = revisions
        self._start_within_s = start_within_s
        self._era = "auto"
        self._life: Life | None = None
        self._lives: set[Life] = set()
        self._tools: tuple[int, list[dict[str, Any]]] | None = None
        self._ending = False

    @property
    def started(self) -> bool:
        """Whether it is there now."""
        return self._life is not None and self._life.client is not None

    @property
    def error(self) -> str | None:
        """Why the last start failed, or how the server died; None if neither."""
        return self._life.reason if self._life is not None and self._life.over else None

    @property
    def gone(self) -> bool:
        """Whether no process of it is left."""
        return all(life.ended.is_set() for life in self._lives)

    async def tools(self) -> dict[str, Any]:
        """Its tools, with the revision that they belong to."""
        life = await self._alive()
        async with life.listing:
            if self._tools is None or not life.tells or self._tools[0] != self.revision:
                await self._list()
            assert self._tools is not None
            return {"revision": self._tools[0], "tools": self._tools[1]}

    async def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """What the tool answers."""
        result = await self._request(lambda client: client.call_tool(tool, arguments))
        return result_json(result, self.revision)

    def end(self) -> None:
        """Have it end; ``ended`` waits for that."""
        self._ending = True
        for life in self._lives:
            life.end()

    async def ended(self) -> None:
        """Return when no process of it is left, or it cannot be helped."""
        with anyio.move_on_after(END_WITHIN_S + 1):
            for life in list(self._lives):
                await life.ended.wait()

    async def _list(self) -> None:
        before, revision = self._tools, self.revision
        tools = await self._request(_all_tools)
        if before is not None and before[0] == revision == self.revision and before[1] != tools:
            revision = self._change()  # a server that does not tell
        # If it was raised meanwhile, the older revision says that there may be news.
        self._tools = (revision, tools)

    async def _request(self, send: Callable[[Client], Awaitable[Answer]]) -> Answer:
        limit = self._host.policy.call_timeout_s
        with anyio.move_on_after(limit):
            try:
                return await (await self._alive()).request(send)
            except SessionGone:
                return await (await self._alive()).request(send)
        raise ServerFailed(
            f"The MCP server {self.entry.name!r} gave no answer within {limit:g} s and was told to stop. Whether the "
            "call took effect is not known. Ask for less at a time, or raise call_timeout_s in the settings."
        )

    async def _alive(self) -> Life:
        """The life that runs, begun if there is none.

        Raises:
            ServerFailed: it could not be started.
        """
        while not self._ending:
            if self._life is None or self._life.over:
                self._begin()
            life = self._life
            assert life is not None
            await life.ready.wait()
            if life.client is not None:
                return life
            if life is self._life and life.refuses_the_probe:
                self._era = "legacy"
            elif life is self._life:
                self._era = "auto"
                raise self._start_failed(life)
        raise ServerFailed(
            f"The MCP server {self.entry.name!r} is being ended. Call again if its entry is still there."
        )

    def _begin(self) -> None:
        self._lives = {life for life in self._lives if not life.ended.is_set()}
        self._life = Life(self.entry, self._host, self._era, self._start_within_s, self._change)
        self._lives.add(self._life)
        self._change()

    def _start_failed(self, life: Life) -> ServerFailed:
        file, log = self._host.policy.mcp_servers, f" Its stderr is in {life.log}." if life.log else ""
        return ServerFailed(
            f"The MCP server {self.entry.name!r} could not be started: {life.reason}. Check its entry in {file}.{log}"
        )

    def _change(self) -> int:
        self.revision = next(self._revisions)
        return self.revision


async def _all_tools(client: Client) -> list[dict[str, Any]]:
    if client.server_capabilities.tools is None:
        return []
    tools: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        tools += map(tool_json, page.tools)
        cursor = page.next_cursor
        if not cursor:
            break
    return tools
