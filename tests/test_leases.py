"""Whose session is whose: clients that share a connection, clients that share a name, and clients that come back.

Through real relays and a real server process; where the server is to be killed without its clients coming back at
once, without relays.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_notebook.recalled import recall
from tests.daemons import Client, User, text_of, user, wait_until
from tests.relays import Relay, Relays, relays

NO_SUCH = "No such session. list_sessions shows yours; open_session opens one and returns its handle."


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """Whose server the test's clients share."""
    with user(tmp_path) as me:
        yield me


@pytest.fixture
def started(me: User) -> Iterator[Relays]:
    """Relays of ``me``."""
    with relays(me) as started:
        yield started


def mine(client: Client | Relay) -> list[str]:
    """The handles of the client's sessions."""
    return [session["session"] for session in json.loads(client.call("list_sessions"))["sessions"]]


def only(client: Client | Relay) -> str:
    """The handle of the client's one session."""
    (handle,) = mine(client)
    return handle


def begin(client: Client | Relay, source: str) -> str:
    """Run ``source`` in the client's first session, and return the session's handle."""
    assert "ok" in client.call("execute_cell", source=source)
    return only(client)


def evaluate(client: Client | Relay, expression: str, **arguments: str) -> str:
    """What the expression is in the client's kernel: the last line of the answer but for notes."""
    lines = client.call("execute_cell", source=expression, **arguments).splitlines()
    return [line for line in lines if not line.startswith("Resumed the session ")][-1]


def connected(me: User, client_name: str = "test", **hello: object) -> Client:
    """A client that has shaken hands."""
    client = me.connect(**hello)
    client.initialize(client_name)
    return client


def test_several_sessions_on_one_connection(me: User, started: Relays) -> None:
    """The first one is the default while it is alone; with two a call must say which, and is told which there are."""
    client = started.start()
    first = begin(client, "x = 1")
    second = json.loads(client.call("open_session", name="second"))["session"]
    refused = client.call("execute_cell", source="x")
    assert "several sessions: pass `session`" in refused
    assert first in refused
    assert second in refused
    assert evaluate(client, "x", session=first) == "1"
    assert "NameError" in client.call("execute_cell", source="x", session=second)
    assert mine(client) == [first, second]


def test_two_clients_of_one_name_in_one_workspace_share_nothing(me: User, started: Relays) -> None:
    """Neither their default sessions nor what they list; nor do two with one agent's name."""
    for arguments in ([], ["--agent", "scout"]):
        one, other = started.start(*arguments), started.start(*arguments)
        first, second = begin(one, "x = 1"), begin(other, "x = 2")
        assert first != second
        assert (evaluate(one, "x"), evaluate(other, "x")) == ("1", "2")
        assert (only(one), only(other)) == (first, second)


def test_clients_that_begin_together_share_nothing(me: User, started: Relays) -> None:
    """Also when their first calls cross."""
    clients = [started.start() for _ in range(4)]
    calls = [
        client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": f"x = {number}; x"}})
        for number, client in enumerate(clients)
    ]
    answers = [text_of(client.answer(call)) for client, call in zip(clients, calls, strict=True)]
    assert [answer.splitlines()[-1] for answer in answers] == ["0", "1", "2", "3"]
    assert len({only(client) for client in clients}) == len(clients)


def test_a_client_that_is_started_again_goes_on(me: User, started: Relays) -> None:
    """With its one session, and the answer says so; whether it ended or was killed."""
    client = started.start()
    handle = begin(client, "x = 1")
    client.close()
    again = started.start()
    answer = again.call("execute_cell", source="x + 1")
    assert f"Resumed the session {handle}: its kernel is idle." in answer
    assert "\n2\n" in answer
    assert "Resumed" not in again.call("execute_cell", source="x")
    again.kill()
    third = started.start()
    assert json.loads(third.call("open_session"))["session"] == handle
    assert only(third) == handle


def test_of_two_that_are_started_again_neither_takes_the_others(me: User, started: Relays) -> None:
    """Each gets a new session; the first answer names what either may have had, and a handle goes on with it."""
    old = [started.start(), started.start()]
    handles = [begin(client, f"x = {number}") for number, client in enumerate(old)]
    for client in old:
        client.close()
    new = [started.start(), started.start()]
    for client in new:
        refused = client.call("inspect_variables")
        assert "There is no session yet" in refused
        assert all(handle in refused for handle in handles)
    for client in new:
        answer = client.call("execute_cell", source="y = 1")
        assert "This session is new. Several are free, and any may be yours" in answer
        assert all(handle in answer for handle in handles)
        assert only(client) not in handles
        assert "session is new" not in client.call("execute_cell", source="y")
    for number, client in enumerate(new):
        assert evaluate(client, "x", session=handles[number]) == str(number)
        assert len(mine(client)) == 2


