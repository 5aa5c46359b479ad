"""search_files: the same by ripgrep and without it, in whatever a tree may hold."""

import os
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest

from mcp_notebook.runtime.files import Files, searching
from tests.runtime.hosts import WITHOUT_RIPGREP, host, with_ripgrep

pytestmark = pytest.mark.anyio

ENGINES = ["ripgrep", "python"]
QUERIES: list[dict[str, Any]] = [
    {"pattern": "needle"},
    {"pattern": "needle", "output_mode": "files_only"},
    {"pattern": "needle", "output_mode": "count"},
    {"pattern": "needle", "context": 1},
    {"pattern": "needle", "context": 3, "limit": 7, "offset": 2},
    {"pattern": "needle", "limit": 3, "offset": 2},
    {"pattern": "needle", "output_mode": "files_only", "limit": 2, "offset": 1},
    {"pattern": "needle", "output_mode": "count", "limit": 2},
    {"pattern": "^needle$"},
    {"pattern": "n..dle\\s+[abc]+$"},
    {"pattern": "(?i)NEEDLE|thread"},
    {"pattern": ""},
    {"pattern": "needle", "path": "sub"},
    {"pattern": "needle", "path": "./sub/"},
    {"pattern": "needle", "path": "."},
    {"pattern": "needle", "path": "many"},
    {"pattern": "-needle"},
    {"pattern": "w\u00f6rld"},
    {"pattern": "needle", "file_glob": "*.py"},
    {"pattern": "needle", "file_glob": "!*.py"},
    {"pattern": "needle", "file_glob": "sub/**"},
    {"pattern": "needle\\n"},
    {"pattern": "nothing like it"},
    {"pattern": "*", "target": "files"},
    {"pattern": "*.py", "target": "files", "limit": 2, "offset": 1},
]


@pytest.fixture
def tree(workspace: Path) -> Path:
    """All that makes programs that search differ."""
    contents: dict[str, bytes] = {
        "a.py": b"needle\nno\nneedle two\n\nthread\nneedle",
        "sub/b.py": b"one\ntwo\nneedle  abc\nfour\nfive\nsix\nneedle\n",
        "sub/.hidden/c.py": b"needle\n",
        "sub/-dash": b"-needle\n",
        "line\nend:1:x.txt": b"needle: 5:needle\n",
        "crlf.txt": b"needle\r\nneedle\r\n",
        "nul.txt": b"needle\n" + b"filler\n" * 50_000 + b"\0\n",
        "utf16.txt": "needle\nw\u00f6rld\n".encode("utf-16"),
        "bom.txt": b"\xef\xbb\xbfneedle\n",
        "latin.txt": "needle \u00e9\nw\u00f6rld\n".encode("latin-1"),
        "utf8.txt": "w\u00f6rld\n".encode(),
        "empty": b"",
        "newlines": b"\n\n\n",
        "long": b"x" * 3_000_000 + b"needle\n",
        "wide": ("\u00e9" * 600 + "needle\n").encode(),
        "many": b"needle\n" * 500,
        "log/.gitignore": b"*\n",
        "log/.ignore": b"!kept.log\n",
        "log/kept.log": b"needle\n",
        "log/gone.log": b"needle\n",
        ".git/config": b"needle\n",
        ".gitignore": b"build/\n/gone.log\n!log\n",
        "build/x.py": b"needle\n",
        "sub/build/x.py": b"needle\n",
    }
    for number, (name, content) in enumerate(contents.items()):
        path = workspace / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (number, number))
    (workspace / "link.py").symlink_to("a.py")
    (workspace / "linked").symlink_to("sub")
    os.mkfifo(workspace / "pipe.py")
    return workspace


@pytest.fixture(params=ENGINES)
def searching_files(request: pytest.FixtureRequest, tmp_path: Path, tree: Path) -> Files:
    """With and without ripgrep."""
    path = with_ripgrep() if request.param == "ripgrep" else WITHOUT_RIPGREP
    return Files(host(tmp_path, PATH=path), lambda: tree)


