"""Tokens of named principals: their file, the command, and a running server that notices both."""

import errno
import json
import os
import re
import resource
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from mcp_notebook import named_tokens
from mcp_notebook.admission import Admission, CannotVerify, any_of, only
from mcp_notebook.errors import BadRequest, ListenerRefused, NotReadNow, StateUnusable
from mcp_notebook.named_tokens import NamedTokens
from mcp_notebook.options import LOCAL
from mcp_notebook.verifying import named
from tests.daemons import User, user
from tests.listening import MODERN


def test_a_token_is_not_kept(tmp_path: Path) -> None:
    """The file has a hash, for its user alone; the name is found by the token."""
    token = named_tokens.add(tmp_path / "state", "alice")
    assert re.fullmatch(r"mnb_[A-Za-z0-9_-]{43}", token)
    file = tmp_path / "state" / "tokens.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert token not in file.read_text()
    assert [each.name for each in named_tokens.listed(tmp_path / "state")] == ["alice"]
    assert list(file.parent.iterdir()) == [file]


def test_changes_are_noticed(tmp_path: Path) -> None:
    """Of the file that a server has read before, or that was not there; what has become unusable lets in nobody."""
    tokens = NamedTokens(tmp_path)
    assert tokens.name_of("x") is None
    alice, bob = (named_tokens.add(tmp_path, name) for name in ("alice", "bob"))
    assert (tokens.name_of(alice), tokens.name_of(bob)) == ("alice", "bob")
    named_tokens.revoke(tmp_path, "alice")
    assert (tokens.name_of(alice), tokens.name_of(bob)) == (None, "bob")
    again = named_tokens.add(tmp_path, "alice")
    assert (tokens.name_of(alice), tokens.name_of(again)) == (None, "alice")
    file = tmp_path / "tokens.json"
    file.chmod(0o644)
    assert tokens.name_of(bob) is None
    file.chmod(0o600)
    assert tokens.name_of(bob) == "bob"
    file.rename(tmp_path / "elsewhere")
    assert tokens.name_of(bob) is None
    file.symlink_to(tmp_path / "elsewhere")
    assert tokens.name_of(bob) is None


@contextmanager
def no_descriptors() -> Iterator[None]:
    """No file can be opened, as in a process that has too many open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_read_that_fails_locks_nobody_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is known of the tokens meanwhile, so nobody comes in who may be revoked; then it is as ever."""
    alice = named_tokens.add(tmp_path, "alice")
    tokens = NamedTokens(tmp_path)
    for _ in range(2):
        with no_descriptors(), pytest.raises(NotReadNow, match=r"Too many open files.: try again") as failed:
            tokens.name_of(alice)
        assert "remove" not in str(failed.value)
    assert len(caplog.messages) == 1
    assert tokens.name_of(alice) == "alice"
    with no_descriptors():
        assert tokens.name_of(alice) == "alice"
    named_tokens.revoke(tmp_path, "alice")
    with no_descriptors(), pytest.raises(NotReadNow):
        tokens.name_of(alice)
    assert tokens.name_of(alice) is None


@pytest.mark.anyio
async def test_who_is_inside_stays_where_nothing_is_known(tmp_path: Path) -> None:
    """It is told as such, and other ways to come in go on."""
    alice = named_tokens.add(tmp_path, "alice")
    verify = any_of(named(NamedTokens(tmp_path)), only("mine"))
    with no_descriptors():
        with pytest.raises(CannotVerify, match="ask again"):
            await verify(alice)
        assert await verify("mine") == Admission(LOCAL)
    assert await verify(alice) == Admission("alice")
    assert await verify("nobody") is None


def test_a_file_that_is_gone_locks_out(tmp_path: Path) -> None:
    """Also with its directory; once it is back it counts again."""
    home = tmp_path / "state"
    alice = named_tokens.add(home, "alice")
    tokens = NamedTokens(home)
    assert tokens.name_of(alice) == "alice"
    home.rename(tmp_path / "elsewhere")
    assert tokens.name_of(alice) is None
    home.touch()
    assert tokens.name_of(alice) is None
    home.unlink()
    (tmp_path / "elsewhere").rename(home)
    assert tokens.name_of(alice) == "alice"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.ENXIO])
