"""What must not stop the server: clients that speak nonsense, what lies in its way, sessions that are spoiled."""

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from mcp_notebook.listening import HELLO_BYTES
from mcp_notebook.state import JOURNAL, SESSIONS
from tests.daemons import WITHIN_S, Client, User, user, wait_until
from tests.relays import Relay

ANSWERED = 60.0


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """Whose server it is."""
    with user(tmp_path) as me:
        yield me


def opened(me: User, source: str = "x = 1", **hello: object) -> Client:
    """A client with a session."""
    client = me.connect(**hello)
    client.initialize()
    assert " ok " in client.call("execute_cell", source=source)
    return client


def handle_of(client: Client) -> str:
    """Of the client's one session."""
    (session,) = json.loads(client.call("list_sessions"))["sessions"]
    handle = session["session"]
    assert isinstance(handle, str)
    return handle


def stranger(me: User) -> socket.socket:
    """A connection on which nothing was said."""
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(WITHIN_S)
    client.connect(str(me.settings.sockets / "daemon.sock"))
    return client


def rest(client: socket.socket) -> bytes:
    """All that comes until the server closes the connection."""
    received = b""
    try:
        while chunk := client.recv(1 << 16):
            received += chunk
    except ConnectionResetError:  # it did not read all that was sent
        return received
    return received


def test_bad_first_lines_hurt_nobody(me: User) -> None:
    """Each is refused in a line and closed; who says nothing is, in the end; another client works all the time."""
    server = me.start_server()
    client = opened(me)
    process = psutil.Process(server.pid)
    descriptors = process.num_fds()
    silent = stranger(me)
    half = stranger(me)
    half.sendall(b'{"mcp_notebook": 1, "kind": "re')
    relay = {"mcp_notebook": 1, "kind": "relay", "workspace": str(me.workspace), "environment": {}}
    cases: list[tuple[bytes, str]] = [
        (b"hello", "is not JSON"),
        (b"", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1, 2]", "is no greeting of version 1"),
        (b'{"mcp_notebook": 2, "kind": "relay"}', "is no greeting of version 1"),
        (b'{"jsonrpc": "2.0", "id": 1, "method": "initialize"}', "is no greeting of version 1"),
        (b'{"mcp_notebook": 1, "kind": "relay"}', "A relay names `workspace`"),
        (json.dumps(relay | {"environment": 5}).encode(), "A relay names `workspace`"),
        (json.dumps(relay | {"resent": 5}).encode(), "`resent` is a list of ids"),
        (b'{"mcp_notebook": 1, "kind": "control"}', "No command None"),
        (b'{"mcp_notebook": 1, "kind": "control", "command": ["stop"]}', "No command"),
    ]
    for line, refused in cases:
        other = stranger(me)
        other.sendall(line + b"\n")
        assert refused in json.loads(rest(other))["error"], line[:80]
        other.close()
        assert client.call("execute_cell", source="x").splitlines()[-1] == "1"
    for each in (silent, half):
        assert "did not come in time" in json.loads(rest(each))["error"]
        each.close()
    wait_until(lambda: process.num_fds() <= descriptors)
    assert "Traceback" not in me.log()


def test_a_first_line_without_end(me: User) -> None:
    """It is given up after some megabytes, and its memory with it."""
    server = me.start_server()
    client = opened(me)
    memory = psutil.Process(server.pid).memory_info().rss
    for _ in range(5):
        other = stranger(me)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for _ in range(20 + (HELLO_BYTES >> 20)):
                other.sendall(b"x" * (1 << 20))
        other.close()
        assert client.call("execute_cell", source="x").splitlines()[-1] == "1"
    assert psutil.Process(server.pid).memory_info().rss < memory + 2 * HELLO_BYTES


def test_who_connects_and_leaves_at_once_is_forgotten(me: User) -> None:
    """Before, in the middle of and after the first line, and with answers on the way."""
    process = psutil.Process(me.start_server().pid)
    client = opened(me)
    descriptors = process.num_fds()
    greeting = {"mcp_notebook": 1, "kind": "relay", "workspace": str(me.workspace), "environment": {}}
    ping = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n'
    line = json.dumps(greeting).encode() + b"\n"
    for said in (b"", line[:20], line, line + ping, line + ping * 500, line + b"nonsense\n" * 50):
        for _ in range(10):
            other = stranger(me)
            other.sendall(said)
            other.close()
    wait_until(lambda: me.status()["clients"] == 1)
    wait_until(lambda: process.num_fds() <= descriptors)
    assert client.call("execute_cell", source="x").splitlines()[-1] == "1"
    assert "Traceback" not in me.log()


