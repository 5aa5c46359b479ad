"""The seal on what clients bring back: of every server of this user, or where that cannot be of one alone."""

from pathlib import Path

import pytest
from mcp.server.request_state import InvalidRequestState

from mcp_notebook.sealing import FILE, sealing


def test_the_next_server_opens_it(tmp_path: Path) -> None:
    """The key is kept, for its user alone."""
    sealed = sealing(tmp_path).codec.seal(b"state")
    assert sealing(tmp_path).codec.unseal(sealed) == b"state"
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_a_key_that_others_can_read_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The server works, with a key of its own, and its log says what to do."""
    shared = sealing(tmp_path).codec.seal(b"state")
    (tmp_path / FILE).chmod(0o644)
    own = sealing(tmp_path).codec
    with pytest.raises(InvalidRequestState):
        own.unseal(shared)
    assert own.unseal(own.seal(b"state")) == b"state"
    assert "is open to others" in caplog.text and "remove it" in caplog.text
