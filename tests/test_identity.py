"""Which process is meant, and whether it lives."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from mcp_notebook import state
from mcp_notebook.identity import ProcessId, boot_id


@contextmanager
def sleeping() -> Iterator[tuple[subprocess.Popen[bytes], ProcessId]]:
    """A child process, and which one it is."""
    with subprocess.Popen(["sleep", "60"]) as process:
        try:
            yield process, found(process.pid)
        finally:
            process.kill()


def found(pid: int) -> ProcessId:
    identity = ProcessId.of(pid)
    assert identity is not None
    return identity


def test_a_process_lives_until_it_ends() -> None:
    """Also one that has ended and was not waited for, a zombie, is gone."""
    with sleeping() as (process, identity):
        assert identity.is_alive()
        assert identity == found(process.pid)
        assert identity.parent() == found(os.getpid())
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert not identity.is_alive()
        assert ProcessId.of(process.pid) is None
        process.wait()
        assert not identity.is_alive()
        assert identity.parent() is None


def test_it_is_the_same_after_a_restart_of_the_server() -> None:
    """What was written down is found again; anything else in its place is nothing."""
    identity = found(os.getpid())
    assert ProcessId.from_data({**identity.as_data(), "more": 1}) == identity
    wrong: list[object] = [
        None,
        7,
        [],
        {"pid": 1},
        {**identity.as_data(), "pid": "1"},
        {**identity.as_data(), "pid": -1},
    ]
    for data in wrong:
        assert ProcessId.from_data(data) is None


def test_another_process_of_the_same_number_is_not_it() -> None:
    """It is neither taken for alive nor sent a signal."""
    with sleeping() as (process, identity):
        earlier = replace(identity, start_time=str(int(identity.start_time) - 1))
        assert not earlier.is_alive()
        assert earlier.open_descriptor() is None
        earlier.send_signal(signal.SIGKILL)
        assert identity.is_alive()
        identity.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        identity.send_signal(signal.SIGTERM)


def test_a_process_of_another_boot_is_never_looked_for() -> None:
    """After a restart of the machine its number may be anybody's."""
    with sleeping() as (process, identity):
        earlier = replace(identity, boot_id="00000000-0000-0000-0000-000000000000:1")
        assert not earlier.is_alive()
        assert not earlier.may_live()
        earlier.send_signal(signal.SIGKILL)
        assert process.poll() is None


def test_what_cannot_be_looked_into_may_live() -> None:
    """Containers of one machine, each with its own process numbers, share a boot."""
    boot = boot_id().partition(":")[0]
    elsewhere = ProcessId(f"{boot}:1", 2, "3")
    assert not elsewhere.is_alive()
    assert elsewhere.may_live()


def test_a_name_with_parentheses_does_not_hide_the_start_time(tmp_path: Path) -> None:
    """The kernel of the system shows names as they are."""
    program = tmp_path / "a ) b (R 1"
    program.symlink_to(sys.executable)
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            assert found(process.pid).is_alive()
            assert found(process.pid).parent() == found(os.getpid())
        finally:
            process.kill()


@pytest.mark.parametrize("text", ["", "{", "null", "[]", "{}", '"x"', "99999999999999999999"])
def test_a_mark_that_cannot_be_read_is_nobodys(tmp_path: Path, text: str) -> None:
    """A directory is not kept for a torn file."""
    (tmp_path / state.OWNER).write_text(text)
    assert not state.is_owned(tmp_path)


def test_a_mark_of_an_earlier_version_is_honoured(tmp_path: Path) -> None:
    """It is a process id and nothing else."""
    (tmp_path / state.OWNER).write_text(str(os.getpid()))
    assert state.is_owned(tmp_path)