@pytest.mark.parametrize("query", QUERIES, ids=str)
async def test_the_engine_does_not_matter(tmp_path: Path, tree: Path, query: dict[str, Any]) -> None:
    """Every answer is the same, to the last key."""
    answers = [
        await Files(host(tmp_path, PATH=path), lambda: tree).search_files(**query)
        for path in (with_ripgrep(), WITHOUT_RIPGREP)
    ]
    assert answers[0] == answers[1]
    assert "error" not in answers[0]


@pytest.mark.parametrize(
    ("pattern", "by_ripgrep", "by_python"),
    [
        ("needle(?= two)", "look-around", 1),
        ("(ne)edle \\1", "backreferences", 0),
        ("needle[[:space:]]two", 1, 0),
        ("\\p{Greek}", 0, "bad escape"),
        ("(?<x>needle) two", 1, "unknown extension"),
        # The one file whose word is followed by a byte that is no UTF-8.
        ("^needle .$", 0, 1),
    ],
)
async def test_where_dialects_differ(
    tmp_path: Path, tree: Path, pattern: str, by_ripgrep: int | str, by_python: int | str
) -> None:
    """An expression that only one of the engines knows: its matches, or why it has none."""
    for path, expected in ((with_ripgrep(), by_ripgrep), (WITHOUT_RIPGREP, by_python)):
        answer = await Files(host(tmp_path, PATH=path), lambda: tree).search_files(pattern)
        if isinstance(expected, str):
            assert expected in answer["error"]
        else:
            assert answer["total_count"] == expected


async def test_what_is_found(searching_files: Files) -> None:
    """In the order of the paths: no hidden, ignored, binary or linked file, no pipe."""
    answer = await searching_files.search_files("needle", output_mode="count")
    assert answer["counts"] == {
        "./a.py": 3,
        "./bom.txt": 1,
        "./crlf.txt": 2,
        "./latin.txt": 1,
        "./line\nend:1:x.txt": 1,
        "./log/kept.log": 1,
        "./long": 1,
        "./many": 500,
        "./sub/-dash": 1,
        "./sub/b.py": 2,
        "./utf16.txt": 1,
        "./wide": 1,
    }
    assert list(answer["counts"]) == sorted(answer["counts"])
    assert answer["total_count"] == 515


async def test_lines_are_bounded(searching_files: Files) -> None:
    """Of a line of megabytes its first 500 characters are given."""
    (match,) = (await searching_files.search_files("needle", path="long"))["matches"]
    assert match == {"path": "long", "line": 1, "content": "x" * 500}
    (match,) = (await searching_files.search_files("needle", path="wide"))["matches"]
    assert match["content"] == "\u00e9" * 500


async def test_newest_files_first(searching_files: Files) -> None:
    """By name, what was changed last comes first, over the whole tree."""
    answer = await searching_files.search_files("*.py", target="files")
    assert answer["files"] == ["./sub/b.py", "./a.py"]


async def test_pages_join(searching_files: Files) -> None:
    """Following the hints gives every match once."""
    found: list[dict[str, Any]] = []
    while True:
        answer = await searching_files.search_files("needle", limit=100, offset=len(found))
        found += answer["matches"]
        if "truncated" not in answer:
            break
        assert f"Use offset={len(found)} to see more" in answer["hint"]
    assert len(found) == 515
    assert len({(match["path"], match["line"]) for match in found}) == 515


async def test_hidden_root(searching_files: Files) -> None:
    """What is named itself is searched, hidden, ignored or linked."""
    for path in (".git", "build", "linked/b.py", "link.py", "log/gone.log"):
        assert (await searching_files.search_files("needle", path=path))["total_count"] >= 1


@pytest.mark.parametrize("pattern", ["(", "a{99999}{99999}", "[", "x" * 200_000, "a\0b", "\ud800"], ids=range(6))
async def test_bad_expressions(searching_files: Files, pattern: str) -> None:
    """Are answered with an error, not with nothing."""
    answer = await searching_files.search_files(pattern)
    assert answer["total_count"] == 0
    assert answer["error"].startswith("Search failed: ")


@pytest.mark.parametrize("glob", ["[", "{a", "a}", "\\", "[z-a]", "**/" * 9 + "x", "{a,b}" * 9, "x" * 2000])
async def test_bad_globs(searching_files: Files, glob: str) -> None:
    """Are answered with an error, by content and by name."""
    assert "error parsing glob" in (await searching_files.search_files("x", file_glob=glob))["error"]


