"""A client that reads nothing while its cell prints 150 MB: server and relay stay small, and all of it can be had."""

import http.client
import json
import re
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from mcp_notebook.tokens import FILE
from tests.daemons import HANDSHAKE, User, text_of, user, wait_until
from tests.relays import Relay

pytestmark = pytest.mark.timeout(240)

LINE = 1000
LINES = 150_000
SERVER_MAY_GROW = 32_000_000
RELAY_MAY_GROW = 4_000_000
PRINTS = """
import time
began = time.monotonic()
for n in range({lines}):
    print(f"{{n:0{width}}}")
    if n % 1000 == 0: time.sleep(max(0, began + n * {line} / {per_s} - time.monotonic()))
open({done!r}, "w").close()
"""
BYTES_PER_S = 5_000_000
"""A server that is slower than its kernel holds what it has not read: this is what it must keep up with."""
Call = Callable[..., str]


class Http:
    """A client of the handshake era over HTTP; each request has a connection of its own."""

    def __init__(self, somebody: User) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            self.port = taken.getsockname()[1]
        somebody.start_server("--http", f"127.0.0.1:{self.port}")
        token = (somebody.settings.home / FILE).read_text().strip()
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.headers |= {"Accept": "application/json, text/event-stream"}
        response, _ = self.post({"id": 0, "method": "initialize", "params": HANDSHAKE})
        self.headers["Mcp-Session-Id"] = str(response.getheader("Mcp-Session-Id"))
        self.post({"method": "notifications/initialized"})

    def begin(self, message: dict[str, Any]) -> http.client.HTTPConnection:
        """Send it and read nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/mcp", json.dumps({"jsonrpc": "2.0", **message}), self.headers)
        return connection

    def post(self, message: dict[str, Any]) -> tuple[http.client.HTTPResponse, dict[str, Any]]:
        """Send it and read the answer."""
        connection = self.begin(message)
        return read(connection)

    def call(self, tool: str, **arguments: Any) -> str:
        asked = {"id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        return text_of(self.post(asked)[1])


def read(connection: http.client.HTTPConnection) -> tuple[http.client.HTTPResponse, dict[str, Any]]:
    response = connection.getresponse()
    events = [line[5:] for line in response.read().decode().splitlines() if line.startswith("data:")]
    connection.close()
    answers = [message for event in events if event.strip() and "id" in (message := json.loads(event))]
    return response, answers[-1] if answers else {}


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path) as found:
        yield found


def peak_bytes(pid: int) -> int:
    """The most that a process ever had resident."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def check_the_pages(call: Call, execution_id: str) -> None:
    """Pages from all over the output hold the lines that belong there, and the last one ends it."""
    for at in [*range(0, LINES, LINES // 100), LINES - 3]:
        page = call("get_output", cursor=f"{execution_id}@{at * LINE}").splitlines()
        lines = [line for line in page if line[:1] == "0" and len(line) == LINE - 1]
        assert [int(line) for line in lines] == list(range(at, at + len(lines)))
        assert len(lines) >= 3
    assert page[-1].endswith("This is the end of the output.")
    found = call("get_output", cursor=f"{execution_id}@0", search=f"0{LINES - 1}$")
    assert found.count("\n") >= 1


def asked(somebody: User) -> tuple[dict[str, Any], Path]:
    """The call that prints, and the file that its cell makes when it has."""
    done = somebody.workspace / "done"
    source = PRINTS.format(lines=LINES, line=LINE, width=LINE - 1, per_s=BYTES_PER_S, done=str(done))
    params = {"name": "execute_cell", "arguments": {"source": source}, "_meta": {"progressToken": "p"}}
    return {"id": 99, "method": "tools/call", "params": params}, done


def execution_in(text: str) -> str:
    return str(re.search(r"e-[0-9a-f]{8}", text)[0])  # type: ignore[index]


def test_over_stdio(somebody: User) -> None:
    """Its relay holds little as well; it also subscribed to the notebook."""
    with Relay(somebody) as relay:
        relay.initialize()
        relay.call("execute_cell", source="x = 1")
        server = somebody.status()["pid"]
        handle = somebody.status()["sessions"][0]["session"]
        relay.request("resources/subscribe", {"uri": f"notebook://{handle}"})
        before = {pid: psutil.Process(pid).memory_info().rss for pid in (server, relay.process.pid)}
        message, done = asked(somebody)
        relay.send({"jsonrpc": "2.0", **message})
        wait_until(done.exists, 120)
        text = text_of(relay.answer(99))
        assert " ok " in text.splitlines()[0]
        assert peak_bytes(server) - before[server] < SERVER_MAY_GROW
        assert peak_bytes(relay.process.pid) - before[relay.process.pid] < RELAY_MAY_GROW
        check_the_pages(relay.call, execution_in(text))
        assert relay.call("execute_cell", source="x + 1").endswith("2")


def test_over_http(somebody: User) -> None:
    """The stream of its call is not read before the cell has ended."""
    client = Http(somebody)
    client.call("execute_cell", source="x = 1")
    server = somebody.status()["pid"]
    before = psutil.Process(server).memory_info().rss
    message, done = asked(somebody)
    unread = client.begin(message)
    wait_until(done.exists, 120)
    text = text_of(read(unread)[1])
    assert " ok " in text.splitlines()[0]
    assert peak_bytes(server) - before < SERVER_MAY_GROW
    check_the_pages(client.call, execution_in(text))
    assert client.call("execute_cell", source="x + 1").endswith("2")
