"""How a relay finds a daemon, starts one, and what it does when it cannot trust or start any."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mcp_notebook.relay import home_directory, socket_directory
from mcp_notebook.settings import load
from tests.conftest import environment_of
from tests.relayed import Bench, Relay, bench, text_of

ENVIRONMENTS: list[dict[str, str]] = [
    {},
    {"MCP_NOTEBOOK_HOME": "/tmp/somewhere"},
    {"MCP_NOTEBOOK_HOME": "~/a/../b/"},
    {"MCP_NOTEBOOK_HOME": "relative"},
    {"MCP_NOTEBOOK_HOME": "/tmp/é"},
    {"MCP_NOTEBOOK_HOME": "", "XDG_STATE_HOME": "/tmp/state"},
]

OTHER_USER = 65534


@pytest.fixture(name="bench")
def _bench(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as it:
        yield it


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_relay_and_server_mean_the_same_directories(environment: dict[str, str]) -> None:
    """Else they would not meet."""
    settings = load(environment)
    assert str(settings.sockets) == socket_directory(environment)
    assert str(settings.home) == home_directory(environment)


@pytest.mark.parametrize(
    ("here", "chosen", "workspace"),
    [
        ("project", {}, "project"),
        ("home", {}, "home/notebooks"),
        ("/", {}, "home/notebooks"),
        ("project", {"CLAUDE_PROJECT_DIR": "claude"}, "claude"),
        ("project", {"CLAUDE_PROJECT_DIR": "claude", "MCP_NOTEBOOK_WORKSPACE": "mine"}, "mine"),
    ],
)
def test_the_workspace_is_where_the_client_works(
    bench: Bench, here: str, chosen: dict[str, str], workspace: str
) -> None:
    """It is made if it is missing. No client works in / or in its home."""
    bench.daemon()
    (bench.base / "project").mkdir()
    environment = bench.environment | {name: str(bench.base / value) for name, value in chosen.items()}
    relay = bench.relay("--agent", "a", cwd=bench.base / here, env=environment)
    assert "ping" in relay.answer(relay.request("ping"))
    assert bench.hellos()[0]["workspace"] == str(bench.base / workspace)
    assert (bench.base / workspace).is_dir()


def test_the_agents_name_may_come_from_the_environment(bench: Bench) -> None:
    """``--agent`` wins."""
    bench.daemon()
    bench.environment["MCP_NOTEBOOK_AGENT"] = "ada"
    for arguments in (("--workspace=.",), ("--workspace=.", "--agent", "bob"), ("--workspace=.", "--agent=eve")):
        relay = bench.relay(*arguments)
        assert "ping" in relay.answer(relay.request("ping"))
    assert [hello["agent"] for hello in bench.hellos()] == ["ada", "bob", "eve"]


def symlinked(directory: Path) -> None:
    """It leads to a directory of ours."""
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    directory.symlink_to("/tmp")


def readable(directory: Path) -> None:
    """Others could look into it."""
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    directory.mkdir()
    directory.chmod(0o755)


def a_file(directory: Path) -> None:
    """It is no directory."""
    directory.parent.mkdir(mode=0o700, exist_ok=True)
    directory.write_text("")


@pytest.mark.parametrize("spoil", [symlinked, readable, a_file])
def test_a_directory_that_others_could_write_is_not_used(bench: Bench, spoil: object) -> None:
    """Every request is answered by what to do, a line goes to stderr, and nobody is connected to."""
    assert callable(spoil)
    spoil(bench.directory)
    try:
        refused = bench.relay()
        for method in ("initialize", "ping"):
            error = refused.answer(refused.request(method))
            assert str(bench.directory) in error
            assert "0700" in error
        assert refused.process.stdin is not None
        refused.process.stdin.close()
        assert refused.process.wait() == 0
        assert said(refused).count("\n") == 1
        assert not (bench.base / "state").exists()
    finally:
        if bench.directory.is_dir() and not bench.directory.is_symlink():
            bench.directory.rmdir()
        else:
            bench.directory.unlink()
    bench.daemon()
    assert bench.hellos() == []


def said(relay: Relay) -> str:
    """All that it wrote to stderr; it has ended."""
    assert relay.process.stderr is not None
    return relay.process.stderr.read().decode()


def test_a_daemon_of_another_user_is_not_used(bench: Bench) -> None:
    """Who is not root cannot be another user, and is served by itself."""
    user = OTHER_USER if os.getuid() == 0 else os.getuid()
    bench.daemon(STANDIN_LISTENS_AS=str(user))
    relay = bench.relay()
    answer = relay.answer(relay.request("ping"))
    assert ("another user" in answer) == (user != os.getuid())
    assert (bench.hellos() == []) == (user != os.getuid())


def test_a_daemon_that_refuses_is_quoted(bench: Bench) -> None:
    """Its own words are the answer."""
    bench.daemon()
    relay = bench.relay("--agent", "nobody")
    assert relay.answer(relay.request("initialize")) == "Nobody is not served."


def test_ten_relays_at_once_share_one_new_daemon(bench: Bench) -> None:
    """One of them starts it; it outlives them and has a session, a directory and an environment of its own."""
    bench.start_on_demand()
    bench.environment |= {"SECRET_TOKEN": "x", "LC_TIME": "C", "XDG_DATA_HOME": "/tmp/x", "TZ": "UTC"}
    relays = [bench.relay() for _ in range(10)]
    for relay in relays:
        relay.request("ping")
    for relay in relays:
        assert "on demand" in relay.answer(1)
        relay.process.kill()
        relay.process.wait()
    [pid] = bench.listening()
    process = psutil.Process(pid)
    assert len(bench.hellos()) == 10
    assert os.getsid(pid) == pid
    assert process.cwd() == "/"
    assert set(process.environ()) == {
        "HOME",
        "PATH",
        "LANG",
        "LC_TIME",
        "XDG_DATA_HOME",
        "TZ",
        "PYTHONPATH",
        "MCP_NOTEBOOK_HOME",
    }
    assert (bench.base / "state").stat().st_mode & 0o777 == 0o700
    log = str(bench.base / "state" / "daemon.log")
    assert [file.fd for file in process.open_files() if file.path == log] == [2]


def test_a_relative_home_means_the_same_to_the_daemon(bench: Bench) -> None:
    """Which runs in another directory."""
    bench.start_on_demand()
    bench.environment["MCP_NOTEBOOK_HOME"] = "state"
    relay = bench.relay()
    assert "on demand" in relay.answer(relay.request("ping"))
    assert (bench.base / "state" / "daemon.log").exists()


def test_a_daemon_that_cannot_start_is_told_of(bench: Bench) -> None:
    """With the last line of its log, the log's place and a command that tells more; five times in a row at most."""
    (bench.base / "sitecustomize.py").write_text(
        "import sys\nif 'serve' in sys.orig_argv:\n"
        "    print('first', file=sys.stderr)\n    sys.exit('no disk is left')\n"
    )
    bench.environment["PYTHONPATH"] = str(bench.base)
    relay = bench.relay()
    error = relay.answer(relay.request("initialize"))
    assert "no disk is left" in error
    assert "first" not in error
    assert str(bench.base / "state" / "daemon.log") in error
    assert "doctor" in error