def socket_in_place(path: Path) -> None:
    """Which nobody listens on any more."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))


def link_in_place(path: Path) -> None:
    """To a file that must not be touched."""
    path.symlink_to(path.with_name("precious"))


@pytest.mark.parametrize("put", [socket_in_place, link_in_place, Path.touch])
def test_what_lies_in_place_of_the_sockets_gives_way(me: User, put: Callable[[Path], None]) -> None:
    """Sockets of the dead, a link, a file: server and keeper take their place, and follow no link."""
    directory = me.settings.sockets
    directory.mkdir(mode=0o700, parents=True)
    (directory / "precious").write_text("kept")
    for name in ("daemon.sock", "keeper.sock"):
        put(directory / name)
    for name in ("daemon.lock", "keeper.lock"):
        (directory / name).write_text(str(os.getpid()))
    with Relay(me) as client:
        client.initialize()
        assert " ok " in client.call("execute_cell", source="x = 1")
    assert (directory / "precious").read_text() == "kept"
    assert all((directory / name).is_socket() for name in ("daemon.sock", "keeper.sock"))


def test_a_directory_in_place_of_the_socket_is_named(me: User) -> None:
    """In one line, since nobody knows what is in it."""
    (me.settings.sockets / "daemon.sock").mkdir(parents=True)
    me.settings.sockets.chmod(0o700)
    ended = me.command("serve")
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert "daemon.sock is in the way and cannot be removed" in ended.stderr


@pytest.mark.timeout(200)
def test_a_keeper_that_hangs_stops_new_kernels_only(me: User) -> None:
    """Sessions work on, a new one is refused by what to look at, and it starts when the keeper goes on."""
    me.start_server()
    client = opened(me)
    (keeper,) = [process for process in me.processes() if "keeper.py" in " ".join(process.cmdline())]
    keeper.send_signal(signal.SIGSTOP)
    other = me.connect()
    other.initialize()
    other.wait_for(ANSWERED)
    number = other.begin("tools/call", {"name": "open_session", "arguments": {}})
    for value in range(5):
        assert client.call("execute_cell", source=f"x = {value}; x").splitlines()[-1] == str(value)
    refused = str(other.answer(number))
    assert "The keeper of the kernels" in refused
    assert "does not answer" in refused
    assert len(me.status()["sessions"]) == 1
    keeper.send_signal(signal.SIGCONT)
    assert " ok " in other.call("execute_cell", source="x = 1")
    assert len([process for process in me.processes() if "keeper.py" in " ".join(process.cmdline())]) == 1


SPOILED = {
    "no JSON": b"\x00\xff{{{\n" * 10,
    "not pairs": b'5\nnull\n"facts"\n[1, 2]\n[[1], 2]\n[{}, 2]\n["facts"]\n',
    "facts": b'["facts", 5]\n',
    "no facts in the facts": b'["facts", {}]\n',
    "lease": b'["lease", 5]\n',
    "kernel": b'["kernel", [1]]\n',
    "base": b'["base", {"x": 1}]\n',
    "order": b'["order", 5]\n',
    "cell": b'["cell/x", 5]\n',
    "execution": b'["execution/e-1", {"place": "x"}]\n',
    "ran": b'["ran/x", {"nonsense": 1}]\n',
    "run": b'["run/r-1", {}]\n',
    "request": b'["request/q", 7]\n',
    "metadata": b'["metadata", 5]\n',
    "deep": b'["order", ' + b"[" * 100_000 + b"\n",
}


@pytest.mark.timeout(300)
def test_a_spoiled_session_is_passed_over(me: User) -> None:
    """Whatever its journal or its document holds; it is logged, its kernel lives, and the others go on."""
    me.start_server()
    good, bad = opened(me, "x = 'good'"), opened(me, "x = 'bad'")
    bad.call("save_notebook", path="bad.py")
    bad.call("execute_cell", source="x")
    spoiled = me.settings.home / SESSIONS / handle_of(bad)
    (document,) = spoiled.glob("document-*.json")
    whole = {path: path.read_bytes() for path in (spoiled / JOURNAL, document)}
    tries = [(spoiled / JOURNAL, whole[spoiled / JOURNAL] + each, name) for name, each in SPOILED.items()]
    tries += [(document, each, "document") for each in (b"", b"{", b"5", b"{}", b'{"notebook": 5}', b"\xff")]
    tries += [(spoiled / JOURNAL, b"", "nothing"), (spoiled / JOURNAL, whole[spoiled / JOURNAL][:500], "torn")]
    token = good.greeted["lease"]
    for path, content, name in tries:
        me.kill_server()
        for each, data in whole.items():
            each.write_bytes(data)
        path.write_bytes(content)
        me.start_server()
        client = me.connect(lease=token)
        client.initialize()
        assert client.call("execute_cell", source="x").splitlines()[-1] == "'good'", (name, me.log())
    me.kill_server()
    for each, data in whole.items():
        each.write_bytes(data)
    me.start_server()
    assert len(me.status()["sessions"]) == 2
    assert f"The session in {spoiled}" in me.log()
