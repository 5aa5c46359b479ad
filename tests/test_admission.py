"""Who comes in over HTTP, who has to leave, and what is refused at the door."""

import re
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import httpx2
import pytest
from mcp.server import MCPServer

from mcp_notebook import named_tokens
from mcp_notebook.admission import any_of, only
from mcp_notebook.auth import Auth
from mcp_notebook.issuer import Issuer
from mcp_notebook.issuer_keys import keys_of
from mcp_notebook.limits import Limits
from mcp_notebook.named_tokens import NamedTokens
from mcp_notebook.naming import directory_of
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.verifying import named, verifier
from tests.issuing import AUDIENCE, ISSUER, Key, publish, published
from tests.listening import HANDSHAKE, TOKEN, WITHIN_S, Listening, Speaker, listening
from tests.live import begun, finished

pytestmark = pytest.mark.anyio

KEY = Key("ES256")
INITIALIZE = (
    '{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-11-25",'
    ' "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}}'
)
GOOD = f"Authorization: Bearer {TOKEN}"
BAD = "Authorization: Bearer wrong"


async def status_of(http: Listening, *headers: str, target: str = "/mcp", body: str = INITIALIZE) -> int:
    """Of the answer to what is written by hand."""
    lines = [f"POST {target} HTTP/1.1", "Accept: application/json, text/event-stream", "Content-Type: application/json"]
    lines += [f"Host: 127.0.0.1:{http.port}"] if not any(line.lower().startswith("host") for line in headers) else []
    has_length = any(line.lower().startswith(("content-length", "transfer-encoding")) for line in headers)
    lines += [] if has_length else [f"Content-Length: {len(body)}"]
    async with await anyio.connect_tcp("127.0.0.1", http.port) as stream:
        await stream.send("\r\n".join([*lines, *headers, "", body]).encode("latin-1"))
        with anyio.fail_after(WITHIN_S):
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive()
    return int(data.split(b" ", 2)[1])


HEADERS: list[tuple[tuple[str, ...], int]] = [
    ((GOOD,), 200),
    ((f"AUTHORIZATION: BEARER {TOKEN}",), 200),
    ((f"authorization:bearer   {TOKEN}  ",), 200),
    ((), 401),
    ((BAD,), 401),
    ((f"Authorization: Bearer\t{TOKEN}",), 401),
    ((f"Authorization: Bearer{TOKEN}",), 401),
    ((f"Authorization: {TOKEN}",), 401),
    ((f"Authorization: Bearer {TOKEN} {TOKEN}",), 401),
    ((f"Authorization: Bearer {TOKEN},wrong",), 401),
    ((f"Authorization: Bearer wrong, Bearer {TOKEN}",), 401),
    ((f'Authorization: Bearer "{TOKEN}"',), 401),
    ((f"Authorization: Bearer {TOKEN[:-1]}",), 401),
    ((f"Authorization: Bearer {TOKEN}=",), 401),
    ((f"Authorization: Basic {TOKEN}",), 401),
    ((f"Proxy-Authorization: Bearer {TOKEN}",), 401),
    ((f"X-Authorization: Bearer {TOKEN}",), 401),
    ((f"Cookie: Authorization=Bearer {TOKEN}",), 401),
    ((f"Authorization : Bearer {TOKEN}",), 400),
    ((f"Authorization:\r\n Bearer {TOKEN}",), 200),  # folded, which means a space
    ((f" Authorization: Bearer {TOKEN}",), 400),
    ((GOOD, GOOD), 400),
    ((GOOD, BAD), 400),
    ((BAD, GOOD), 400),
    ((GOOD, "authorization: Basic eDp5"), 400),
    ((GOOD, "Host: evil.example"), 421),
    ((GOOD, "Host: 127.0.0.1:1", "Host: evil.example"), 400),
    ((GOOD, "Origin: http://evil.example"), 403),
    ((GOOD, "Origin: http://localhost:1", "Origin: http://evil.example"), 400),
    ((GOOD, "Mcp-Session-Id: a", "Mcp-Session-Id: b"), 400),
    ((GOOD, "MCP-Protocol-Version: 2026-07-28", "MCP-Protocol-Version: 2025-11-25"), 400),
    ((GOOD, "Content-Length: 1", f"Content-Length: {len(INITIALIZE)}"), 400),
    ((GOOD, f"Content-Length: {len(INITIALIZE)}", "Transfer-Encoding: chunked"), 400),
    ((GOOD, "Transfer-Encoding: chunked, identity"), 400),
]


@pytest.mark.parametrize(("headers", "status"), HEADERS)
async def test_headers_written_by_hand(
    server: MCPServer[Connection], settings: Settings, headers: tuple[str, ...], status: int
) -> None:
    """One Authorization header with one token, and nothing that a proxy may have read in another way."""
    async with listening(server, settings) as http:
        assert await status_of(http, *headers) == status