def test_daemons_that_die_again_and_again_are_not_started_for_ever(bench: Bench) -> None:
    """Each dies as soon as it has greeted."""
    path = str(bench.directory / "daemon.sock")
    source = (
        "import sys\nif 'serve' in sys.orig_argv:\n    import os, socket\n"
        f"    os.path.exists({path!r}) and os.unlink({path!r})\n"
        f"    s = socket.socket(socket.AF_UNIX); s.bind({path!r}); s.listen()\n"
        "    c, _ = s.accept(); c.recv(10); os._exit(1)\n"
    )
    (bench.base / "sitecustomize.py").write_text(source)
    bench.environment["PYTHONPATH"] = str(bench.base)
    relay = bench.relay()
    error = relay.answer(relay.request("initialize"))
    assert "5 times" in error
    assert "doctor" in error
    assert "daemon.log" in error


def test_a_state_directory_that_cannot_be_made_is_named(bench: Bench) -> None:
    """With what to set."""
    (bench.base / "state").write_text("")
    relay = bench.relay()
    assert "MCP_NOTEBOOK_HOME" in relay.answer(relay.request("initialize"))


def test_what_was_said_while_no_daemon_could_be_started_is_known_to_the_next(bench: Bench) -> None:
    """The client says ``initialized`` once; the request beside it is refused."""
    first = bench.daemon()
    relay = bench.relay()
    relay.answer(relay.request("initialize", protocolVersion="2025-11-25", capabilities={}, clientInfo={"name": "t"}))
    broken = bench.base / "state"
    broken.write_text("")
    first.kill()
    first.wait()
    request = json.dumps({"jsonrpc": "2.0", "id": "refused", "method": "ping"}).encode()
    relay.write(json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}).encode() + b"\n" + request)
    refused = relay.receive()
    assert refused["id"] == "refused"
    assert "MCP_NOTEBOOK_HOME" in text_of(refused)
    broken.unlink()
    bench.daemon("two")
    assert "two" in relay.answer(relay.request("ping"))
    assert [message["method"] for message in bench.messages("two")][:3] == [
        "initialize",
        "notifications/initialized",
        "ping",
    ]


