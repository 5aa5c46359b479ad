"""MCP servers behind a URL: of both eras, with a token, and after they were gone for a while."""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest

from mcp_notebook.errors import ServerFailed
from tests.environments import python_of
from tests.listening import TOKEN, Listening
from tests.runtime.server_hosts import ODD, host_in, servers_of, text_of

pytestmark = pytest.mark.anyio

HANDSHAKE = """
import sys
from mcp.server.fastmcp import FastMCP
server = FastMCP("handshake", host="127.0.0.1", port=int(sys.argv[1]))
@server.tool()
def echo(text: str) -> str:
    return text
server.run("streamable-http")
"""


def modern(port: int) -> list[str]:
    """The odd server, over HTTP."""
    return [sys.executable, *ODD["args"], str(port)]


def handshake(port: int) -> list[str]:
    """A server of the SDK's first generation, which has sessions."""
    return [str(python_of("mcp126")), "-c", HANDSHAKE, str(port)]


BOTH = pytest.mark.parametrize("command", [modern, handshake])


@asynccontextmanager
async def running(command: list[str]) -> AsyncIterator[None]:
    """A server that listens; killed at the end."""
    process = await anyio.open_process(command, stdout=None)
    try:
        assert process.stderr is not None
        said = b""
        while b"Uvicorn running" not in said:
            said += await process.stderr.receive()
        yield
    finally:
        process.kill()
        with anyio.CancelScope(shield=True):
            await process.aclose()


@pytest.fixture
def port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@BOTH
async def test_a_server_that_was_started_again_is_called_again(tmp_path: Path, port: int, command: object) -> None:
    """It forgets sessions: the next call opens a new one, and the caller notices nothing."""
    assert callable(command)
    host = host_in(tmp_path)
    host.configure(web={"url": f"http://127.0.0.1:{port}/mcp"})
    async with servers_of(host) as servers:
        for text in ("first", "after a restart"):
            async with running(command(port)):
                assert text_of(await servers.call("web", "echo", {"text": text})) == text
                assert (await servers.listed())[0] == {
                    "name": "web",
                    "transport": "http",
                    "started": True,
                    "error": None,
                }


@BOTH
async def test_a_server_that_is_gone_is_said_to_be(tmp_path: Path, port: int, command: object) -> None:
    """Before it ever ran, and after it was killed; once it is back it is called."""
    assert callable(command)
    host = host_in(tmp_path)
    host.configure(web={"url": f"http://127.0.0.1:{port}/mcp"})
    async with servers_of(host) as servers:
        with pytest.raises(ServerFailed, match=r"'web' could not be started: .*connection"):
            await servers.tools("web")
        async with running(command(port)):
            await servers.tools("web")
        with pytest.raises(ServerFailed, match="'web'"):
            await servers.call("web", "echo", {"text": "anybody?"})
        async with running(command(port)):
            assert text_of(await servers.call("web", "echo", {"text": "back"})) == "back"


async def test_a_call_over_http_is_cancelled_in_the_server(tmp_path: Path, port: int) -> None:
    """By the end of its stream, while other calls go on."""
    host = host_in(tmp_path)
    host.configure(web={"type": "http", "url": f"http://127.0.0.1:{port}/mcp"})
    async with running(modern(port)), servers_of(host) as servers:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(servers.call, "web", "wait", {})
            await servers.call("web", "until_waiting", {})
            tasks.cancel_scope.cancel()
        assert text_of(await servers.call("web", "until_cancelled", {})) == "cancelled"


async def test_a_server_over_http_that_grows_is_listed_anew(tmp_path: Path, port: int) -> None:
    """A new tool is in the next list, and later answers say that there is news."""
    host = host_in(tmp_path)
    host.configure(web={"type": "http", "url": f"http://127.0.0.1:{port}/mcp"})
    async with running(modern(port)), servers_of(host) as servers:
        before = await servers.tools("web")
        await servers.call("web", "grow", {"name": "more"})
        assert len((await servers.tools("web"))["tools"]) == len(before["tools"]) + 1
        assert (await servers.call("web", "echo", {"text": "news"}))["revision"] > before["revision"]


async def test_headers_are_sent(tmp_path: Path, http: Listening) -> None:
    """Our own listener wants its token, here from a variable; without it the error has the status."""
    host = host_in(tmp_path)
    host.credentials = {"NOTEBOOK_TOKEN": TOKEN}
    authorization = {"Authorization": "Bearer ${NOTEBOOK_TOKEN}"}
    host.configure(ours={"url": http.url, "headers": authorization}, stranger={"url": http.url})
    async with servers_of(host) as servers:
        assert "execute_cell" in {tool["name"] for tool in (await servers.tools("ours"))["tools"]}
        with pytest.raises(ServerFailed, match="HTTP 401"):
            await servers.tools("stranger")
