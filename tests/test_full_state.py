"""A state directory on a disk that is full, when the server begins or while it works: nothing is lost later."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.calls import status
from tests.daemons import User, user, wait_until
from tests.programs import on_disk, works
from tests.relays import Relay


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """Whose server it is."""
    with user(tmp_path) as me:
        yield me


FILL = """
import os
home = os.environ["MCP_NOTEBOOK_HOME"]
filler = open(f"{home}/filler", "wb", buffering=0)
size = 1 << 16
while size:
    try:
        filler.write(b"x" * size)
    except OSError:
        size //= 2
try:
    with open(f"{home}/more", "w") as more:
        more.write("x")
except OSError as exc:
    print("full:", exc.strerror)
"""


@pytest.fixture
def small(me: User) -> Iterator[tuple[str, ...]]:
    """Before a relay: the home of all that it starts is a small disk of its own."""
    me.settings.home.mkdir()
    before = on_disk(me.settings.home, "size=2m")
    assert works(before), "This test needs Linux, and root or an ordinary user who may mount a tmpfs in a namespace."
    yield before
    if os.getuid():  # in there it was root, with a socket directory of its own
        me.end()
        shutil.rmtree(Path("/tmp/mcp-notebook-0"), ignore_errors=True)


def test_a_home_on_a_full_disk(me: User, small: tuple[str, ...]) -> None:
    """What runs runs on, and it is said what that means; a new session is refused. With room again nothing is lost."""
    with Relay(me, before=small) as client:
        client.initialize()
        answer = client.call("execute_cell", source=FILL)
        assert "full: No space left on device" in answer, answer
        told = answer
        handle = json.loads(client.call("list_sessions"))["sessions"][0]["session"]
        for value in range(20):
            answer = client.call("execute_cell", source=f"x = {value}; print('y' * 10_000); x")
            assert str(value) in answer.splitlines()[2:], answer
            told += answer
        assert told.count("The state directory cannot be written (No space left on device)") == 1
        refused = client.call("open_session", name="second")
        assert "No space left on device" in refused
        assert "The state directory" in refused
        assert "inserted" in client.call("edit_cell", source="print('long')", edit_mode="insert")
        assert " ok " in client.call("execute_cell", source="os.unlink(f'{home}/filler'); filler.close()")
        second = json.loads(client.call("open_session", name="second"))["session"]
        assert " ok " in client.call("execute_cell", source="z = 1", session=second)
        assert client.call("execute_cell", source="x", session=handle).splitlines()[-1] == "19"
        before = client.call("read_notebook", session=handle, outputs="full")
        me.kill_running_server()
        assert client.call("read_notebook", session=handle, outputs="full") == before
        assert "Saved" in client.call("save_notebook", path="a.py", session=handle)
    assert "print('long')" in (me.workspace / "a.py").read_text()


def test_a_home_that_is_full_when_the_server_starts(me: User, small: tuple[str, ...]) -> None:
    """It serves, though it cannot even write its log; what needs room is refused until there is some."""
    full = (*small, "sh", "-c", 'cat /dev/zero >"$MCP_NOTEBOOK_HOME/filler" 2>/dev/null; exec "$@"', "sh")
    with Relay(me, before=full) as client:
        client.initialize()
        for _ in range(2):
            refused = client.call("execute_cell", source="x = 1")
            assert "The state directory" in refused
            assert "No space left on device" in refused
        assert "sessions" in client.call("list_sessions")


def test_sessions_are_taken_over_on_a_full_disk(me: User, small: tuple[str, ...]) -> None:
    """A server that begins when nothing can be written any more has all that the one before it had."""
    with Relay(me, before=small) as client:
        client.initialize()
        assert " ok " in client.call("execute_cell", source="x = 7")
        handle = json.loads(client.call("list_sessions"))["sessions"][0]["session"]
        assert "full: No space left on device" in client.call("execute_cell", source=FILL)
        me.kill_running_server()
        assert client.call("execute_cell", source="x", session=handle).splitlines()[1] == "7"


MAKE_ROOM = """
import pathlib, threading, time
def make_room(go, done):
    while not go.exists():
        time.sleep(0.01)
    os.unlink(f"{home}/filler")
    filler.close()
    done.touch()
threading.Thread(target=make_room, args=(pathlib.Path("go"), pathlib.Path("done"))).start()
"""


def test_what_ended_on_a_full_disk_has_ended(me: User, small: tuple[str, ...]) -> None:
    """An execution of which nothing could be written is found as it was, once there was room."""
    with Relay(me, before=small) as client:
        client.initialize()
        assert "full: No space left on device" in client.call("execute_cell", source=FILL)
        begun = client.call("execute_cell", source=MAKE_ROOM + "input('Which? ')\n1 / 0", wait_s=30)
        execution = str(re.search(r"execution_id=(e-\w+)", begun)[1])  # type: ignore[index]
        ended = client.call("control_kernel", action="answer", text="x", execution_id=execution)
        assert status(ended) == "error"
        (me.workspace / "go").touch()
        wait_until((me.workspace / "done").exists)
        client.call("edit_cell", source="later", edit_mode="insert", cell_type="markdown")
        me.kill_running_server()
        assert status(client.call("get_output", execution_id=execution)) == "error"


def test_a_cell_that_comes_first_after_a_full_disk_comes_once(me: User, small: tuple[str, ...]) -> None:
    """What is written when there is room again is the whole document, and the new cell is not in it twice."""
    with Relay(me, before=small) as client:
        client.initialize()
        assert "full: No space left on device" in client.call("execute_cell", source=FILL)
        client.call("execute_cell", source=MAKE_ROOM)
        (me.workspace / "go").touch()
        wait_until((me.workspace / "done").exists)
        client.call("edit_cell", source="the first", edit_mode="insert", cell_type="markdown")
        me.kill_running_server()
        assert client.call("read_notebook").count("the first") == 1