def test_a_long_log_is_put_aside(bench: Bench) -> None:
    """When a daemon is started, and it writes into a new one."""
    bench.start_on_demand()
    log = bench.base / "state" / "daemon.log"
    log.parent.mkdir()
    with log.open("w") as file:
        file.truncate((10 << 20) + 1)
    relay = bench.relay()
    assert "on demand" in relay.answer(relay.request("ping"))
    assert log.stat().st_size < 10_000
    assert log.with_name("daemon.log.1").stat().st_size > 10 << 20


def test_an_older_daemon_hands_over(bench: Bench) -> None:
    """To one of our version, which gets the lease."""
    bench.start_on_demand()
    old = bench.daemon("old", "0.0.9")
    relays = [bench.relay() for _ in range(3)]
    for relay in relays:
        assert "on demand" in relay.answer(relay.request("ping"))
    assert old.wait() == 0
    commands = [hello for hello in bench.hellos() if hello["kind"] == "control"]
    assert {(hello["command"], hello["life"]) for hello in commands} == {("hand_over", "old")}
    assert len(bench.listening()) == 2


def test_a_newer_daemon_is_used_as_it_is(bench: Bench) -> None:
    """It speaks to older relays."""
    bench.daemon("new", "0.10.0")
    relay = bench.relay()
    assert "new" in relay.answer(relay.request("ping"))
    assert [hello["kind"] for hello in bench.hellos()] == ["relay"]


def test_a_client_that_is_gone_already_starts_nothing(bench: Bench) -> None:
    """The relay ends as at the end of its input; with closed standard streams too."""
    bench.start_on_demand()
    assert bench.relay(stdin=subprocess.DEVNULL).process.wait() == 0
    command = f"exec {sys.executable} -m mcp_notebook <&- >&- 2>&-"
    assert subprocess.run(["/bin/sh", "-c", command], cwd=bench.base, env=bench.environment).returncode == 0
    assert not bench.directory.exists() or list(bench.directory.iterdir()) == []
    assert bench.listening() == []


def test_a_home_of_nobody_is_named(bench: Bench) -> None:
    """In a line, with exit code 2."""
    bench.environment["MCP_NOTEBOOK_HOME"] = "~nobody-of-that-name/x"
    refused = bench.relay()
    assert refused.process.wait() == 2
    [line] = said(refused).splitlines()
    assert "MCP_NOTEBOOK_HOME" in line


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--workspace", "missing"], "missing is not a directory"), (["--workspace"], "expected one argument")],
)
def test_wrong_usage_ends_it(bench: Bench, arguments: list[str], said: str) -> None:
    """In a line, with exit code 2."""
    process = bench.relay(*arguments).process
    assert process.wait() == 2
    assert process.stderr is not None
    assert said in process.stderr.read().decode()


def test_only_the_standard_library_is_loaded_and_little_of_it(tmp_path: Path) -> None:
    """What is slow to import stays out."""
    source = "import sys\nbefore = set(sys.modules)\nimport mcp_notebook.cli\nprint(*sorted(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-c", source], env=environment_of(tmp_path), capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.startswith("mcp_notebook")}
    assert {name.partition(".")[0] for name in loaded - ours} <= sys.stdlib_module_names
    assert {name for name in ours if not name.startswith("mcp_notebook.relay")} == {"mcp_notebook", "mcp_notebook.cli"}
    slow = {"argparse", "asyncio", "hashlib", "importlib.metadata", "logging", "pathlib", "subprocess", "typing"}
    assert loaded & slow == set()
    shutil.rmtree(tmp_path / "home")