async def test_a_token_in_the_url_is_none(server: MCPServer[Connection], settings: Settings) -> None:
    """URLs are written into logs."""
    async with listening(server, settings) as http:
        for name in ("access_token", "token", "authorization"):
            assert await status_of(http, target=f"/mcp?{name}={TOKEN}") == 401
        assert await status_of(http, target=f"http://user:{TOKEN}@127.0.0.1:{http.port}/mcp") == 401
        assert await status_of(http, GOOD, target="/mcp/../etc") == 404


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where tokens are kept."""
    return tmp_path / "state"


async def until_refused(speaker: Speaker) -> httpx2.Response:
    """The answer to the first request that is not let in."""
    with anyio.fail_after(WITHIN_S):
        while True:
            answer = await speaker.send("initialize", {})
            if answer.status_code == 401:
                return answer
            await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_token_that_is_revoked_while_a_call_waits(
    server: MCPServer[Connection],
    settings: Settings,
    sessions: Sessions,
    home: Path,
    era: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call ends, its cell runs on, and who gets a new token of the name goes on with the session."""
    monkeypatch.setattr("mcp_notebook.door.RECHECK_S", 0.05)
    verify = named(NamedTokens(home))
    async with listening(server, settings, verify=verify) as http:
        async with http.speaker(named_tokens.add(home, "carol")) as carol:
            if era == "legacy":
                await carol.shake_hands()
            handle = await carol.open_session()
            session, ended = sessions.find(handle), anyio.Event()

            async def call() -> None:
                source = "print('begun', flush=True)\nwhile True: pass"
                async with carol.calling("execute_cell", source=source, session=handle, wait_s=600) as messages:
                    assert not [message async for message in messages if "result" in message]
                ended.set()

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                execution = await begun(session)
                named_tokens.revoke(home, "carol")
                assert 'error="invalid_token"' in (await until_refused(carol)).headers["WWW-Authenticate"]
                with anyio.fail_after(WITHIN_S):
                    await ended.wait()
            assert execution.status == "running"
        async with http.speaker(named_tokens.add(home, "carol")) as carol:
            assert "Interrupted" in await carol.call("control_kernel", action="interrupt", session=handle)
            await finished(execution)
        await sessions.end(session)


def of_issuer(keys: Path, **settings: float) -> tuple[Auth, Issuer]:
    publish(keys, KEY)
    auth = Auth(issuer=ISSUER, audience=(AUDIENCE,), jwks_file=str(keys), resource=AUDIENCE, **settings)  # type: ignore[arg-type]
    return auth, Issuer(auth, keys_of(auth).find)


