"""Who is let in over HTTP: tokens, Host and Origin headers, addresses, principals."""

import httpx2
import pytest
from mcp.server import MCPServer

from mcp_notebook.admission import Admission, only
from mcp_notebook.errors import ListenerRefused
from mcp_notebook.http import serve_http
from mcp_notebook.sessions import Connection
from mcp_notebook.settings import Settings
from tests.listening import HANDSHAKE, TOKEN, listening

pytestmark = pytest.mark.anyio

INITIALIZE = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}


@pytest.mark.parametrize("given", [None, "Bearer", "Basic dDp0", f"Basic {TOKEN}", "Bearer wrong", "Bearer é"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_without_the_token_nothing_is_answered(
    server: MCPServer[Connection], settings: Settings, method: str, given: str | None
) -> None:
    """401 and how to authenticate, on every path."""
    headers = {} if given is None else {b"Authorization": given.encode()}
    async with listening(server, settings) as http, httpx2.AsyncClient() as client:
        for url in (http.url, http.url.replace("/mcp", "/.well-known/oauth-protected-resource")):
            answer = await client.request(method, url, headers=headers)
            assert answer.status_code == 401
            challenge = answer.headers["WWW-Authenticate"]
            assert challenge.startswith("Bearer ")
            assert ("invalid_token" in challenge) == (given is not None)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:{port}"}, 421),
        ({"Host": "localhost:1"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "localhost:{port}", "Origin": "https://localhost:{port}"}, 200),
        ({"Host": "[::1]:{port}"}, 200),
        ({"Host": "proxy.example", "Origin": "https://proxy.example"}, 200),
        ({"Host": "proxy.example:8443"}, 200),
    ],
)
async def test_other_hosts_and_origins_are_refused(
    server: MCPServer[Connection], settings: Settings, headers: dict[str, str], status: int
) -> None:
    """A page whose name was made to mean this machine reaches the listener, and gets nothing."""
    async with (
        listening(server, settings, allowed_hosts=["proxy.example"]) as http,
        http.speaker() as speaker,
    ):
        given = {name: text.format(port=http.port) for name, text in headers.items()}
        assert (await speaker.send("initialize", INITIALIZE, **given)).status_code == status


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
async def test_other_machines_are_served_only_when_asked_for(
    server: MCPServer[Connection], settings: Settings, host: str
) -> None:
    """Plain HTTP shows the token to the network."""
    with pytest.raises(ListenerRefused, match="proxy with TLS"):
        await serve_http(server, settings, host, 0, verify=only(TOKEN))


async def test_headers_are_checked_for_other_machines_too(server: MCPServer[Connection], settings: Settings) -> None:
    """The protection does not depend on the address."""
    async with (
        listening(server, settings, host="0.0.0.0", allow_remote=True, allowed_hosts=["box.example:9"]) as http,
        http.speaker() as speaker,
    ):
        for host, status in (("0.0.0.0:{port}", 421), ("box.example", 421), ("box.example:9", 200)):
            answer = await speaker.send("initialize", INITIALIZE, Host=host.format(port=http.port))
            assert answer.status_code == status


async def test_a_port_that_is_taken_is_said(server: MCPServer[Connection], settings: Settings) -> None:
    """No listener is left half open."""
    async with listening(server, settings) as http:
        with pytest.raises(ListenerRefused, match=rf"127\.0\.0\.1:{http.port}.*choose another"):
            await serve_http(server, settings, "127.0.0.1", http.port, verify=only(TOKEN))


async def test_a_session_is_its_principals(server: MCPServer[Connection], settings: Settings) -> None:
    """Another principal finds neither the MCP session nor the notebook: as if there were none."""

    async def verify(token: str) -> Admission | None:
        name = {"a": "alice", "b": "bob"}.get(token)
        return None if name is None else Admission(name)

    async with (
        listening(server, settings, verify=verify) as http,
        http.speaker("a") as alice,
        http.speaker("b") as bob,
    ):
        handle = await bob.open_session()
        assert handle in await bob.call("list_sessions")
        assert handle not in await alice.call("list_sessions")
        unknown = await alice.call("read_notebook", session="none-0123456789abcdef")
        assert await alice.call("read_notebook", session=handle) == unknown
        await bob.shake_hands()
        stolen = await alice.send("ping", {}, **bob.session_headers)
        assert stolen.status_code == 404
        assert (await bob.send("ping", {})).status_code == 200