def test_agents_with_names_get_their_own_back(me: User, started: Relays) -> None:
    """Also when both are started again, in another order."""
    handles = {}
    for name in ("ada", "bob"):
        client = started.start("--agent", name)
        handles[name] = begin(client, f"x = {name!r}")
        client.close()
    for name in ("bob", "ada"):
        client = started.start("--agent", name, client_name="another")
        assert evaluate(client, "x") == repr(name)
        assert only(client) == handles[name]
    assert me.command("sessions").stdout.count("\n") == 3


def test_one_is_started_again_while_the_other_lives(me: User, started: Relays) -> None:
    """It gets its own, which is the only one that is free."""
    one, other = started.start(), started.start()
    first, second = begin(one, "x = 1"), begin(other, "x = 2")
    for _ in range(3):
        one.close()
        one = started.start()
        assert evaluate(one, "x") == "1"
        assert only(one) == first
    assert only(other) == second


def test_living_clients_get_exactly_their_own_after_the_server_was_killed(me: User, started: Relays) -> None:
    """Though they cannot be told apart by anything but their tokens; a new one that comes first gets none of them."""
    clients = [started.start() for _ in range(3)]
    handles = [begin(client, f"x = {number}") for number, client in enumerate(clients)]
    extra = json.loads(clients[0].call("open_session", name="extra"))["session"]
    me.kill_running_server()
    fresh = started.start()
    assert only_new(fresh) not in [*handles, extra]
    for number in (2, 1, 0):
        assert evaluate(clients[number], "x", session=handles[number]) == str(number)
    assert mine(clients[0]) == [handles[0], extra]
    assert [only(client) for client in clients[1:]] == handles[1:]


def only_new(client: Client | Relay) -> str:
    """The handle of the session that the client's first call makes."""
    assert "Resumed" not in client.call("execute_cell", source="1")
    return only(client)


def test_a_client_is_waited_for_after_the_server_was_killed(me: User) -> None:
    """A third one does not get its session meanwhile, by whatever way; the token does."""
    me.start_server()
    client = connected(me)
    token = client.greeted["lease"]
    handle = begin(client, "x = 1")
    client.call("save_notebook", path="a.py")
    me.kill_server()
    client.close()
    me.start_server()
    other = connected(me)
    assert "is open in another session" in other.call("open_session", notebook="a.py")
    assert json.loads(other.call("open_session", name="notebook"))["session"] != handle
    back = connected(me, lease=token)
    assert evaluate(back, "x") == "1"
    assert only(back) == handle


@pytest.mark.parametrize("end", ["kill", "terminate"])
def test_a_client_that_went_before_the_server_is_not_waited_for(me: User, end: str) -> None:
    """It was not there when the server ended: whoever may go on with its session does so at once."""
    server = me.start_server()
    client = connected(me)
    handle = begin(client, "x = 1")
    client.close()
    wait_until(lambda: recall_lease(me, handle)["token"] is None)
    getattr(server, end)()
    server.wait()
    me.start_server()
    other = connected(me)
    assert evaluate(other, "x") == "1"
    assert only(other) == handle


def test_a_client_that_stayed_is_waited_for_after_the_server_ended(me: User) -> None:
    """The end of the server is not that of its clients."""
    server = me.start_server()
    client = connected(me)
    handle = begin(client, "x = 1")
    server.terminate()
    server.wait()
    assert recall_lease(me, handle)["token"] == client.greeted["lease"]


def recall_lease(me: User, handle: str) -> dict[str, Any]:
    """What the next server would know of it."""
    recalled = recall(me.settings.home / "sessions" / handle)
    assert recalled is not None
    return recalled.lease


def test_a_client_that_died_too_is_not_waited_for(me: User, started: Relays) -> None:
    """Whoever is started in its place goes on at once; the session of one that lives still waits for it."""
    dead, living = started.start("--agent", "one"), started.start("--agent", "two")
    handle, other = begin(dead, "x = 1"), begin(living, "x = 2")
    dead.kill()
    me.kill_running_server()
    again, stranger = started.start("--agent", "one"), started.start("--agent", "two")
    assert evaluate(again, "x") == "1"
    assert only(again) == handle
    assert only_new(stranger) != other
    assert evaluate(living, "x") == "2"


