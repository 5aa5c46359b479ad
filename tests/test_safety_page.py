"""docs/safety.md says plainly what is no wall: what it says that a cell can do, a cell does here."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import User, user
from tests.relays import Relays, relays

SECRET = "of-the-client-alone"
FIND_SECRET = """
import glob, os
def environment(path):
    try:
        return open(path, "rb").read()
    except OSError:
        return b""
found = [path for path in glob.glob("/proc/[0-9]*/environ") if b"NO_API_KEY=of-the-client-alone" in environment(path)]
print("NO_API_KEY" in os.environ, len(found) > 0)
"""
FIND_TOKEN = """
import glob, json, os
place = json.load(open(glob.glob(f"/tmp/mcp-notebook-{os.getuid()}/**/runtime.json", recursive=True)[0]))
print(len(place["token"]) > 30)
"""
LEAVE_BEHIND = """
from hermes_runtime import terminal
terminal("export WORD=kept")
terminal("echo said", background=True).wait(20)["output"]
"""


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """A user of whom nothing is left running, whose client has a key."""
    with user(tmp_path) as me:
        me.environment["NO_API_KEY"] = SECRET
        yield me


@pytest.fixture
def started(me: User) -> Iterator[Relays]:
    """Relays of this user."""
    with relays(me) as started:
        yield started


def test_a_cell_goes_around_what_prevents_accidents(me: User, started: Relays, tmp_path: Path) -> None:
    """Files outside the workspace, the withheld variables of other processes, the token of its kernel."""
    (tmp_path / "outside").write_text("not in the workspace")
    client = started.start()
    client.initialize()
    refused = client.call(
        "execute_cell", source=f"from hermes_runtime import read_file; read_file({str(tmp_path / 'outside')!r})"
    )
    assert "outside the workspace" in refused
    assert "not in the workspace" in client.call("execute_cell", source=f"open({str(tmp_path / 'outside')!r}).read()")
    assert "False True" in client.call("execute_cell", source=FIND_SECRET)
    assert "True" in client.call("execute_cell", source=FIND_TOKEN)


def test_what_is_kept_is_the_users_own(me: User, started: Relays) -> None:
    """By the modes that the page names, also where the user's umask is a wide one."""
    before = os.umask(0)
    try:
        client = started.start()
        client.initialize()
        assert "said" in client.call("execute_cell", source=LEAVE_BEHIND)
    finally:
        os.umask(before)
    home = Path(me.environment["MCP_NOTEBOOK_HOME"])
    (session,) = (home / "sessions").iterdir()
    private = [session, session / "terminal" / "variables", session / "journal.jsonl", *home.glob("*.log")]
    assert [path for path in private if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    assert "kept" in (session / "terminal" / "variables").read_text()
