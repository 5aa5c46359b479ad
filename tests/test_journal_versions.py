"""Journals of other versions of the product, written by hand: gone on with, or left alone and told."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_notebook.ledger import Ledger
from mcp_notebook.notebook import Notebook
from mcp_notebook.recalled import recall
from mcp_notebook.state import JOURNAL, SESSIONS
from mcp_notebook.versions import OLDEST, VERSION, UnreadableJournal
from tests.daemons import User, user

CALL = {"name": "terminal", "duration": 0.1, "ok": True}
CELL = {"cell_type": "code", "execution_count": 1, "id": "c0ffee00", "metadata": {}, "outputs": [], "source": "x = 1"}
EXECUTION = {
    "cell": "c0ffee00",
    "source": "x = 1",
    "revision": "12345678",
    "status": "running",
    "message": "",
    "order": 1,
    "place": 1,
    "began": 1.0,
    "elapsed_s": 2.0,
    "replay": False,
    "stop": False,
    "count": 1,
    "timings": {},
    "held": 0,
    "spilled": {},
    "msg_id": "m_1",
}
RAN = {"revision": "12345678", "life": 1, "order": 1, "ok": True, "lineage": 1, "place": 1}
MADE = {
    1: {"made/e-1": {"execution": "e-1", "begun": 3, "ended": [CALL, CALL]}},
    2: {"made/e-1/1": {"begun": 3, "call": CALL}, "made/e-1/2": {"begun": 3, "call": CALL}},
}
DEATH = {1: "The kernel died.", 2: {"fault": "The kernel died"}}
"""What changed from one version to the next: the runtime calls of an execution that runs, and how a death is told."""


def entries(version: int, workspace: Path, **more: Any) -> dict[str, Any]:
    """A session with a cell that ran and a kernel that is gone, as that version writes it."""
    handle = f"old-{version}-0123456789abcdef"
    facts: dict[str, Any] = {
        "handle": handle,
        "name": f"old-{version}",
        "workspace": str(workspace),
        "root": str(workspace),
    }
    facts |= {"principal": "local", "kernel_name": None, "started": "2026-01-01T00:00:00", "directory": str(workspace)}
    return {
        "version": version,
        "facts": facts,
        "lease": {"token": None, "client_name": "test", "agent": None, "process": None},
        "kernel": {"directory": None, "life": 1, "death": DEATH.get(version)},
        "metadata": {},
        "order": ["c0ffee00"],
        "cell/c0ffee00": CELL,
        "execution/e-1": EXECUTION,
        "ran/c0ffee00": RAN,
        **MADE.get(version, {}),
        **more,
    }


def write(directory: Path, told: dict[str, Any]) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / JOURNAL).write_text("".join(json.dumps([key, value]) + "\n" for key, value in told.items()))
    return directory


@pytest.mark.parametrize("version", range(OLDEST, VERSION + 1))
def test_a_version_that_is_known_says_the_same_as_this_one(tmp_path: Path, version: int) -> None:
    """And is of this version once it is gone on with, for the server after."""
    directory = write(tmp_path, entries(version, tmp_path))
    found = recall(directory)
    assert found is not None
    assert [cell["source"] for cell in found.cells] == ["x = 1"]
    assert found.made == {"e-1": {"execution": "e-1", "begun": 3, "ended": [CALL, CALL]}}
    assert found.kernel["death"] == {"fault": "The kernel died"}
    assert found.ran["c0ffee00"].ok
    notebook = Notebook()
    notebook.node["cells"] = found.cells
    Ledger(directory, notebook, found).close()
    again = recall(directory)
    assert again is not None
    assert (again.made, again.renewed, again.damaged) == (found.made, {}, 0)


def test_a_server_that_was_killed_while_it_renewed_a_journal(tmp_path: Path) -> None:
    """Whatever part of it was written, the next one finds the same."""
    directory = write(tmp_path, entries(1, tmp_path))
    before = (directory / JOURNAL).read_bytes()
    found = recall(directory)
    assert found is not None
    lines = [json.dumps([key, value]).encode() + b"\n" for key, value in found.renewed.items()]
    for count in range(len(lines) + 1):
        (directory / JOURNAL).write_bytes(before + b"".join(lines[:count]))
        again = recall(directory)
        assert again is not None
        assert again.made == found.made


def test_what_a_later_release_added_is_passed_over_and_kept(tmp_path: Path) -> None:
    """Keys of its own, and more about what is known, under the same version."""
    more = {"weather": {"today": "rain"}, "ran/c0ffee00": {**RAN, "mood": "good"}}
    directory = write(tmp_path, entries(VERSION, tmp_path, **more))
    found = recall(directory)
    assert found is not None
    assert found.ran["c0ffee00"].place == 1
    Ledger(directory, Notebook(), found).close()
    assert "rain" in (directory / JOURNAL).read_text()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (json.dumps(["version", VERSION + 1]) + "\n", "a newer mcp-notebook wrote it"),
        ('["version",0]\n', "an older mcp-notebook wrote it"),
        ('["version","two"]\n', "a newer mcp-notebook wrote it"),
        ("\0" * 4096 + "\n", "does not say whose it is"),
        ("version: 7\n\nall of it in some other way\n", "does not say whose it is"),
        ('["version",2]\n["order",[]]\n', "does not say whose it is"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, content: str, why: str) -> None:
    """With the reason, and untouched."""
    (tmp_path / JOURNAL).write_text(content)
    with pytest.raises(UnreadableJournal, match=why):
        recall(tmp_path)
    assert (tmp_path / JOURNAL).read_text() == content


def test_a_session_that_had_not_begun_is_nothing(tmp_path: Path) -> None:
    """Its server was killed while it opened the journal."""
    for content in ("", f'["version",{VERSION}]\n'):
        (tmp_path / JOURNAL).write_text(content)
        assert recall(tmp_path) is None


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path) as me:
        yield me


def test_the_user_is_told_what_the_server_could_not_read(me: User) -> None:
    """In the first answer of a new session, and by whoever asks for the old one; the readable ones are there."""
    sessions = me.settings.home / SESSIONS
    newer = entries(VERSION + 1, me.workspace)
    write(sessions / newer["facts"]["handle"], newer)
    damaged = entries(VERSION, me.workspace)
    directory = write(sessions / damaged["facts"]["handle"], damaged)
    with (directory / JOURNAL).open("ab") as file:
        file.write(b"\0" * 100 + b"\n")
    odd = {key: value for key, value in entries(VERSION, me.workspace).items() if key != "order"}
    odd["facts"] = {**odd["facts"], "handle": "odd-0123456789abcdef"}
    odd["kernel"] = {"directory": None, "life": "many", "death": 7}
    write(sessions / "odd-0123456789abcdef", odd)
    older = entries(OLDEST, me.workspace)
    write(sessions / older["facts"]["handle"], older)
    me.start_server()
    client = me.connect(agent="another")
    client.initialize()
    told = client.call("open_session")
    assert f"{newer['facts']['handle']} of an earlier server cannot be gone on with: a newer mcp-notebook" in told
    assert str(sessions / newer["facts"]["handle"]) in told
    assert "odd-0123456789abcdef of an earlier server cannot be gone on with: it is damaged" in told
    refused = client.call("read_notebook", session=newer["facts"]["handle"])
    assert "a newer mcp-notebook wrote it (its version is 3" in refused
    assert "x = 1" in client.call("read_notebook", session=older["facts"]["handle"])
    whole = client.call("read_notebook", session=damaged["facts"]["handle"])
    assert "x = 1" in whole
    assert "1 line of this session's journal is damaged" in whole
    assert (sessions / newer["facts"]["handle"] / JOURNAL).read_text().count("\n") == len(newer)
