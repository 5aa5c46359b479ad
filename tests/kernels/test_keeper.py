"""The keeper itself: what it starts, what it writes of an end, how long it stays, what it puts up with."""

import json
import os
import signal
import stat
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.keeping import SCRIPT
from tests.kernels.cells import WITHIN_S
from tests.kernels.keepers import IDLE_S, Talk, await_end, is_locked, launch, make_places, read_end, talking

LOOK = """
import json, os, signal, sys
print(json.dumps({
    "environment": {os.fsencode(k).decode("latin-1"): os.fsencode(v).decode("latin-1") for k, v in os.environ.items()},
    "cwd": os.getcwd(),
    "session": os.getsid(0) == os.getpid(),
    "input": sys.stdin.read(),
    "heeds": [signal.getsignal(n) == signal.default_int_handler for n in (signal.SIGINT,)],
    "descriptors": sorted(map(int, os.listdir("/proc/self/fd"))) if os.path.isdir("/proc/self/fd") else [0, 1, 2, 3],
    "parent": os.getppid(),
}), flush=True)
"""


def of(answer: dict[str, object]) -> ProcessId:
    """The process that was started."""
    identity = ProcessId.of(int(str(answer["pid"])))
    assert identity is not None
    assert identity.start_time == answer["start_time"]
    return identity


def test_the_keeper_says_who_it_is(tmp_path: Path) -> None:
    """In a process of its own, which is nobody's child and in no terminal's session."""
    with talking(tmp_path) as talk:
        hello = talk.ask(hello=1)
        assert hello["version"] == 1
        assert hello["kernels"] == []
        assert ProcessId.from_data(hello) == ProcessId.of(hello["pid"])
        assert os.getsid(hello["pid"]) != os.getsid(0)
        assert psutil.Process(hello["pid"]).ppid() != os.getpid()
        assert stat.S_IMODE((tmp_path / "keeper.sock").stat().st_mode) == 0o600


def test_it_imports_little(tmp_path: Path) -> None:
    """It stays as long as the kernels: some ten megabytes, most of them Python's own."""
    with talking(tmp_path) as talk:
        assert psutil.Process(talk.identity().pid).memory_info().rss < 20 << 20
    heavy = {"asyncio", "logging", "pathlib", "typing", "dataclasses", "subprocess", "threading", "mcp_notebook"}
    source = f"import sys; exec(open({str(SCRIPT)!r}).read(), {{}}); print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-ISc", source], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_program_gets_what_was_asked_for_and_nothing_else(tmp_path: Path) -> None:
    """Its environment to the byte, no input, no descriptor of the keeper, interrupts that reach it."""
    given = {"PATH": os.environ["PATH"], "ODD": "\udcff\xe9", "LONG": "x" * 100_000, "LC_ALL": "C.UTF-8"}
    cwd = tmp_path / "wörk"
    cwd.mkdir()
    with talking(tmp_path) as talk:
        log = str(tmp_path / "new" / "logs" / "log")
        answer = talk.start(tmp_path, sys.executable, "-c", LOOK, environment=given, log=log, cwd=str(cwd))
        assert read_end(talk, tmp_path)["code"] == 0
        keeper = talk.identity()
    seen = json.loads(Path(log).read_text())
    assert seen["environment"].pop("LC_CTYPE", None) is None
    assert seen["environment"] == {
        name: value.encode("utf-8", "surrogateescape").decode("latin-1") for name, value in given.items()
    }
    assert seen["cwd"] == str(cwd)
    assert (seen["session"], seen["input"], seen["heeds"]) == (True, "", [True])
    assert len(seen["descriptors"]) == 4  # the fourth is that of the listing
    assert seen["parent"] == keeper.pid
    assert stat.S_IMODE(Path(log).stat().st_mode) == 0o600
    assert stat.S_IMODE(Path(log).parent.stat().st_mode) == 0o700
    assert answer["record"] == str(tmp_path / "end.json")


