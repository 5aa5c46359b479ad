"""The HTTP listener in the test's own process, and two ways to speak to it: as a client, and in one's own words."""

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import anyio
import anyio.abc
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import MCPServer

from mcp_notebook.admission import Verify, only
from mcp_notebook.http import serve_http
from mcp_notebook.sessions import Connection
from mcp_notebook.settings import Settings

TOKEN = "t" * 43
HANDSHAKE = "2025-11-25"
MODERN = "2026-07-28"
WITHIN_S = 60


class Listening:
    """Where a listener is, and its end."""

    def __init__(self, port: int, stop: anyio.CancelScope, ended: anyio.Event) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/mcp"
        self._stop = stop
        self._ended = ended

    async def stop(self) -> None:
        """Cancel it, and wait for its end."""
        self._stop.cancel()
        with anyio.fail_after(WITHIN_S):
            await self._ended.wait()

    @asynccontextmanager
    async def client(self, era: str, **headers: str) -> AsyncIterator[Client]:
        """A client of the SDK."""
        given = {"Authorization": f"Bearer {TOKEN}", **headers}
        async with (
            httpx2.AsyncClient(headers=given, timeout=WITHIN_S) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=era, cache=None) as client,
        ):
            yield client

    @asynccontextmanager
    async def speaker(self, token: str | None = TOKEN) -> AsyncIterator["Speaker"]:
        """A client that may send anything."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        async with httpx2.AsyncClient(headers=headers, timeout=WITHIN_S) as http:
            yield Speaker(http, self.url)


class Speaker:
    """Sends requests of either era, and closes their streams when it likes."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self.http = http
        self.url = url
        self._headers: dict[str, str] = {"Accept": "application/json, text/event-stream"}
        self.latest_id = 0

    async def shake_hands(self) -> None:
        """Open an MCP session."""
        me = {"name": "speaker", "version": "1"}
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": me}
        answer = await self.send("initialize", params)
        answer.raise_for_status()
        self._headers |= {
            "MCP-Protocol-Version": HANDSHAKE,
            "Mcp-Session-Id": answer.headers["mcp-session-id"],
        }
        (await self.http.post(self.url, headers=self._headers, json=_notification("initialized"))).raise_for_status()

    @property
    def session_headers(self) -> dict[str, str]:
        """The headers of every request of this client."""
        return dict(self._headers)

    async def send(self, method: str, params: dict[str, Any], **headers: str) -> httpx2.Response:
        """A request, and the whole response."""
        return await self.http.post(self.url, headers=self._headers | headers, json=self.body(method, params))

    def body(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """A request with an id of its own."""
        self.latest_id += 1
        return {"jsonrpc": "2.0", "id": self.latest_id, "method": method, "params": params}

    async def call(self, tool: str, **arguments: Any) -> str:
        """The text of a tool's result."""
        async with self.calling(tool, **arguments) as messages:
            async for message in messages:
                if "result" in message:
                    return "\n".join(block["text"] for block in message["result"]["content"])
        raise AssertionError("no result")

    @asynccontextmanager
    async def calling(self, tool: str, **arguments: Any) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The messages that answer a call, as they come; leaving closes the connection."""
        async with self._streaming("tools/call", tool, {"name": tool, "arguments": arguments}) as messages:
            yield messages

    @asynccontextmanager
    async def listening(self, wanted: dict[str, Any]) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The news that a listen stream of the 2026-07-28 era brings; leaving ends it."""
        async with self._streaming("subscriptions/listen", None, {"notifications": wanted}) as messages:
            yield messages

    @asynccontextmanager
    async def _streaming(
        self, method: str, name: str | None, params: dict[str, Any]
    ) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        meta: dict[str, Any] = {"progressToken": "p"}
        headers = dict(self._headers)
        if "Mcp-Session-Id" not in headers:
            meta |= {
                "io.modelcontextprotocol/protocolVersion": MODERN,
                "io.modelcontextprotocol/clientCapabilities": {},
            }
            headers |= {"MCP-Protocol-Version": MODERN, "Mcp-Method": method}
            headers |= {"Mcp-Name": name} if name is not None else {}
        body = self.body(method, params | {"_meta": meta})
        async with self.http.stream("POST", self.url, headers=headers, json=body) as response:
            assert response.status_code in (200, 401, 503), await response.aread()
            messages = _messages(response)
            try:
                yield messages
            finally:
                await messages.aclose()

    async def open_session(self, **arguments: Any) -> str:
        """The handle of a session."""
        handle: str = json.loads(await self.call("open_session", **arguments))["session"]
        return handle

    async def call_and_leave(self, left: anyio.Event, **arguments: Any) -> None:
        """Call ``execute_cell``, and close its stream once ``left`` is set."""
        async with anyio.create_task_group() as tasks:

            async def leave() -> None:
                await left.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(leave)
            async with self.calling("execute_cell", **arguments) as messages:
                async for _ in messages:
                    pass

    async def cancel(self, request_id: int) -> None:
        """Cancel a request as the handshake era does."""
        cancelled = _notification("cancelled") | {"params": {"requestId": request_id}}
        (await self.http.post(self.url, headers=self._headers, json=cancelled)).raise_for_status()


@asynccontextmanager
async def listening(
    server: MCPServer[Connection], settings: Settings, *, verify: Verify | None = None, **given: Any
) -> AsyncIterator[Listening]:
    """A listener on loopback."""
    options: dict[str, Any] = {"host": "127.0.0.1", "port": 0, "verify": verify or only(TOKEN)} | given
    ended = anyio.Event()

    async def serve(*, task_status: anyio.abc.TaskStatus[tuple[int, anyio.CancelScope]]) -> None:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                port = await tasks.start(partial(serve_http, server, settings, **options))
                task_status.started((port, scope))
        ended.set()

    async with anyio.create_task_group() as tasks:
        port, scope = await tasks.start(serve)
        it = Listening(port, scope, ended)
        try:
            yield it
        finally:
            with anyio.CancelScope(shield=True):
                await it.stop()
            tasks.cancel_scope.cancel()


async def _messages(response: httpx2.Response) -> AsyncGenerator[dict[str, Any], None]:
    if response.status_code != 200:
        return
    if response.headers["content-type"].startswith("application/json"):
        yield json.loads(await response.aread())
        return
    async for line in response.aiter_lines():
        if line.startswith("data:") and line != "data:":
            yield json.loads(line.removeprefix("data:"))


def _notification(name: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": f"notifications/{name}"}
