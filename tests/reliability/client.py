"""A program with an MCP client in it, told on its stdin what to call: ``python -m tests.reliability.client WHERE``.

One JSON object per line in both directions. ``{"do": "connect"}`` begins a connection, anew if there was one, and
``disconnect`` ends it; ``{"do": "call", "tool": ..., "arguments": ...}`` calls a tool, beside the calls that are under
way, and ``{"do": "cancel", "call": ID}`` cancels such a call. Each answer has the ``id`` of what it answers, and
``text`` and ``is_error``, or ``failed``.
"""

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import anyio.abc
import anyio.to_thread
import httpx2
from mcp import Client, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from tests.calls import text_of

WITHIN_S = 60


@asynccontextmanager
async def connected(where: dict[str, Any]) -> AsyncIterator[Client]:
    """A client of the SDK: of a relay that it starts, or of a server that listens."""
    if "url" not in where:
        server = StdioServerParameters(command=where["command"], args=where["arguments"], env=where["environment"])
        async with Client(server, mode=where["era"], cache=None) as client:
            yield client
        return
    headers = {"Authorization": f"Bearer {where['token']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=WITHIN_S) as http,
        Client(streamable_http_client(where["url"], http_client=http), mode=where["era"], cache=None) as client,
    ):
        yield client


class Program:
    """Does what the lines say."""

    def __init__(self, where: dict[str, Any], tasks: anyio.abc.TaskGroup) -> None:
        self._where = where
        self._tasks = tasks
        self._client: Client | None = None
        self._connection = anyio.CancelScope()
        self._ended = anyio.Event()
        self._calls: dict[int, anyio.CancelScope] = {}

    async def obey(self, asked: dict[str, Any]) -> None:
        """Start with it; the answer comes when it does."""
        if asked["do"] == "connect":
            self._connection.cancel()
            self._connection = anyio.CancelScope()
            self._tasks.start_soon(self._connect, asked["id"], self._connection)
        elif asked["do"] == "disconnect":
            self._connection.cancel()
            self._tasks.start_soon(self._tell_end, asked["id"])
        elif asked["do"] == "cancel":
            if asked["call"] in self._calls:
                self._calls[asked["call"]].cancel()
            say(id=asked["id"], text="cancelled")
        else:
            self._tasks.start_soon(self._call, asked)

    async def _connect(self, number: int, scope: anyio.CancelScope) -> None:
        self._ended = ended = anyio.Event()
        try:
            with scope:
                async with connected(self._where) as self._client:
                    say(id=number, text="connected")
                    await anyio.sleep_forever()
        except Exception as exc:
            say(id=number, failed=repr(exc))
        finally:
            ended.set()

    async def _tell_end(self, number: int) -> None:
        await self._ended.wait()
        say(id=number, text="disconnected")

    async def _call(self, asked: dict[str, Any]) -> None:
        with anyio.CancelScope() as self._calls[asked["id"]]:
            try:
                assert self._client is not None
                result = await self._client.call_tool(asked["tool"], asked["arguments"])
            except Exception as exc:
                say(id=asked["id"], failed=repr(exc))
            else:
                say(id=asked["id"], text=text_of(result), is_error=result.is_error)
        if self._calls.pop(asked["id"]).cancelled_caught:
            say(id=asked["id"], failed="cancelled")


def say(**answer: Any) -> None:
    """One line."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Until stdin ends."""
    async with anyio.create_task_group() as tasks:
        program = Program(json.loads(sys.argv[1]), tasks)
        while line := await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            await program.obey(json.loads(line))
        tasks.cancel_scope.cancel()


if __name__ == "__main__":
    anyio.run(main)
