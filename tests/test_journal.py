"""The journal: what is found again after a kill, a full disk, a torn line, much writing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_notebook import journal
from mcp_notebook.journal import Journal, read


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_the_latest_value_of_each_key(path: Path) -> None:
    """What was put last counts, and null removes."""
    kept = Journal(path)
    kept.put({"a": 1, "b": [1, {"c": "é"}]})
    kept.put({"a": 2, "b": None, "d": "\ud83d"})
    kept.close()
    assert read(path) == {"version": journal.VERSION, "a": 2, "d": "\ud83d"}
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_writer_that_was_killed_left_all_that_it_put(path: Path) -> None:
    """Nothing waits in the memory of the writer."""
    code = (
        "import os, sys; from pathlib import Path; from mcp_notebook.journal import Journal\n"
        "kept = Journal(Path(sys.argv[1]))\n"
        "for n in range(1000): kept.put({f'k{n}': n})\n"
        "os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    assert read(path) == {"version": journal.VERSION} | {f"k{n}": n for n in range(1000)}


def test_a_torn_line_is_passed_over_and_what_follows_is_whole(path: Path) -> None:
    """A line that was cut short does not swallow the next one."""
    path.write_bytes(b'["version",1]\n["a",1]\n["b",{"half')
    kept = Journal(path)
    kept.put({"c": 3})
    assert read(path) == {"version": 1, "a": 1, "c": 3}


def test_it_is_rewritten_when_most_of_it_is_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays about as large as what it holds."""
    monkeypatch.setattr(journal, "COMPACT_BYTES", 10_000)
    kept = Journal(path)
    kept.put({"stays": "x"})
    for number in range(1000):
        kept.put({"changes": "y" * 100 + str(number)})
    assert path.stat().st_size < 30_000
    assert read(path)["changes"].endswith("999")
    assert read(path)["stays"] == "x"
    assert not list(path.parent.glob("*.new"))


def test_a_full_disk_is_told_and_leaves_whole_lines(path: Path) -> None:
    """What was kept before can be read."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from mcp_notebook.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "kept = Journal(Path(sys.argv[1]))\n"
        "for n in range(100): kept.put({f'k{n}': 'x' * 100})\n"
        "print(kept.failed)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() in (os.strerror(27), os.strerror(28))
    lines = path.read_bytes().split(b"\n")
    assert lines[-1] == b""
    assert all(json.loads(line) for line in lines[:-1])
    assert "k0" in read(path)


def test_it_leaves_no_descriptor(path: Path) -> None:
    """After its end nothing is open, and no file is there."""
    before = len(list(Path("/dev/fd").iterdir()))
    kept = Journal(path)
    kept.compact()
    kept.remove()
    assert not path.exists()
    assert len(list(Path("/dev/fd").iterdir())) == before
