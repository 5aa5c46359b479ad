"""The state directory: what is kept in it for how long, and what is said where it cannot be used."""

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_notebook import state
from mcp_notebook.errors import StateUnusable
from mcp_notebook.settings import Settings
from tests.live import alone, ran

LONG_AGO_S = state.KEPT_S + 60


def aged(directory: Path) -> Path:
    """The directory, last changed more than a week ago."""
    then = time.time() - LONG_AGO_S
    os.utime(directory, (then, then))
    return directory


def test_what_ended_sessions_left_is_kept_for_a_week(tmp_path: Path) -> None:
    """Then it goes, but never what belongs to a living server, or what the next one goes on with, however old it is."""
    state.prepare(tmp_path)
    young, old, living, killed, waiting = (
        state.session_directory(tmp_path, name) for name in ("young", "old", "mine", "killed", "waiting")
    )
    for directory in (young, old, living, killed):
        (directory / "output.txt").write_text("text")
    for directory in (young, old):
        state.leave(directory)
    for directory in (killed, waiting):
        (directory / "owner").write_text("4194305")  # above the greatest process id
    (waiting / state.JOURNAL).touch()
    for directory in (old, living, killed, waiting):
        aged(directory)
    state.prepare(tmp_path)
    assert [each.exists() for each in (young, old, living, killed, waiting)] == [True, False, True, False, True]


def test_a_session_that_kept_nothing_leaves_no_directory(tmp_path: Path) -> None:
    """Thousands of short sessions are no clutter."""
    state.prepare(tmp_path)
    directory = state.session_directory(tmp_path, "short")
    state.leave(directory)
    assert not directory.exists()


def test_a_state_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    """With what to do about it."""
    (tmp_path / "state").write_text("")
    with pytest.raises(StateUnusable, match="MCP_NOTEBOOK_HOME"):
        state.prepare(tmp_path / "state")


@pytest.mark.anyio
async def test_a_sessions_files_are_its_own_alone(settings: Settings) -> None:
    """Long outputs and the kernel's log lie in one directory, which nobody else can enter."""
    async with alone(replace(settings, spill_over_chars=1000)) as session:
        await ran(session, "import os; print('x' * 3000); os.system('echo to the log >&2')")
        directory = settings.home / state.SESSIONS / session.handle
        assert directory.stat().st_mode & 0o077 == 0
        assert {path.suffix for path in directory.iterdir()} == {"", ".txt", ".log"}
    assert {path.suffix for path in directory.iterdir()} == {".txt", ".log"}