def test_a_file_that_may_not_be_read_locks_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Until it may: that can change without a change of the file. Here the answer of the system is given, since root
    may read everything."""
    alice = named_tokens.add(tmp_path, "alice")
    tokens = NamedTokens(tmp_path)

    def refuse(path: Path, *_: int) -> int:
        raise OSError(number, os.strerror(number), path)

    with monkeypatch.context() as patched:
        patched.setattr("mcp_notebook.secret_files.os.open", refuse)
        assert tokens.name_of(alice) is None
        with pytest.raises(ListenerRefused, match=r"cannot be read .*: remove it"):
            named_tokens.listed(tmp_path)
    assert tokens.name_of(alice) == "alice"


def test_those_who_change_at_once_do_not_undo_each_other(tmp_path: Path) -> None:
    """Each adds one, every second is taken back."""

    def one(number: int) -> None:
        named_tokens.add(tmp_path, f"p{number}")
        if number % 2:
            named_tokens.revoke(tmp_path, f"p{number}")

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(one, range(40)))
    assert {each.name for each in named_tokens.listed(tmp_path)} == {f"p{number}" for number in range(0, 40, 2)}


@pytest.mark.parametrize(
    "name",
    ["", "local", "LOCAL", "a b", "a/b", "..", ".x", "-x", "a\n", "a:b", "jwt:a", "\u00e9", "x" * 65, "a\0", "~", "*"],
)
def test_names_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    """Nothing is made."""
    with pytest.raises(BadRequest, match="cannot be a principal's name"):
        named_tokens.add(tmp_path, name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "1",
        "[" * 100_000,
        '{"alice": 1}',
        '{"alice": {}}',
        '{"alice": {"sha256": "", "made": ""}}',
        '{"alice": {"sha256": 1, "made": ""}}',
        json.dumps({"../x": {"sha256": "0" * 64, "made": ""}}),
    ],
)
def test_a_file_that_holds_no_tokens(tmp_path: Path, content: str) -> None:
    """It lets in nobody, and is not written over."""
    (tmp_path / "tokens.json").touch(0o600)
    (tmp_path / "tokens.json").write_text(content)
    assert NamedTokens(tmp_path).name_of("x") is None
    with pytest.raises(ListenerRefused, match="holds no tokens: remove it"):
        named_tokens.add(tmp_path, "alice")
    assert (tmp_path / "tokens.json").read_text() == content


def test_a_directory_that_cannot_be_one(tmp_path: Path) -> None:
    """It is said what to do."""
    (tmp_path / "state").touch()
    with pytest.raises(StateUnusable, match="make it a directory"):
        named_tokens.add(tmp_path / "state", "alice")


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    """A user of whom nothing is left running."""
    with user(tmp_path) as found:
        yield found


class Visitor:
    """Somebody over HTTP, in the 2026-07-28 era."""

    def __init__(self, somebody: User, token: str) -> None:
        match = re.search(r"http://\S+/mcp", somebody.status()["listening"][0])
        assert match is not None
        self._url = match[0]
        self._headers = {"Authorization": f"Bearer {token}", "Accept": "application/json, text/event-stream"}

    def ask(self, tool: str, **arguments: Any) -> httpx2.Response:
        """The answer to a call."""
        meta = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": tool, "arguments": arguments, "_meta": meta}
        headers = {"MCP-Protocol-Version": MODERN, "Mcp-Method": "tools/call", "Mcp-Name": tool}
        return httpx2.post(
            self._url,
            headers=self._headers | headers,
            json={"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params},
            timeout=60,
            trust_env=False,
        )

    def session(self) -> str:
        """The handle of a new one, called `same`."""
        match = re.search(r"\bsame-[0-9a-f]{16}\b", self.ask("open_session", name="same").text)
        assert match is not None
        return match[0]


def test_tokens_are_made_and_revoked_beside_a_running_server(somebody: User) -> None:
    """It is shown once, lets in at once, and is worth nothing once it is revoked; doctor names names."""

    def token(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return somebody.command("token", *arguments)

    somebody.start_server("--http", "127.0.0.1:0")
    made = token("add", "erin")
    assert made.returncode == 0
    secret = made.stdout.strip()
    erin = Visitor(somebody, secret)
    assert erin.ask("list_sessions").status_code == 200
    assert token("list").stdout.startswith("erin  since ")
    report = somebody.command("doctor").stdout
    assert "by tokens of their own erin" in report
    assert "limits: 200 kernels" in report
    own = (somebody.settings.home / "http-token").read_text().strip()
    assert secret not in report
    assert own not in report
    assert token("revoke", "erin").returncode == 0
    assert erin.ask("list_sessions").status_code == 401
    assert "has no token" in token("revoke", "erin").stderr
    assert token("add", "erin").returncode == 0
    assert "has a token" in token("add", "erin").stderr


def test_principals_are_kept_apart_across_a_killed_server(somebody: User) -> None:
    """The next one knows whose each session is; people name those of one name by their handles."""
    somebody.start_server("--http", "127.0.0.1:0")
    alice, bob = (Visitor(somebody, named_tokens.add(somebody.settings.home, name)) for name in ("alice", "bob"))
    hers, his = alice.session(), bob.session()
    bob.ask("execute_cell", source="secret = 'of bob'", session=his)
    somebody.kill_server()
    somebody.start_server()
    assert hers in (listed := alice.ask("list_sessions").text)
    assert his not in listed
    nobody = "same-0123456789abcdef"
    stolen, unknown = (alice.ask("execute_cell", source="secret", session=each) for each in (his, nobody))
    assert stolen.content == unknown.content
    assert "of bob" in bob.ask("execute_cell", source="secret", session=his).text
    shown = somebody.command("sessions").stdout
    assert re.search(rf"{his} .*bob: ", shown)
    ambiguous = somebody.command("sessions", "stop", "same")
    assert ambiguous.returncode == 1
    assert hers in ambiguous.stderr
    assert somebody.command("sessions", "stop", his).returncode == 0
    assert "principals/alice" in alice.ask("list_sessions").text
