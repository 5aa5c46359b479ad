"""``mcp-notebook doctor`` on processes: servers, what dead ones left behind, other installations."""

import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

import mcp_notebook
from mcp_notebook import doctor
from mcp_notebook.finding import Finding
from mcp_notebook.kernels.kept import KeptKernel, kept_kernels
from mcp_notebook.processes import findings
from tests.daemons import Client, User, build, user, wait_until

OTHER = "0.0.1"


@pytest.fixture
def somebody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[User]:
    """Somebody on whose PATH no mcp-notebook is, and who does not run one by name."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setattr(sys, "argv", ["pytest"])
    with user(tmp_path) as found:
        yield found


def found(somebody: User) -> list[Finding]:
    return list(findings(somebody.settings))


def working(somebody: User, name: str = "work") -> tuple[Client, KeptKernel]:
    """A client with a session, and its kernel."""
    client = somebody.connect()
    client.initialize()
    client.call("open_session", name=name)
    [kernel] = kept_kernels(somebody.settings.sockets)
    return client, kernel


def killed(kernel: KeptKernel) -> None:
    """Kill it, and wait until its keeper has seen that."""
    kernel.identity.send_signal(signal.SIGKILL)
    wait_until(lambda: not kernel.identity.is_alive())


def test_no_server(somebody: User) -> None:
    """It is no fault: the next client starts one."""
    assert found(somebody) == [Finding("ok", "server: none runs; the next client starts one")]


def test_a_server(somebody: User) -> None:
    """Its process, its version and how many sessions it has."""
    server = somebody.start_server()
    working(somebody)
    about = f"server: process {server.pid}, version {mcp_notebook.__version__}, 1 session"
    assert found(somebody) == [Finding("ok", about)]


def test_sessions_that_wait_for_a_server(somebody: User) -> None:
    """They are counted, and their kernels, which live, are let live."""
    somebody.start_server()
    _, kernel = working(somebody)
    somebody.kill_server()
    *removed, server = sorted(found(somebody), key=lambda each: "server: none" in each.text)
    assert server.text == "server: none runs; 1 session of an earlier one, which the next client's server goes on with"
    assert [each.text.split(",")[0] for each in removed] == [f"removed {somebody.settings.sockets / 'daemon.sock'}"]
    assert kernel.identity.is_alive()
    assert kernel.directory.exists()


def test_a_server_of_another_version(tmp_path: Path) -> None:
    """A warning that says what becomes of it."""
    place = build(tmp_path / "older", OTHER)
    with user(tmp_path, PYTHONPATH=str(place)) as somebody:
        somebody.start_server()
        [server, *_] = found(somebody)
    assert server.level == "warn"
    assert f"version {OTHER}, 0 sessions" in server.text
    assert server.remedy.startswith(f"This is {mcp_notebook.__version__}. ")


def test_a_server_that_hangs(somebody: User) -> None:
    """Its process is named, and what to do with it."""
    server = somebody.start_server()
    server.send_signal(signal.SIGSTOP)
    [finding] = found(somebody)
    assert finding.level == "warn"
    assert finding.text == f"server: The server, process {server.pid}, does not answer"
    assert "kill -9" in finding.remedy


def test_stale_sockets_are_removed(somebody: User) -> None:
    """Those of a server and of a keeper that were killed; it is said, and said once."""
    somebody.start_server()
    _, kernel = working(somebody)
    somebody.kill_server()
    [keeper] = [each for each in somebody.processes() if "keeper.py" in " ".join(each.cmdline())]
    keeper.kill()
    psutil.wait_procs([keeper], timeout=20)
    names = [Path(each.text.split()[1].rstrip(",")).name for each in found(somebody) if each.text.startswith("removed")]
    assert names == ["daemon.sock", "keeper.sock"]
    assert not [each for each in found(somebody) if each.text.startswith("removed")]
    assert kernel.identity.is_alive()
    somebody.start_server()
    client = somebody.connect()
    client.initialize()
    assert "2" in client.call("execute_cell", source="1 + 1")


def test_sockets_of_living_processes_stay(somebody: User) -> None:
    """Also when they do not accept at the moment: they hold their locks."""
    somebody.start_server()
    working(somebody)
    daemon = somebody.settings.sockets / "daemon.sock"
    daemon.unlink()
    daemon.touch()  # nobody listens on it
    [finding] = found(somebody)
    assert "none runs" in finding.text
    assert daemon.exists()


def test_a_dead_kernel_of_a_running_server(somebody: User) -> None:
    """Nothing to mend: the server has seen it, and the session tells."""
    somebody.start_server()
    client, kernel = working(somebody)
    killed(kernel)
    assert "signal 9" in client.call("execute_cell", source="1")
    wait_until(lambda: not kernel.directory.exists())
    assert [each.level for each in found(somebody)] == ["ok"]
    assert " dead " in somebody.command("sessions").stdout


def test_a_dead_kernel_that_no_session_has_is_removed(somebody: User) -> None:
    """What a server left that was killed at the wrong moment."""
    somebody.start_server()
    _, kernel = working(somebody)
    somebody.kill_server()
    killed(kernel)
    [session] = (somebody.settings.home / "sessions").iterdir()
    shutil.rmtree(session)
    assert f"removed {kernel.directory}, of a dead kernel that no session has" in [
        each.text for each in found(somebody)
    ]
    assert not kernel.directory.exists()


def test_how_a_kernel_died_without_a_server_is_not_lost(somebody: User) -> None:
    """Doctor starts and ends a kernel of its own, and leaves that one to the next server."""
    somebody.start_server()
    client, kernel = working(somebody)
    client.call("execute_cell", source="x = 1")
    somebody.kill_server()
    killed(kernel)
    done = somebody.command("doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "its kernel, process" in done.stdout
    assert "It works, but see the warning above." in done.stdout
    somebody.start_server()
    again = somebody.connect(lease=client.greeted["lease"])
    again.initialize()
    assert "signal 9" in again.call("execute_cell", source="x")


def test_two_installations(somebody: User, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Clients may start the other one; a link to the same one is no other."""
    places = [tmp_path / name for name in ("one", "two", "link")]
    for place in places:
        place.mkdir()
    for place in places[:2]:
        (place / "mcp-notebook").write_text("#!/bin/sh\n")
        (place / "mcp-notebook").chmod(0o755)
    (places[2] / "mcp-notebook").symlink_to(places[0] / "mcp-notebook")
    monkeypatch.setenv("PATH", f"{places[0]}:{places[2]}")
    assert len(found(somebody)) == 1
    monkeypatch.setenv("PATH", f"{places[0]}:{places[1]}:{places[2]}")
    [_, finding] = found(somebody)
    assert finding.level == "warn"
    assert finding.text == f"installations: {places[0] / 'mcp-notebook'}, {places[1] / 'mcp-notebook'}"


def test_kernels_of_another_state_directory_are_not_ours(somebody: User, tmp_path: Path) -> None:
    """Two state directories may share the sockets' directory: XDG_STATE_HOME does not change that one."""
    somebody.start_server()
    _, kernel = working(somebody)
    somebody.kill_server()
    killed(kernel)
    other = replace(somebody.settings, home=tmp_path / "other")
    assert not [each for each in findings(other) if "kernel" in each.text]
    assert kernel.directory.exists()


@pytest.mark.anyio
async def test_directories_that_it_makes_are_the_users_alone(somebody: User, tmp_path: Path) -> None:
    """Also those above them: nothing would use sockets that others can come near."""
    settings = replace(somebody.settings, sockets=tmp_path / "above" / "sockets")
    said = [each async for each in doctor.findings(settings) if "socket directory" in each.text]
    assert said == [Finding("ok", f"socket directory {tmp_path}/above/sockets")]
    assert {each.stat().st_mode & 0o777 for each in (settings.sockets, settings.sockets.parent)} == {0o700}
