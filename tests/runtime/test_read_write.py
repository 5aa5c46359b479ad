"""read_file and write_file: files of any kind and size, and disks that say no."""

import json
import os
import socket
from pathlib import Path

import anyio
import pytest

from mcp_notebook.runtime.files import Files, reading
from tests.programs import on_disk, owner_only, with_small_files
from tests.runtime.calling import called
from tests.runtime.hosts import host
from tests.test_bad_disk import Before, possible

pytestmark = pytest.mark.anyio


def listed(directory: Path) -> list[str]:
    """The names in it."""
    return sorted(path.name for path in directory.iterdir())


def make_no_files(directory: Path) -> None:
    """Things that have names but no content."""
    os.mkfifo(directory / "pipe")
    (directory / "directory").mkdir()
    (directory / "loop").symlink_to("loop")
    descriptor = os.open(directory, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as listening:
        # The path of a socket must be short.
        listening.bind(f"/proc/self/fd/{descriptor}/socket")
    os.close(descriptor)


async def test_a_page_of_two_gigabytes(files: Files, workspace: Path) -> None:
    """The page is there though the lines behind it are not all counted, which is said."""
    with (workspace / "large").open("wb") as file:
        file.write(b"first\nsecond\n" * 1000)
        file.truncate(2 << 30)
    answer = await files.read_file("large", limit=2)
    assert answer["content"] == "1|first\n2|second\n3|"
    assert answer["file_size"] == 2 << 30
    assert answer["truncated"]
    assert answer["total_lines"] == 2000
    assert "of more than 2000 lines" in answer["hint"]


async def test_a_line_of_a_hundred_megabytes(files: Files, workspace: Path) -> None:
    """Its beginning is shown, and what follows it."""
    with (workspace / "line").open("wb") as file:
        for _ in range(100):
            file.write(b"x" * 1_000_000)
        file.write(b"\nnext\n")
    answer = await files.read_file("line")
    assert answer["content"] == "1|" + "x" * 2000 + "... [truncated]\n2|next\n3|"
    assert answer["total_lines"] == 2
    assert (await files.read_file("line", offset=2))["content"] == "2|next\n3|"


async def test_pages_join_to_the_file(files: Files, workspace: Path) -> None:
    """Following the offset that each page names gives every line once, whatever ended the page."""
    lines = [f"{number} {'é' * (number % 977)}" for number in range(3000)]
    (workspace / "a").write_text("\n".join(lines))
    found: list[str] = []
    while True:
        answer = await files.read_file("a", offset=len(found) + 1, limit=700)
        page = [line.partition("|")[2] for line in answer["content"].split("\n")]
        # A page that ends with a line end shows the empty rest behind it.
        found += page if page[-1] else page[:-1]
        if not answer["truncated"]:
            break
    assert found == lines


@pytest.mark.parametrize("size", [reading.LINE_CHARS - 1, reading.LINE_CHARS, reading.LINE_CHARS + 1])
@pytest.mark.parametrize("char", ["x", "é", "☃", "🎉"])
async def test_a_line_is_cut_by_characters(files: Files, workspace: Path, size: int, char: str) -> None:
    """However many bytes a character has."""
    (workspace / "a").write_text(char * size)
    cut = "" if size <= reading.LINE_CHARS else "... [truncated]"
    assert (await files.read_file("a"))["content"] == f"1|{char * min(size, reading.LINE_CHARS)}{cut}"


async def test_what_is_no_file(files: Files, workspace: Path) -> None:
    """A pipe, a socket, a directory and a loop of links are neither read nor written nor waited for."""
    make_no_files(workspace)
    with anyio.fail_after(10):
        for name, said in {
            "pipe": "device file",
            "socket": "device file",
            "directory": "Is a directory",
            "loop": "symbolic links",
        }.items():
            assert said in (await files.read_file(name))["error"]
            assert "error" in await files.write_file(name, "x")
            assert not (await files.patch(name, "a", "b")).get("success")
    assert listed(workspace) == ["directory", "loop", "pipe", "socket"]


@pytest.mark.parametrize("name", ["line\nend", " ", "-rf", "*", "ümlaut", "a'b\"c$d`e", "x" * 255])
async def test_odd_names(files: Files, workspace: Path, name: str) -> None:
    """Are names like any other."""
    written = await files.write_file(name, "content\n")
    assert written["resolved_path"] == str(workspace / name)
    assert (await files.read_file(name))["content"] == "1|content\n2|"
    assert (await files.patch(name, "content", "other"))["success"]
    assert (workspace / name).read_text() == "other\n"


@pytest.mark.parametrize("name", ["x" * 256, "d/" * 3000 + "f", "nul\0nul", "\ud800", "a.txt/b"])
async def test_names_that_cannot_be(files: Files, workspace: Path, name: str) -> None:
    """Are answered with an error."""
    (workspace / "a.txt").write_text("a")
    for answer in (await files.read_file(name), await files.write_file(name, "x"), await files.patch(name, "a", "b")):
        assert answer["error"]


async def test_wrong_types(files: Files) -> None:
    """Are answered with an error, but for numbers, which fall back to their defaults as Hermes's do."""
    assert "must be a string" in (await files.read_file(5))["error"]  # type: ignore[arg-type]
    assert "path" in (await files.write_file(5, "x"))["error"]  # type: ignore[arg-type]
    assert "got list" in (await files.write_file("a", []))["error"]  # type: ignore[arg-type]
    assert "must be a string" in (await files.patch("a", 1, 2))["error"]  # type: ignore[arg-type]
    assert "must be a string" in (await files.patch(mode="patch", patch=5))["error"]  # type: ignore[arg-type]
    assert "must be a string" in (await files.search_files(5))["error"]  # type: ignore[arg-type]
    assert "must be a string" in (await files.search_files("x", path=None))["error"]  # type: ignore[arg-type]
    assert "must be a string" in (await files.search_files("x", file_glob=["a"]))["error"]  # type: ignore[arg-type]
    assert (await files.read_file("none", offset=10**30, limit=float("inf")))["error"]  # type: ignore[arg-type]


async def test_mode_and_links_are_kept(files: Files, workspace: Path) -> None:
    """A script stays executable; what a symlink leads to is written, the link stays."""
    script = workspace / "script"
    script.write_text("#!/bin/sh\n")
    script.chmod(0o751)
    (workspace / "link").symlink_to("script")
    answer = await files.write_file("link", "#!/bin/sh\nexit 3\n")
    assert answer["resolved_path"] == str(script)
    assert script.stat().st_mode & 0o777 == 0o751
    assert (workspace / "link").is_symlink()
    assert script.read_text().endswith("exit 3\n")


async def test_a_link_to_nothing_yet(files: Files, workspace: Path) -> None:
    """What it leads to is made, if that is inside."""
    (workspace / "link").symlink_to("new/file")
    assert (await files.write_file("link", "x"))["resolved_path"] == str(workspace / "new" / "file")
    assert (workspace / "new" / "file").read_text() == "x"


async def test_a_home_directory(workspace: Path, tmp_path: Path) -> None:
    """``~`` is the HOME of the session, not that of the server."""
    at_home = Files(host(tmp_path, HOME=str(workspace / "home")), lambda: workspace)
    assert (await at_home.write_file("~/a", "x"))["resolved_path"] == str(workspace / "home" / "a")


async def test_bytes_that_are_not_text(files: Files, workspace: Path) -> None:
    """What a program read with surrogates is written back as it was; other lone surrogates are refused."""
    (workspace / "a").write_bytes(b"caf\xe9\n")
    text = (workspace / "a").read_text(errors="surrogateescape")
    await files.write_file("b", text)
    assert (workspace / "b").read_bytes() == b"caf\xe9\n"
    assert "UTF-8" in (await files.write_file("c", "\ud800"))["error"]
    assert not (workspace / "c").exists()


async def test_writes_at_once(files: Files, workspace: Path) -> None:
    """One of them is there, whole, and nothing else."""
    contents = [f"{number}" * 100_000 for number in range(10)]
    async with anyio.create_task_group() as tasks:
        for content in contents:
            tasks.start_soon(files.write_file, "a", content)
    assert (workspace / "a").read_text() in contents
    assert listed(workspace) == ["a"]


async def test_long_data_is_written_unchecked(files: Files, workspace: Path) -> None:
    """What would take too long to parse is not refused, and the answer says that nobody looked."""
    for name, text in {"a.yaml": "[" * 50_000, "b.json": "[" * 50_000, "c.py": "(" * 600_000}.items():
        assert (await files.write_file(name, text))["lint"]["status"] == "skipped"
        assert (workspace / name).read_text() == text


@pytest.mark.parametrize(("before", "options"), [(with_small_files, "200"), (on_disk, "size=200k")])
def test_a_full_disk(tmp_path: Path, before: Before, options: str) -> None:
    """The write is refused, what was there stays, and nothing is left behind."""
    first, second, listed, third = called(
        possible(before(tmp_path, options)),
        tmp_path,
        ("write_file", {"path": "a", "content": "small\n"}),
        ("write_file", {"path": "a", "content": "long " * 100_000}),
        ("search_files", {"pattern": "*", "target": "files"}),
        ("read_file", {"path": "a"}),
    )
    assert first["bytes_written"] == 6
    assert second["error"] in (
        "Failed to write file: No space left on device",
        "Failed to write file: File too large",
    )
    assert listed["files"] == ["./a"]
    assert third["content"] == "1|small\n2|"


def test_no_permission(tmp_path: Path) -> None:
    """Is said of files that must not be read or written, and of directories; the search names what it passed."""
    (tmp_path / "unreadable").write_text("needle")
    (tmp_path / "unreadable").chmod(0)
    (tmp_path / "protected").write_text("needle\n")
    (tmp_path / "protected").chmod(0o444)
    (tmp_path / "closed").mkdir(mode=0)
    (tmp_path / "fixed").mkdir(mode=0o555)
    tmp_path.chmod(0o755)
    read, *written, patched, found = called(
        possible(owner_only()),
        tmp_path,
        ("read_file", {"path": "unreadable"}),
        ("write_file", {"path": "protected", "content": "x"}),
        ("write_file", {"path": "closed/a", "content": "x"}),
        ("write_file", {"path": "fixed/a", "content": "x"}),
        ("patch", {"path": "protected", "old_string": "needle", "new_string": "x"}),
        ("search_files", {"pattern": "needle"}),
    )
    assert read["error"] == "Failed to read file: unreadable: Permission denied"
    assert [answer["error"] for answer in written] == ["Failed to write file: Permission denied"] * 3
    assert patched == {"success": False, "error": "Failed to write changes: Permission denied"}
    assert found["matches"] == [{"path": "./protected", "line": 1, "content": "needle"}]
    assert "2 files or directories could not be read" in found["warning"]
    assert (tmp_path / "protected").read_text() == "needle\n"


async def test_answers_are_json(files: Files, workspace: Path) -> None:
    """Also about names and contents that are not UTF-8."""
    odd = workspace / os.fsdecode(b"caf\xe9")
    odd.write_bytes(b"needle \xe9\n")
    answers = [
        await files.read_file("caf"),
        await files.search_files("needle"),
        await files.search_files("*", target="files"),
        await files.search_files("x", path="ca"),
        await files.patch(odd.name, "needle", "thread"),
    ]
    for answer in answers:
        json.dumps(answer).encode()
    assert answers[0]["similar_files"] == ["./caf\ufffd"]
    assert answers[1]["matches"] == [{"path": "./caf\ufffd", "line": 1, "content": "needle \ufffd"}]
    assert answers[4]["success"]
    assert odd.read_bytes() == b"thread \xe9\n"
