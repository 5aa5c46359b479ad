"""Other users of the machine: they reach nothing of a user's server, and cannot make him use what they have put there.

Run by root, another user does for real what is tried. Run by anybody else, who cannot become another user, the
modes are looked at, and the places that belong to another are those of the system.
"""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_notebook import relay
from tests.daemons import HANDSHAKE, User, user

IS_ROOT = os.getuid() == 0
TRY = """
import os, socket, sys
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
def attempt(what, path):
    try:
        print(what(path))
    except OSError as exc:
        print(type(exc).__name__)
def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(20)
    client.connect(path)
    return client.recv(1000).decode().strip() or "closed"
for path in sys.argv[1:]:
    attempt(connect if path.endswith(".sock") or "/k-" in path else os.listdir, path)
"""
BASE = Path("/tmp/base")
"""In a /tmp of its own."""
HOME = BASE / "state"
CHECKOUT = Path(__file__).parents[1]
"""Seen in that /tmp too, if it lies in the other one."""
OWN_TMP = """
exec 9<"$KEPT"
mount -t tmpfs -o mode=1777 tmpfs /tmp && mkdir -p /tmp/base && cd /tmp/base || exit 70
case $KEPT in /tmp/*) mkdir -p "$KEPT" && mount -c --bind /proc/self/fd/9 "$KEPT" || exit 74 ;; esac
exec 9<&-
place=$1 && kind=$2 && shift 2 && mkdir -m 700 -p "${place%/*}" || exit 71
"""
PUT = OWN_TMP + (
    """
mkdir -m 700 /tmp/theirs && chown 65534:65534 /tmp/theirs || exit 72
case $kind in
open) mkdir -m 777 $place && chmod 777 $place ;;
closed) mkdir -m 700 $place ;;
link) ln -s /tmp/theirs $place ;;
file) touch $place ;;
esac && chown -h 65534:65534 $place || exit 73
"""
    if IS_ROOT
    else """
case $kind in
open) mkdir $place && mount --bind /var/tmp $place ;;
closed) mkdir $place && mount --bind /usr $place ;;
link) mkdir /tmp/theirs && ln -s /tmp/theirs $place ;;
file) touch $place ;;
esac || exit 73
"""
)
BEFORE_AND_AFTER = """
before=$(ls -lA $place $place/ /tmp/theirs 2>/dev/null)
"$@"
code=$?
[ "$before" = "$(ls -lA $place $place/ /tmp/theirs 2>/dev/null)" ] || exit 74
exit $code
"""


@pytest.fixture
def me(tmp_path: Path) -> Iterator[User]:
    """A user whose server and one kernel run."""
    with user(tmp_path) as me:
        me.start_server()
        client = me.connect()
        client.initialize()
        assert "ok" in client.call("execute_cell", source="x = 1")
        yield me


def sockets(me: User) -> list[Path]:
    """All that somebody could connect to: the server's, the keeper's, and the kernel's."""
    found = [path for path in me.settings.sockets.rglob("*") if path.is_socket()]
    assert {"daemon.sock", "keeper.sock"} <= {path.name for path in found}
    assert len(found) >= 6
    return found


def test_the_modes_of_what_others_must_not_reach(me: User) -> None:
    """The directories are the user's alone, and so are server and keeper themselves, and the kernel's keys."""
    for directory in (me.settings.sockets, me.settings.sockets.parent, me.settings.home / "sessions"):
        found = directory.lstat()
        assert (stat.S_IMODE(found.st_mode), found.st_uid) == (0o700, os.getuid()), directory
    for name in ("daemon.sock", "keeper.sock", "daemon.lock", "keeper.lock"):
        assert stat.S_IMODE((me.settings.sockets / name).lstat().st_mode) == 0o600, name
    for path in me.settings.sockets.glob("k-*/kernel.json"):
        assert stat.S_IMODE(path.lstat().st_mode) & 0o077 == 0, path


def test_another_user_reaches_nothing(me: User) -> None:
    """Neither a socket nor the list of what is there."""
    if not IS_ROOT:
        return
    paths = [*sockets(me), me.settings.sockets, me.settings.sockets.parent, me.settings.home]
    assert tried(*paths) == ["PermissionError"] * len(paths)


def test_another_user_is_refused_even_where_the_modes_let_him_in(me: User) -> None:
    """Server and keeper look at who connects."""
    if not IS_ROOT:
        return
    opened = (me.settings.sockets.parent, me.settings.sockets)
    for directory in opened:
        directory.chmod(0o711)
    try:
        for name in ("daemon.sock", "keeper.sock"):
            (me.settings.sockets / name).chmod(0o666)
        answer, of_keeper = tried(me.settings.sockets / "daemon.sock", me.settings.sockets / "keeper.sock")
        assert json.loads(answer) == {"error": "This server serves the user only who started it."}
        assert of_keeper == "closed"
        assert set(tried(*(path for path in sockets(me) if "/k-" in str(path)))) == {"PermissionError"}
    finally:
        for directory in opened:
            directory.chmod(0o700)


def tried(*paths: Path) -> list[str]:
    """What another user gets: the error's name, or what a listener said."""
    command = [sys.executable, "-c", TRY, *map(str, paths)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd="/").stdout.splitlines()


@pytest.mark.parametrize("kind", ["open", "closed", "link", "file"])
@pytest.mark.parametrize("level", ["parent", "directory"])
def test_what_another_user_has_put_in_place_is_not_used(level: str, kind: str) -> None:
    """A directory, open to all or not, a link, a file: relay and server refuse it, and make nothing in it."""
    parent = Path("/tmp/mcp-notebook-0")
    name = Path(relay.socket_directory({"MCP_NOTEBOOK_HOME": str(HOME)})).name
    place = parent if level == "parent" else parent / name
    asked = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": HANDSHAKE})
    answered = put_and_run(place, kind, asked + "\n")
    refused = f"{place} must be a directory, no symbolic link, of user 0 with mode 0700"
    assert refused in json.loads(answered.stdout)["error"]["message"], answered
    assert answered.stderr.startswith(f"mcp-notebook: {place} must be"), answered
    served = put_and_run(place, kind, "", "serve")
    assert served.returncode == 1, served
    assert (
        served.stderr == f"mcp-notebook: {place} is not a private directory of this user: remove it and call again.\n"
    )


def put_and_run(place: Path, kind: str, given: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """``mcp-notebook`` where something of another user lies at ``place``, in a /tmp of its own."""
    namespace = ("unshare", "--mount", *(() if IS_ROOT else ("--map-root-user",)))
    command = [*namespace, "sh", "-c", PUT + BEFORE_AND_AFTER, "sh", str(place), kind]
    return subprocess.run(
        [*command, sys.executable, "-m", "mcp_notebook", *arguments],
        env={"PATH": os.environ["PATH"], "HOME": str(BASE), "MCP_NOTEBOOK_HOME": str(HOME), "KEPT": str(CHECKOUT)},
        input=given,
        capture_output=True,
        text=True,
        check=False,
    )