def test_nobody_is_waited_for_longer_than_the_settings_say(me: User) -> None:
    """Then its session goes to the next one that may be it."""
    me.settings.home.mkdir()
    (me.settings.home / "settings.toml").write_text("client_wait_s = 0.01\n")
    me.start_server()
    client = connected(me)
    handle = begin(client, "x = 1")
    me.kill_server()
    client.close()
    me.start_server()
    other = connected(me)
    assert evaluate(other, "x") == "1"
    assert only(other) == handle


def test_a_session_is_resumed_by_its_own_kind_only(me: User) -> None:
    """Not from another workspace, by another agent, or by a client of another name."""
    me.start_server()
    elsewhere = me.workspace.parent / "elsewhere"
    elsewhere.mkdir()
    client = connected(me)
    handle = begin(client, "x = 1")
    client.close()
    agent = connected(me, agent="ada")
    agents = begin(agent, "x = 2")
    agent.close()
    for hello, client_name in (
        ({"workspace": str(elsewhere)}, "test"),
        ({"workspace": str(me.workspace / "..")}, "test"),
        ({}, "another"),
        ({"agent": "bob"}, "test"),
        ({"agent": "ada", "workspace": str(elsewhere)}, "test"),
    ):
        stranger = connected(me, client_name, **hello)
        assert only_new(stranger) not in (handle, agents), (hello, client_name)
    assert evaluate(connected(me), "x") == "1"
    assert evaluate(connected(me, agent="ada"), "x") == "2"


def test_a_notebook_is_open_once(me: User) -> None:
    """While its client lives it is refused with the session's name; then whoever opens it goes on with the kernel."""
    me.start_server()
    client = connected(me)
    client.call("open_session", notebook="a.py", name="survey")
    handle = begin(client, "x = 1")
    client.call("save_notebook")
    other = connected(me, "another")
    for name in ("a.py", "a.ipynb", "./a.py"):
        assert "a.py + a.ipynb is open in another session, 'survey'" in other.call("open_session", notebook=name), name
    assert mine(other) == []
    client.close()
    wait_until(lambda: "is open in another" not in other.call("open_session", notebook="a.py"))
    assert only(other) == handle
    assert evaluate(other, "x") == "1"


def test_handles_that_are_none_get_one_answer(me: User) -> None:
    """Which does not tell what was wrong with them."""
    me.start_server()
    client = connected(me)
    handle = begin(client, "x = 1")
    name, _, bits = handle.rpartition("-")
    ended = json.loads(client.call("open_session", name="ended"))["session"]
    assert me.command("sessions", "stop", ended).returncode == 0
    forged = [
        f"{name}-{int(bits, 16) ^ 1:016x}",
        name,
        bits,
        handle.upper(),
        f" {handle}",
        "",
        "../x",
        "x" * 999,
        ended,
    ]
    for each in forged:
        assert client.call("execute_cell", source="x", session=each) == NO_SUCH, each
    assert evaluate(client, "x", session=handle) == "1"


def test_open_session_resumes_by_name(me: User) -> None:
    """Each of the sessions that a client had, also a second one; the connection's own are found by name too."""
    me.start_server()
    client = connected(me)
    handles = {}
    for name in ("survey", "plots"):
        handles[name] = json.loads(client.call("open_session", name=name))["session"]
        client.call("execute_cell", source=f"x = {name!r}", session=handles[name])
    client.close()
    again = connected(me)
    for name, handle in handles.items():
        opened = json.loads(again.call("open_session", name=name))
        assert opened["session"] == handle
        assert not opened["created"]
        assert any("Resumed" in note for note in opened["notes"])
        assert evaluate(again, "x", session=handle) == repr(name)
        assert json.loads(again.call("open_session", name=name))["session"] == handle
    other = json.loads(connected(me).call("open_session", name="survey"))
    assert other["created"]


def test_a_cell_runs_on_when_its_client_goes(me: User, started: Relays) -> None:
    """Killed or ended, in the middle of the call; who resumes the session finds what the cell gave."""
    go = me.workspace / "go"
    source = f"import pathlib, time\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\nx = 'came'; x"
    client = started.start()
    handle = begin(client, "x = 1")
    client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": source}})
    wait_until(lambda: pending(me, handle))
    client.kill()
    again = started.start()
    (execution,) = pending(me, handle)
    assert "running" in again.call("get_output", execution_id=execution, wait_s=0)
    go.touch()
    assert "came" in again.call("get_output", execution_id=execution, wait_s=30)
    assert evaluate(again, "x") == "'came'"
    assert only(again) == handle


def pending(me: User, handle: str) -> list[str]:
    """The ids of the session's executions that have not ended."""
    (found,) = [each["pending"] for each in me.status()["sessions"] if each["session"] == handle]
    assert isinstance(found, list)
    return found
