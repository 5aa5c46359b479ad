"""The journal: what is found again after a kill, a full disk, a torn line, much writing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_notebook import journal
from mcp_notebook.journal import Journal, read
from mcp_notebook.versions import VERSION


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def test_the_latest_value_of_each_key(path: Path) -> None:
    """What was put last counts, and null removes."""
    kept = Journal(path)
    kept.put({"a": 1, "b": [1, {"c": "é"}]})
    kept.put({"a": 2, "b": None, "d": "\ud83d"})
    kept.close()
    assert read(path).entries == {"version": VERSION, "a": 2, "d": "\ud83d"}
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
    assert read(path).entries == {"version": VERSION} | {f"k{n}": n for n in range(1000)}


def test_a_torn_line_is_passed_over_and_what_follows_is_whole(path: Path) -> None:
    """A line that was cut short does not swallow the next one."""
    path.write_bytes(b'["version",1]\n["a",1]\n["b",{"half')
    kept = Journal(path)
    kept.put({"c": 3})
    assert read(path).entries == {"version": 1, "a": 1, "c": 3}


def test_a_damaged_line_is_counted(path: Path) -> None:
    """What a crash of the machine left of it, or nothing but zeros."""
    path.write_bytes(b'["version",1]\n["a",1]\n\0\0\0\0\n["b",2]\n{}\n\n["c",3')
    found = read(path)
    assert (found.entries, found.damaged) == ({"version": 1, "a": 1, "b": 2}, 3)


def test_it_is_rewritten_when_most_of_it_is_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what was appended meanwhile; it stays about as large as what it holds."""
    monkeypatch.setattr(journal, "COMPACT_BYTES", 10_000)
    kept = Journal(path)
    kept.put({"stays": "x"})
    for number in range(1000):
        kept.put({"changes": "y" * 100 + str(number)})
        if kept.is_bloated:
            compaction = kept.compaction()
            kept.put({"meanwhile": number})
            compaction.write()
            kept.put({"later": number})
            kept.replace(compaction)
            assert (read(path).entries["meanwhile"], read(path).entries["later"]) == (number, number)
    assert path.stat().st_size < 30_000
    assert read(path).entries["changes"].endswith("999")
    assert (read(path).entries["stays"], read(path).damaged) == ("x", 0)
    assert not list(path.parent.glob("*.new"))


@pytest.mark.parametrize("after", range(20, 420, 40))
def test_a_writer_that_was_killed_while_it_rewrote_lost_nothing(path: Path, after: int) -> None:
    """Killed at any moment of it, all that it had put is there, and its successor writes on."""
    code = (
        "import sys; from pathlib import Path; from mcp_notebook.journal import Journal\n"
        "kept = Journal(Path(sys.argv[1]))\n"
        "kept.put({f'k{n}': 'x' * 1000 for n in range(100)})\n"
        "n = 0\n"
        "while True:\n"
        "    compaction = kept.compaction(); n += 1; kept.put({'n': n}); print(n, flush=True)\n"
        "    compaction.write(); n += 1; kept.put({'n': n}); print(n, flush=True); kept.replace(compaction)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        for _ in range(after):
            told = int(writer.stdout.readline())
        writer.kill()
        told = max([told, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    kept = Journal(path)
    kept.put({"after": True})
    found = read(path)
    assert found.entries["n"] >= told
    assert (len(found.entries), found.damaged) == (103, 0)


def test_a_disk_that_is_too_full_to_rewrite_it(path: Path) -> None:
    """The journal stays as it was, and is appended to."""
    code = (
        "import resource, signal, sys; from pathlib import Path; from mcp_notebook.journal import Journal\n"
        "kept = Journal(Path(sys.argv[1]))\n"
        "for n in range(100): kept.put({f'k{n}': 'x' * 100})\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))\n"
        "compaction = kept.compaction(); compaction.write(); kept.replace(compaction)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\n"
        "print(kept.put({'after': 1}), kept.failed)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == f"True {os.strerror(27)}"
    assert (len(read(path).entries), read(path).damaged) == (102, 0)
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
    assert "k0" in read(path).entries


def test_it_leaves_no_descriptor(path: Path) -> None:
    """After its end nothing is open, and no file is there."""
    before = len(list(Path("/dev/fd").iterdir()))
    kept = Journal(path)
    compaction = kept.compaction()
    compaction.write()
    kept.replace(compaction)
    kept.remove()
    assert not path.exists()
    assert len(list(Path("/dev/fd").iterdir())) == before
