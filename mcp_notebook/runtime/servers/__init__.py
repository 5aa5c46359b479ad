"""The MCP servers of a session's ``mcpServers`` file, for code in its cells.

Nothing is started before it is asked for. A slow, silent or dying server concerns nobody but who called it.
"""

import itertools
import json
from typing import TYPE_CHECKING, Any

import anyio

from mcp_notebook.errors import BadRequest, NotebookError, ServerFailed
from mcp_notebook.runtime.host import Host
from mcp_notebook.runtime.servers.configuration import Configuration
from mcp_notebook.runtime.servers.results import matches

if TYPE_CHECKING:
    from mcp_notebook.runtime.servers.connection import Connection

START_WITHIN_S = 30.0
MOST_RESULTS = 1000


class Servers:
    """Of one session. Whoever makes it calls ``aclose`` in the same event loop.

    Every call raises ``BadRequest`` for arguments that cannot mean anything and ``ServerFailed`` for a file, an
    entry or a server that must be mended; the message says how.
    """

    def __init__(self, host: Host, *, start_within_s: float = START_WITHIN_S) -> None:
        self._host = host
        self._start_within_s = start_within_s
        self._configuration = Configuration(host)
        self._connections: dict[str, Connection] = {}
        self._leaving: list[Connection] = []
        self._revisions = itertools.count(1)
        self._closed = False

    async def listed(self) -> list[dict[str, Any]]:
        """Each server as ``name``, ``transport``, ``started`` and ``error``; starts none."""
        self._refresh()
        usable = [
            {
                "name": name,
                "transport": entry.transport,
                "started": name in self._connections and self._connections[name].started,
                "error": self._connections[name].error if name in self._connections else None,
            }
            for name, entry in self._configuration.entries.items()
        ]
        return usable + [
            {"name": name, "transport": None, "started": False, "error": problem}
            for name, problem in self._configuration.problems.items()
        ]

    async def tools(self, server: str) -> dict[str, Any]:
        """The tools of a server with their revision; starts it if need be."""
        return await self._connection(server).tools()

    async def call(self, server: str, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Call a tool; its own failures are answers with ``is_error``."""
        if not isinstance(tool, str):
            raise BadRequest(f"The name of a tool is a text, not {type(tool).__name__}.")
        _check(arguments)
        return await self._connection(server).call(tool, arguments)

    async def search(self, text: str, limit: int = 10) -> list[dict[str, Any]]:
        """The tools of all servers that answer ``text`` best, as ``server``, ``tool``, ``description`` and schemas.

        Starts those that are not started. One that fails is at the end as ``server`` and ``error``.
        """
        if not isinstance(text, str):
            raise BadRequest(f"Search for a text, not for {type(text).__name__}.")
        if not isinstance(limit, int) or isinstance(limit, bool) or not 0 < limit <= MOST_RESULTS:
            raise BadRequest(f"limit is a whole number from 1 to {MOST_RESULTS}.")
        self._refresh()
        failed = [{"server": name, "error": why} for name, why in self._configuration.problems.items()]
        found: list[tuple[int, dict[str, Any]]] = []

        async def look(server: str) -> None:
            try:
                tools = (await self.tools(server))["tools"]
            except NotebookError as exc:
                failed.append({"server": server, "error": str(exc)})
                return
            found.extend(
                (matches(text, server, tool), {"server": server, "tool": tool["name"], **tool}) for tool in tools
            )

        async with anyio.create_task_group() as tasks:
            for name in self._configuration.entries:
                tasks.start_soon(look, name)
        best = sorted((each for each in found if each[0]), key=lambda each: -each[0])
        return [_found(tool) for _, tool in best[:limit]] + failed

    async def aclose(self) -> None:
        """End all servers, also one that is being started; bounded, and no process is left."""
        self._closed = True
        everybody = [*self._connections.values(), *self._leaving]
        for connection in everybody:
            connection.end()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as tasks:
                for connection in everybody:
                    tasks.start_soon(connection.ended)

    def _connection(self, server: str) -> "Connection":
        # the MCP client takes half a second to import, which most runs of notebooks never need
        from mcp_notebook.runtime.servers.connection import Connection

        self._refresh()
        entry = self._configuration.entry(server)
        if server not in self._connections:
            self._connections[server] = Connection(entry, self._host, self._revisions, self._start_within_s)
        return self._connections[server]

    def _refresh(self) -> None:
        """End what the file no longer has, or has otherwise."""
        if self._closed:
            raise ServerFailed("The MCP servers of this session were ended, because it is closing.")
        self._configuration.refresh()
        for name, connection in list(self._connections.items()):
            if self._configuration.entries.get(name) != connection.entry:
                connection.end()
                self._leaving = [each for each in self._leaving if not each.gone] + [self._connections.pop(name)]


def _check(arguments: object) -> None:
    if not isinstance(arguments, dict):
        raise BadRequest(f"The arguments of a tool are an object with their names, not {type(arguments).__name__}.")
    try:
        json.dumps(arguments, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as exc:
        raise BadRequest(f"The arguments cannot be sent as JSON: {exc}") from exc


def _found(tool: dict[str, Any]) -> dict[str, Any]:
    return {key: tool[key] for key in ("server", "tool", "description", "input_schema", "output_schema")}