async def test_a_glob_that_is_slow_elsewhere(searching_files: Files, tree: Path) -> None:
    """Matching takes no time that grows with the stars."""
    (tree / ("a" * 250)).write_text("needle")
    with anyio.fail_after(20):
        answer = await searching_files.search_files("*a" * 100 + "b", target="files")
    assert answer == {"total_count": 0}


async def test_huge_numbers(searching_files: Files) -> None:
    """Are bounded by what there is."""
    answer = await searching_files.search_files("needle", limit=10**30, context=10**30)
    assert answer["total_count"] > 515
    assert (await searching_files.search_files("needle", offset=10**30))["total_count"] == 515


async def test_an_answer_has_its_room(tmp_path: Path, tree: Path) -> None:
    """A search ends before its answer is too long for the session's policy, and says where to go on."""
    plain = host(tmp_path, PATH=with_ripgrep())
    small = type(plain)(
        plain.workspace, plain.directory, plain.environment, policy=type(plain.policy)(answer_bytes=4000)
    )
    answer = await Files(small, lambda: tree).search_files("needle", path="many", limit=400)
    assert 10 < len(answer["matches"]) < 200
    assert f"offset={len(answer['matches'])} " in answer["hint"]


async def test_no_time_left(tmp_path: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found in time is given, and that time ran out is said."""
    (workspace / "a.txt").write_text("aaab\n")
    (workspace / "b.txt").write_text("a" * 100 + "\n")
    monkeypatch.setattr(searching, "SEARCH_S", 4.0)
    monkeypatch.setattr(searching, "BATCH_FILES", 1)
    files = Files(host(tmp_path, PATH=WITHOUT_RIPGREP), lambda: workspace)
    answer = await files.search_files("^(a+)+b")
    assert answer["matches"] == [{"path": "./a.txt", "line": 1, "content": "aaab"}]
    assert answer["truncated"]
    assert answer["limit_reason"] == "search_timeout"
    assert programs() == []


async def test_a_cancelled_search_leaves_no_program(tmp_path: Path, workspace: Path) -> None:
    """Also not one whose expression would take for ever."""
    (workspace / "a.txt").write_text("a" * 100 + "\n")
    files = Files(host(tmp_path, PATH=WITHOUT_RIPGREP), lambda: workspace)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(files.search_files, "^(a+)+b")
            while not any("./a.txt" in words for words in programs()):  # noqa: ASYNC110  # nothing else tells
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    assert programs() == []


def programs() -> list[list[str]]:
    """The command lines of the children of this process that search."""
    return [words for words in map(words_of, psutil.Process().children()) if any("grep.py" in word for word in words)]


def words_of(process: psutil.Process) -> list[str]:
    """Its command line; none if it has ended."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


async def test_a_planted_ripgrep_is_not_run(tmp_path: Path, tree: Path) -> None:
    """One in the workspace, where a sandboxed kernel could have put it, would run outside the sandbox."""
    planted = tree / "bin" / "rg"
    planted.parent.mkdir()
    planted.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    planted.chmod(0o755)
    for directory in (planted.parent, Path("bin"), Path()):
        files = Files(host(tmp_path, PATH=f"{directory}:/usr/bin"), lambda: tree)
        assert (await files.search_files("needle"))["total_count"] > 0
    assert not (tmp_path / "ran").exists()


async def test_a_ripgrep_that_does_not_start(tmp_path: Path, tree: Path) -> None:
    """Is said, not raised."""
    broken = tmp_path / "bin" / "rg"
    broken.parent.mkdir()
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    answer = await Files(host(tmp_path, PATH=str(broken.parent)), lambda: tree).search_files("needle")
    assert answer == {"total_count": 0, "error": "Search failed: Exec format error"}


async def test_a_configuration_of_ripgrep_does_not_matter(tmp_path: Path, tree: Path) -> None:
    """Nor does the environment, but for the PATH."""
    (tmp_path / "ripgreprc").write_text("--files-without-match\n")
    own = {"PATH": with_ripgrep(), "RIPGREP_CONFIG_PATH": str(tmp_path / "ripgreprc")}
    files = Files(host(tmp_path, **own), lambda: tree)
    assert (await files.search_files("needle", path="many"))["total_count"] == 50