@pytest.mark.parametrize(
    ("source", "code", "number"),
    [
        ("", 0, None),
        ("raise SystemExit(7)", 7, None),
        ("import os; os.kill(os.getpid(), 9)", None, 9),
        ("import os; os.abort()", None, 6),
    ],
)
def test_an_end_is_written_down(tmp_path: Path, source: str, code: int | None, number: int | None) -> None:
    """Its exit code or its signal, the memory it had, and when, for whoever may read the user's files."""
    with talking(tmp_path) as talk:
        owner = tmp_path / "owner"
        source = f"x = bytearray(b'x' * (60 << 20)); {source}"
        answer = talk.start(tmp_path, sys.executable, "-c", source, owner=str(owner))
        end = read_end(talk, tmp_path)
        hello = talk.ask(hello=1)
    assert (end["code"], end["signal"]) == (code, number)
    assert (end["pid"], end["start_time"], end["boot_id"]) == (answer["pid"], answer["start_time"], hello["boot_id"])
    assert 60 << 20 <= end["peak_memory_bytes"] < 200 << 20
    assert datetime.fromisoformat(end["ended"]).tzinfo is not None
    assert hello["kernels"] == []
    assert ProcessId.from_data(json.loads(owner.read_text())) == ProcessId.from_data(end)
    assert [path.name for path in tmp_path.glob("*.part")] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"argv": ["/no/such/program"]}, "No such file or directory: '/no/such/program'"),
        ({"argv": ["/"]}, "Permission denied"),
        ({"argv": ["true", "x" * 4_000_000]}, "Argument list too long"),
        ({"argv": ["true", "\0"]}, "null"),
        ({"environment": {"A": "\0"}}, "null"),
        ({"environment": {"A=": ""}}, "illegal environment variable name"),
        ({"cwd": "/no/such/directory"}, "No such file or directory: '/no/such/directory'"),
        ({"log": "/proc/no/log"}, "No such file or directory"),
        ({"owner": "/no/such/owner"}, "No such file or directory"),
        ({"argv": []}, "argv"),
        ({"argv": "true"}, "argv"),
        ({"argv": [1]}, "argv"),
        ({"environment": {"A": 1}}, "environment"),
        ({"cwd": "here"}, "absolute"),
        ({"record": None}, "absolute"),
    ],
)
def test_what_cannot_be_started_is_told(tmp_path: Path, change: dict[str, object], said: str) -> None:
    """With the reason; nothing is written of an end, and the next one starts."""
    with talking(tmp_path) as talk:
        asked: dict[str, object] = {"argv": ["true"], **change}
        answer = talk.start(tmp_path, "true", **asked)
        assert said in answer["error"]
        assert not (tmp_path / "end.json").exists()
        talk.start(tmp_path, "true")
        assert read_end(talk, tmp_path)["code"] == 0


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b"null", b'"hello"', b"\xff\xfe", b"[" * 100_000, b'{"start": 1}', b'{"other": 1}']
)
def test_a_request_that_means_nothing_is_answered(tmp_path: Path, line: bytes) -> None:
    """In a sentence, and the same connection goes on."""
    with talking(tmp_path) as talk:
        talk.send(line + b"\n")
        assert talk.read()["error"].endswith(".")
        assert talk.ask(hello=1)["version"] == 1


def test_clients_come_and_go(tmp_path: Path) -> None:
    """Several at once, some of which leave in the middle of a request or do not read the answer."""
    with talking(tmp_path) as talk:
        torn, silent, other = Talk(tmp_path), Talk(tmp_path), Talk(tmp_path)
        torn.send(b'{"hello"')
        torn.close()
        silent.send(b'{"hello": 1}\n' * 20_000)
        silent.close()
        other.send(b'{"hello": 1}\n{"hel')
        assert other.read()["version"] == 1
        assert talk.ask(hello=1)["version"] == 1
        other.send(b'lo": 1}\n')
        assert other.read()["version"] == 1
        other.close()
        talk.start(tmp_path, "true")
        assert read_end(talk, tmp_path)["code"] == 0


