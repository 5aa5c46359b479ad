"""The server process: how it begins, how it ends, and what is left of it."""

import json
import re
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mcp_notebook.control import command
from mcp_notebook.journal import read
from mcp_notebook.state import JOURNAL, SESSIONS
from tests.daemons import HANDSHAKE, WITHIN_S, Client, User, text_of, user, wait_until
from tests.relays import Relay, Relays, relays

RSS_MAY_GROW = 24 << 20


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """Whose server it is."""
    with user(tmp_path) as me:
        yield me


@pytest.fixture
def started(me: User) -> Iterator[Relays]:
    """Relays of ``me``."""
    with relays(me) as started:
        yield started


def opened(me: User, source: str = "x = 1") -> Client:
    """A client with a session."""
    client = me.connect()
    client.initialize()
    assert " ok " in client.call("execute_cell", source=source)
    return client


def choose(me: User, **settings: object) -> None:
    """Write the settings file."""
    me.settings.home.mkdir(mode=0o700)
    lines = [f"{name} = {json.dumps(value)}\n" for name, value in settings.items()]
    (me.settings.home / "settings.toml").write_text("".join(lines))


def kinds(me: User) -> dict[str, list[psutil.Process]]:
    """The user's processes by what they are."""
    found: dict[str, list[psutil.Process]] = {"server": [], "keeper": [], "kernel": [], "other": []}
    for process in me.processes():
        line = " ".join(process.cmdline())
        names = {" serve": "server", "keeper.py": "keeper", "/kernel.json": "kernel"}
        found[next((kind for part, kind in names.items() if part in line), "other")].append(process)
    return found


def in_place(me: User) -> set[str]:
    """What lies in the socket directory."""
    return {path.name for path in me.settings.sockets.iterdir()}


def waiting_source(me: User) -> str:
    """A cell that runs until ``go`` is there."""
    return f"import pathlib, time\nwhile not pathlib.Path({str(me.workspace / 'go')!r}).exists(): time.sleep(0.01)"


def begin(me: User, client: Client, source: str) -> int:
    """The request of a cell that runs now."""
    number = client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": source}})
    wait_until(lambda: any(session["pending"] for session in me.status()["sessions"]))
    return number


def test_ten_relays_at_once_have_one_server_and_one_keeper(me: User) -> None:
    """Each of them is served, and has a kernel of its own."""
    clients = [Relay(me) for _ in range(10)]
    try:
        numbers = [client.begin("initialize", HANDSHAKE) for client in clients]
        for client, number in zip(clients, numbers, strict=True):
            assert "result" in client.answer(number)
            client.send({"jsonrpc": "2.0", "method": "notifications/initialized"})
        some = clients[:4]
        numbers = [
            client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": f"x = {at}; x"}})
            for at, client in enumerate(some)
        ]
        for at, client in enumerate(some):
            assert text_of(client.answer(numbers[at])).splitlines()[-1] == str(at)
        found = kinds(me)
        assert {kind: len(found[kind]) for kind in found} == {"server": 1, "keeper": 1, "kernel": 4, "other": 10}
        assert me.status()["clients"] == 10
    finally:
        for client in clients:
            client.kill()


