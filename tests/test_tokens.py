"""The file with the token of the HTTP listener."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mcp_notebook.errors import ListenerRefused
from mcp_notebook.tokens import token


def test_the_first_call_makes_it_and_later_ones_read_it(tmp_path: Path) -> None:
    """32 random bytes, for the user alone, also where the umask says nothing."""
    before = os.umask(0)
    try:
        made = token(tmp_path / "state")
    finally:
        os.umask(before)
    assert len(made) == 43
    assert token(tmp_path / "state") == made
    file = tmp_path / "state" / "http-token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert list(file.parent.iterdir()) == [file]


def test_those_who_start_at_once_agree(tmp_path: Path) -> None:
    """The first file stays, and nobody reads half of it."""
    with ThreadPoolExecutor(16) as threads:
        assert len(set(threads.map(token, [tmp_path] * 64))) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_one_that_others_could_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    """Whoever saw it once has it."""
    token(tmp_path)
    (tmp_path / "http-token").chmod(mode)
    with pytest.raises(ListenerRefused, match=r"is open to others.*remove it"):
        token(tmp_path)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    """It may point at what somebody else chose."""
    token(tmp_path / "other")
    (tmp_path / "http-token").symlink_to(tmp_path / "other" / "http-token")
    with pytest.raises(ListenerRefused, match="is a symbolic link"):
        token(tmp_path)


@pytest.mark.parametrize("content", ["", "short", "x" * 50 + " y"])
def test_what_is_no_token_is_refused(tmp_path: Path, content: str) -> None:
    """An empty token would let everybody in."""
    (tmp_path / "http-token").touch(0o600)
    (tmp_path / "http-token").write_text(content)
    with pytest.raises(ListenerRefused, match="holds no token"):
        token(tmp_path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """Only a regular file can be a secret of one's own."""
    os.mkfifo(tmp_path / "http-token", 0o600)
    with pytest.raises(ListenerRefused, match="no regular file"):
        token(tmp_path)


def test_a_directory_is_refused(tmp_path: Path) -> None:
    """However it came there."""
    (tmp_path / "http-token").mkdir(0o700)
    with pytest.raises(ListenerRefused, match="no regular file"):
        token(tmp_path)