@pytest.mark.parametrize("record", ["/no/such/directory/end.json", "/proc/end.json", "/"])
def test_a_record_that_cannot_be_written_costs_the_record_only(tmp_path: Path, record: str) -> None:
    """A full disk, for one; the keeper writes the next one."""
    with talking(tmp_path) as talk:
        keeper = talk.identity()
        await_end(of(talk.start(tmp_path, "sh", "-c", "sleep 0.1", record=record)))
        talk.start(tmp_path, "true")
        assert read_end(talk, tmp_path)["code"] == 0
        assert talk.identity() == keeper
    assert "it was to say" in (tmp_path / "keeper.log").read_text()


def test_it_ends_when_nobody_needs_it(tmp_path: Path) -> None:
    """No socket is left, and no lock is held; not before the last kernel has ended."""
    with talking(tmp_path) as talk:
        keeper = talk.identity()
        kernel = of(talk.start(tmp_path, "sleep", str(4 * IDLE_S)))
    await_end(kernel)
    assert is_locked(tmp_path)
    await_end(keeper)
    assert not (tmp_path / "keeper.sock").exists()
    assert not is_locked(tmp_path)
    assert json.loads((tmp_path / "end.json").read_text())["code"] == 0
    with talking(tmp_path) as talk:
        assert talk.identity() != keeper


@pytest.mark.parametrize("number", [None, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_it_is_ended_by_hand_only_without_kernels(tmp_path: Path, number: signal.Signals | None) -> None:
    """By a request or a signal: with a kernel it stays and goes on."""
    with talking(tmp_path, 60) as talk:
        keeper = talk.identity()
        kernel = of(talk.start(tmp_path, "sleep", "60"))
        if number is None:
            assert talk.ask(stop=1) == {"error": "1 kernels live."}
        else:
            keeper.send_signal(number)
        assert talk.identity() == keeper
        kernel.send_signal(signal.SIGKILL)
        assert read_end(talk, tmp_path)["signal"] == 9
        if number is None:
            assert talk.ask(stop=1) == {"stopped": True}
        else:
            keeper.send_signal(number)
        await_end(keeper)
    assert not (tmp_path / "keeper.sock").exists()


def test_a_keeper_that_cannot_be_reached_any_more_ends(tmp_path: Path) -> None:
    """Its directory was removed, and may have been made again for another keeper."""
    place = tmp_path / "place"
    place.mkdir(mode=0o700)
    with talking(place) as talk:
        keeper = talk.identity()
        for path in place.iterdir():
            path.unlink()
        place.rmdir()
        place.mkdir(mode=0o700)
        with talking(place, 60) as next_talk:
            await_end(keeper)
            assert next_talk.identity() != keeper
            assert next_talk.ask(stop=1) == {"stopped": True}


def test_ten_at_once_are_one(tmp_path: Path) -> None:
    """Each one that finds another's lock leaves without a word."""
    assert [process.wait(WITHIN_S) for process in [launch(tmp_path) for _ in range(10)]] == [0] * 10
    talk = Talk(tmp_path)
    named = [p.pid for p in psutil.process_iter(["cmdline"]) if str(tmp_path) in (p.info["cmdline"] or [])]
    assert named == [talk.identity().pid]
    talk.close()
    assert (tmp_path / "keeper.log").read_text() == ""


def test_a_socket_that_a_killed_keeper_left_is_replaced(tmp_path: Path) -> None:
    """The lock died with its process."""
    with talking(tmp_path) as talk:
        keeper = talk.identity()
        keeper.send_signal(signal.SIGKILL)
        await_end(keeper)
    assert (tmp_path / "keeper.sock").exists()
    with talking(tmp_path) as talk:
        assert talk.identity() != keeper


@pytest.mark.parametrize("place", ["link", "open", "absent", "file"])
def test_a_directory_that_is_not_private_is_refused(tmp_path: Path, place: str) -> None:
    """Whoever asks: nothing listens there."""
    make_places(tmp_path)
    done = subprocess.run([sys.executable, "-I", "-S", SCRIPT, tmp_path / place, tmp_path / "log"])
    assert done.returncode == 1
    assert "Error" in (tmp_path / "log").read_text()
    assert not list(tmp_path.glob("*/keeper.sock"))