def test_a_second_server_is_refused_and_a_killed_one_replaced(me: User) -> None:
    """The lock and the socket of one that was killed are no obstacle."""
    me.start_server()
    second = me.command("serve")
    assert second.returncode == 1
    assert second.stderr == (
        f"mcp-notebook: A server runs already, at {me.settings.sockets}/daemon.sock: `mcp-notebook sessions` shows what"
        " is alive.\n"
    )
    me.kill_server()
    assert {"daemon.sock", "daemon.lock"} <= in_place(me)
    assert me.start_server().pid == me.status()["pid"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_in_good_order(me: User, number: signal.Signals) -> None:
    """The running call is answered, the kernel lives, socket and lock are gone; the next server has it all again."""
    server = me.start_server()
    client = opened(me)
    running = begin(me, client, f"{waiting_source(me)}\nprint('came')")
    kernels = kinds(me)["kernel"]
    server.send_signal(number)
    answer = text_of(client.answer(running))
    assert " running " in answer.splitlines()[0]
    execution = re.search(r"execution_id=\"(e-\w+)\"", answer)
    assert execution is not None, answer
    with pytest.raises(EOFError):
        while True:
            client.receive()
    assert server.wait(WITHIN_S) == 0
    assert not {"daemon.sock", "daemon.lock", "start.lock"} & in_place(me)
    assert kinds(me)["kernel"] == kernels
    assert len(kernels) == 1
    (me.workspace / "go").touch()
    me.start_server()
    again = me.connect(lease=client.greeted["lease"])
    again.initialize()
    assert "came" in again.call("get_output", execution_id=execution[1], wait_s=WITHIN_S)


def test_an_idle_server_ends_and_leaves_nothing(me: User, started: Relays) -> None:
    """But not while a client is there, or a session."""
    choose(me, idle_exit_s=0.2)
    client = started.start()
    client.call("list_sessions")
    server = kinds(me)["server"]
    assert len(server) == 1
    client.close()
    psutil.wait_procs(server, timeout=WITHIN_S)
    wait_until(lambda: not me.processes())
    assert in_place(me) == set()
    assert list((me.settings.home / SESSIONS).iterdir()) == []


def test_a_session_keeps_its_server_until_all_are_stopped(me: User, started: Relays) -> None:
    """Saved; then nothing is left but the notebook, the logs and an empty directory."""
    choose(me, idle_exit_s=0.2)
    for _ in range(2):
        started.start().call("execute_cell", source="print('kept')")
    started.end()
    (server,) = kinds(me)["server"]
    wait_until(lambda: me.status()["clients"] == 0)
    done = me.command("sessions", "stop", "--all")
    assert done.returncode == 0, done
    assert len(re.findall(r"stopped, saved as .*/notebooks/notebook(-2)?\.", done.stdout)) == 2, done.stdout
    psutil.wait_procs([server], timeout=WITHIN_S)
    wait_until(lambda: not me.processes())
    assert in_place(me) == set()
    assert [path.name for path in (me.settings.home / SESSIONS).rglob(JOURNAL)] == []
    for name in ("notebook", "notebook-2"):
        assert "kept" in (me.workspace / "notebooks" / f"{name}.ipynb").read_text()
    assert me.command("sessions").stdout == "Nothing is alive: no server runs, and no session waits for one.\n"
    assert me.command("sessions", "stop", "--all").stdout == "Nothing is alive.\n"


def test_sessions_that_wait_for_a_server_are_stopped_by_one(me: User) -> None:
    """It is started for that, saves them, and ends."""
    me.start_server()
    opened(me, "print('kept')")
    me.kill_server()
    assert "These sessions wait for one" in me.command("sessions").stdout
    assert "stopped, saved as" in me.command("sessions", "stop", "notebook").stdout
    wait_until(lambda: not me.processes())
    assert "kept" in (me.workspace / "notebooks" / "notebook.ipynb").read_text()


def test_a_session_that_cannot_be_saved_is_kept(me: User) -> None:
    """Unless that is what is wanted; the others are stopped."""
    me.start_server()
    client = opened(me)
    client.call("save_notebook", path="a.py")
    other = opened(me)
    client.call("execute_cell", source="y = 2")
    (me.workspace / "a.ipynb").write_text("{broken")
    done = me.command("sessions", "stop", "--all")
    assert done.returncode == 1
    assert "not stopped, it could not be saved" in done.stdout
    assert "(--force loses it)" in done.stdout
    assert len(done.stdout.splitlines()) == 2
    assert client.call("execute_cell", source="y").splitlines()[1] == "2"
    assert json.loads(other.call("list_sessions"))["sessions"] == []
    done = me.command("sessions", "stop", "--all", "--force")
    assert (done.returncode, done.stdout.count("stopped")) == (0, 1)
    assert me.status()["sessions"] == []
    assert (me.workspace / "a.ipynb").read_text() == "{broken"


def test_stopping_what_is_not_there(me: User) -> None:
    """Says so, and touches nothing."""
    me.start_server()
    opened(me)
    done = me.command("sessions", "stop", "nothing")
    assert done.returncode == 1
    assert "No session is called 'nothing'" in done.stderr
    assert len(me.status()["sessions"]) == 1


@pytest.mark.timeout(300)
def test_descriptors_and_memory_stay_what_they_are(me: User) -> None:
    """Over 200 connections and 20 sessions that come and go."""
    process = psutil.Process(me.start_server().pid)

    def connect(times: int) -> None:
        for _ in range(times):
            client = me.connect()
            client.initialize()
            client.call("list_sessions")
            client.close()

    def use(times: int) -> None:
        for _ in range(times):
            client = opened(me, "print('x' * 100_000)")
            client.close()
            assert command(me.settings, "stop", name="notebook") is not None
            (me.workspace / "notebooks" / "notebook.ipynb").unlink()
            (me.workspace / "notebooks" / "notebook.py").unlink()

    keeps_it = me.connect()
    keeps_it.initialize()
    connect(20)
    use(3)
    wait_until(lambda: me.status()["clients"] == 1)
    descriptors, threads, memory = process.num_fds(), process.num_threads(), process.memory_info().rss
    connect(200)
    use(20)
    wait_until(lambda: me.status()["clients"] == 1)
    wait_until(lambda: process.num_fds() <= descriptors)
    assert process.num_threads() <= threads + 2
    assert process.memory_info().rss < memory + RSS_MAY_GROW
    assert len(kinds(me)["kernel"]) == 0


def test_many_who_only_wait_leave_one_who_works_alone(me: User) -> None:
    """200 connections beside it."""
    server = me.start_server()
    waiting = [me.connect() for _ in range(200)]
    for client in waiting[:100]:
        client.initialize()
    client = opened(me)
    for number in range(20):
        assert client.call("execute_cell", source=f"{number} + 1").splitlines()[-1] == str(number + 1)
    assert me.status()["clients"] == 201
    assert server.poll() is None
    for each in waiting:
        each.close()
    wait_until(lambda: me.status()["clients"] == 1)


def test_a_long_home(tmp_path: Path) -> None:
    """Of 200 characters and more: sockets lie elsewhere, so kernels start, and outlive their server."""
    with user(tmp_path, MCP_NOTEBOOK_HOME=str(tmp_path / ("h" * 200))) as me, relays(me) as started:
        client = started.start()
        assert " ok " in client.call("execute_cell", source="x = 1")
        me.kill_running_server()
        assert client.call("execute_cell", source="x + 1").splitlines()[-1] == "2"
        directory = me.settings.home / SESSIONS / me.status()["sessions"][0]["session"]
        assert "facts" in read(directory / JOURNAL).entries
        assert max(len(str(path)) for path in me.settings.sockets.rglob("*")) < 100


def test_more_connections_than_it_may_have_files(me: User) -> None:
    """Those who are served are served on; the others wait until some leave."""
    with Relay(me, before=("bash", "-c", 'ulimit -n 64 && exec "$@"', "bash")) as client:
        client.initialize()
        assert " ok " in client.call("execute_cell", source="x = 1")
        crowd = [socket.socket(socket.AF_UNIX) for _ in range(80)]
        for each in crowd:
            each.connect(str(me.settings.sockets / "daemon.sock"))
        wait_until(lambda: "could not be accepted" in (me.settings.home / "daemon.log").read_text())
        assert client.call("execute_cell", source="x").splitlines()[-1] == "1"
        for each in crowd:
            each.close()
        assert " ok " in opened(me).call("execute_cell", source="x")