async def test_a_web_token_that_expires_while_a_call_waits(
    server: MCPServer[Connection],
    settings: Settings,
    sessions: Sessions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call is answered; what only listens ends; the next request is not let in, and says so."""
    monkeypatch.setattr("mcp_notebook.door.RECHECK_S", 0.05)
    auth, issuer = of_issuer(tmp_path / "jwks.json", leeway_s=0.1)
    go, listened, answers = tmp_path / "go", anyio.Event(), list[str]()
    async with listening(server, replace(settings, auth=auth), verify=issuer.verify) as http:
        async with http.speaker(KEY.token()) as alice:
            handle = await alice.open_session()
        async with http.speaker(KEY.token(exp=time.time() + 2)) as alice, anyio.create_task_group() as tasks:

            async def call() -> None:
                until = f"while not pathlib.Path({str(go)!r}).exists(): pass"
                source = f"import pathlib\nprint('begun', flush=True)\n{until}"
                answers.append(await alice.call("execute_cell", source=source, session=handle, wait_s=600))

            async def listen() -> None:
                wanted = {"resourcesListChanged": True}
                async with alice.listening(wanted) as messages:
                    assert [message async for message in messages]
                listened.set()

            tasks.start_soon(call)
            tasks.start_soon(listen)
            execution = await begun(sessions.find(handle))
            await until_refused(alice)
            with anyio.fail_after(WITHIN_S):
                await listened.wait()
            assert execution.status == "running"
            await anyio.Path(go).touch()
        assert " ok " in answers[0]
        await sessions.end(sessions.find(handle))


async def test_clients_are_told_whom_to_ask(server: MCPServer[Connection], settings: Settings, tmp_path: Path) -> None:
    """RFC 9728: the refusal names a document, which is shown to everybody who means this server."""
    auth, issuer = of_issuer(tmp_path / "jwks.json")
    async with (
        listening(server, replace(settings, auth=auth), verify=issuer.verify) as http,
        httpx2.AsyncClient() as client,
    ):
        refused = await client.post(http.url)
        challenge = re.search(r'resource_metadata="https://box\.example(/[^"]*)"', refused.headers["WWW-Authenticate"])
        assert challenge is not None
        document = http.url.replace("/mcp", challenge[1])
        for host in (f"127.0.0.1:{http.port}", "box.example"):
            told = (await client.get(document, headers={"Host": host})).json()
            assert told["resource"] == AUDIENCE
            assert [each.rstrip("/") for each in told["authorization_servers"]] == [ISSUER]
        assert (await client.get(document, headers={"Host": "evil.example"})).status_code == 421
        assert (await client.get(document, headers={"Origin": "https://evil.example"})).status_code == 403
        assert (await client.get(f"{document}/more")).status_code == 404
        assert (await client.post(document)).status_code == 405


async def test_an_issuer_whose_keys_cannot_be_had(server: MCPServer[Connection], settings: Settings) -> None:
    """503 for those who come with its tokens; others come in as ever."""
    with published(KEY) as keys:
        keys.status = 500
        auth = Auth(issuer=ISSUER, audience=(AUDIENCE,), jwks_url=keys.url)
        verify = any_of(only(TOKEN), Issuer(auth, keys_of(auth).find).verify)
        async with listening(server, settings, verify=verify) as http:
            assert await status_of(http, f"Authorization: Bearer {KEY.token()}") == 503
            assert await status_of(http, GOOD) == 200
            assert await status_of(http, BAD) == 401


async def test_no_token_makes_anybody_the_user_himself(settings: Settings, home: Path, tmp_path: Path) -> None:
    """Neither a name nor a subject is `local`; a subject is not the principal of a named token either."""
    auth, _ = of_issuer(tmp_path / "jwks.json")
    verify = verifier(replace(settings, home=home, auth=auth))
    token = named_tokens.add(home, "alice")
    principals = [await verify(each) for each in (token, KEY.token(), KEY.token(sub="local"))]
    assert [each and each.principal for each in principals] == ["alice", "jwt:alice", "jwt:local"]
    own = await verify((home / "http-token").read_text().strip())
    assert own is not None
    assert own.principal == "local"


def test_each_principal_has_a_directory_of_his_own() -> None:
    """Whatever he is called: below the one that they share, told apart also where the case of letters is not."""
    names = [
        "alice", "Alice", "ALICE", "alice~2bd806c97f0e00af", "jwt:alice", "jwt-alice", "a", ".", "..", "../bob", "/etc",
        "", " ", "~", "a/b", "a\\b", "nul\0", "{principal}", "x" * 255, "x" * 256, "\u00e9", "e\u0301", "\u202e", "-rf",
        "a" * 63, "a" * 64, ".git", "jwt:auth0|5f7c8ec7c33c6c004bbafe82", "jwt:alice@example.com",
    ]  # fmt: skip
    directories = [directory_of(name) for name in names]
    assert len({each.lower() for each in directories}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._~-]{0,62}", each) for each in directories)


async def test_principals_with_odd_names_work(
    server: MCPServer[Connection], settings: Settings, sessions: Sessions, tmp_path: Path
) -> None:
    """A subject is what its issuer says: here it becomes no path."""
    auth, issuer = of_issuer(tmp_path / "jwks.json")
    del auth
    async with listening(server, settings, verify=issuer.verify) as http:
        for subject in ("../../bob", "auth0|x'\"<b>$(id)", "\u00fcber", "x" * 255):
            async with http.speaker(KEY.token(sub=subject)) as speaker:
                session = sessions.find(await speaker.open_session(name=subject))
                assert session.workspace.parent == settings.workspace / "principals"
                assert session.handle in await speaker.call("list_sessions")
                await sessions.end(session)


async def test_connections_of_a_principal(server: MCPServer[Connection], settings: Settings, home: Path) -> None:
    """MCP sessions and waiting requests are counted; another principal is not concerned."""
    tokens = [named_tokens.add(home, name) for name in ("carol", "dave")]
    small = replace(settings, limits=Limits(connections=3, request_bytes=10_000))
    async with (
        listening(server, small, verify=named(NamedTokens(home))) as http,
        http.speaker(tokens[0]) as carol,
        http.speaker(tokens[1]) as dave,
    ):
        params = {"protocolVersion": HANDSHAKE, "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
        answers = [await carol.send("initialize", params) for _ in range(4)]
        assert [each.status_code for each in answers] == [200, 200, 200, 429]
        assert "You have 3 MCP sessions" in answers[3].text
        assert "[limits] connections" in answers[3].text
        first = {"Mcp-Session-Id": answers[0].headers["mcp-session-id"], "MCP-Protocol-Version": HANDSHAKE}
        await carol.http.delete(http.url, headers=first)
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                await tasks.start(partial(_listen, carol))
            refused = await carol.send("initialize", params)
            assert (refused.status_code, "3 of your requests" in refused.text) == (429, True)
            assert (await dave.send("initialize", params)).status_code == 200
            tasks.cancel_scope.cancel()
        too_long = await dave.send("ping", {"padding": "x" * 10_000})
        assert (too_long.status_code, "[limits] request_bytes" in too_long.text) == (413, True)


async def _listen(speaker: Speaker, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    async with speaker.listening({"resourcesListChanged": True}) as messages:
        async for _ in messages:
            task_status.started()
            await anyio.sleep_forever()
