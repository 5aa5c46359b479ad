"""``mcp-notebook sessions`` and ``sessions stop``: what a user sees of what is alive, and ends."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import User, user, wait_until


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path) as found:
        yield found


def listed(somebody: User, *arguments: str) -> str:
    """What the command says, which goes well."""
    done = somebody.command("sessions", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


def test_nothing_is_alive(somebody: User) -> None:
    """It is said, nothing is started and nothing is made."""
    assert listed(somebody) == "Nothing is alive: no server runs, and no session waits for one.\n"
    assert listed(somebody, "stop", "--all") == "Nothing is alive.\n"
    assert somebody.processes() == []
    assert not somebody.settings.home.exists()


def test_a_server_without_sessions(somebody: User) -> None:
    """Its process is named."""
    server = somebody.start_server()
    assert f"process {server.pid}," in listed(somebody)
    assert "no sessions" in listed(somebody)


def test_sessions_in_use_and_free_ones(somebody: User) -> None:
    """Each with its state, who uses it or did last, since when, and its notebook."""
    somebody.start_server()
    staying, leaving, agent = somebody.connect(), somebody.connect(), somebody.connect(agent="Ada")
    for client, name in ((staying, "editor"), (leaving, "terminal"), (agent, "editor")):
        client.initialize(name)
        client.call("execute_cell", source="1")
    staying.call("save_notebook", path="kept.py")
    leaving.close()
    wait_until(lambda: "(terminal)" in listed(somebody))
    headings, *rows, legend = listed(somebody).splitlines()
    assert headings.split() == ["SESSION", "STATE", "CLIENT", "STARTED", "NOTEBOOK"]
    columns = [re.split(r"  +", row) for row in rows]
    assert [row[1:3] for row in columns] == [["idle", "editor"], ["idle", "(terminal)"], ["idle", "Ada"]]
    assert [row[4] for row in columns] == [str(somebody.workspace / "kept.py"), "(not saved)", "(not saved)"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d", row[3]) for row in columns)
    assert legend.startswith("(In parentheses: who used it last.")


def test_long_and_hostile_names_keep_the_table_in_shape(somebody: User) -> None:
    """Clients choose their names, and may put anything into them."""
    somebody.start_server()
    client = somebody.connect()
    client.initialize("x" * 300 + "\n\x1b[2J")
    other = somebody.connect(agent="\x1b[31mred\nline")
    other.initialize()
    for each in (client, other):
        each.call("open_session", name="a very long name of a session " * 10)
    lines = listed(somebody).splitlines()
    assert len(lines) == 3
    assert all(line.isprintable() and len(line) < 160 for line in lines)
    assert "?[31mred?line" in lines[2]


def test_sessions_wait_without_a_server(somebody: User) -> None:
    """They are named, and can be stopped: a server is started for it, which ends afterwards."""
    somebody.start_server()
    client = somebody.connect()
    client.initialize()
    handle = json.loads(client.call("open_session", name="waiting"))["session"]
    client.call("execute_cell", source="x = 1")
    somebody.kill_server()
    said = listed(somebody)
    assert said.startswith("No server runs.")
    assert handle in said
    said = listed(somebody, "stop", "waiting")
    assert said == f"{handle}: stopped, saved as {somebody.workspace / 'notebooks' / 'waiting.py'}\n"
    assert listed(somebody).startswith("Nothing is alive")
    wait_until(lambda: somebody.processes() == [])


def test_all_are_stopped(somebody: User) -> None:
    """Saved, where there is something to save; a server that nobody is connected to ends too."""
    server = somebody.start_server()
    for name in ("one", "two"):
        client = somebody.connect()
        client.initialize()
        client.call("open_session", name=name)
        if name == "one":
            client.call("execute_cell", source="1")
        client.close()
    said = listed(somebody, "stop", "--all")
    assert re.search(r"^one-\w+: stopped, saved as .*/one\.py$", said, re.MULTILINE)
    assert re.search(r"^two-\w+: stopped, nothing to save$", said, re.MULTILINE)
    server.wait(20)
    wait_until(lambda: somebody.processes() == [])


def test_what_cannot_be_saved_is_kept_unless_forced(somebody: User) -> None:
    """It is said, with the way to end it all the same."""
    somebody.start_server()
    client = somebody.connect()
    client.initialize()
    client.call("open_session", name="unlucky")
    client.call("execute_cell", source="x = 1")
    (somebody.workspace / "notebooks").write_text("no directory")
    done = somebody.command("sessions", "stop", "unlucky")
    assert done.returncode == 1
    assert "not stopped, it could not be saved" in done.stdout
    assert "--force" in done.stdout
    assert "unlucky-" in listed(somebody)
    assert "stopped, nothing to save" not in (forced := listed(somebody, "stop", "unlucky", "--force"))
    assert "stopped, not saved" in forced
    assert "no sessions" in listed(somebody)


@pytest.mark.parametrize("arguments", [(), ("one", "--all"), ("nobody",)])
def test_unclear_orders_stop_nothing(somebody: User, arguments: tuple[str, ...]) -> None:
    """Neither name nor --all, both, or a name that no session has: one line says what to do."""
    somebody.start_server()
    client = somebody.connect()
    client.initialize()
    client.call("open_session", name="one")
    done = somebody.command("sessions", "stop", *arguments)
    assert done.returncode == (1 if arguments == ("nobody",) else 2)
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert "`mcp-notebook sessions` lists them" in done.stderr
    assert "one-" in listed(somebody)


def test_a_server_that_hangs_is_named(somebody: User) -> None:
    """The command gives up, with the process to end."""
    server = somebody.start_server()
    server.send_signal(signal.SIGSTOP)
    done = somebody.command("sessions")
    assert done.returncode == 1
    assert f"process {server.pid}, does not answer" in done.stderr
    assert len(done.stderr.splitlines()) == 1
