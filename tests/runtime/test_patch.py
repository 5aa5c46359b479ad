"""patch: what is replaced and how, and that everything else stays as it is."""

from pathlib import Path

import anyio
import pytest

from mcp_notebook.errors import BadRequest, FileRefused
from mcp_notebook.runtime.files import Files, diffs, texts
from mcp_notebook.runtime.files.places import Workspace
from mcp_notebook.runtime.files.replacing import replace
from mcp_notebook.runtime.files.storing import store

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        ("a b a", "b", "c", "a c a"),
        ("aaaa", "aa", "b", None),
        ("  one\n    two\n", "one\ntwo", "1\n  2", "  1\n    2\n"),
        ("\tif x:\n\t\tgo\n", "if x:\n\tgo", "if y:\n\tgo", "\tif y:\n\t\tgo\n"),
        ("if x:\n    go\n", "  if x:\n      go", "  if y:\n      go", "if y:\n    go\n"),
        ("a  =  1\n", "a = 1", "a = 2", "a = 2\n"),
        ("f( a,   b )\n", "a,\tb", "b", "f( b )\n"),
        ("one\n\n\ntwo\n", " \n ", "x", None),
        ("x = 1\n", "x  =  2", "y", None),
        ("a\\nb\n", "a\nb", "x", None),
        ("a\r\nb\r\nc\r\n", "a\nb", "x\ny", "x\r\ny\r\nc\r\n"),
        ("a\r\nb\r\nc\r\n", "  a\n  b", "  x\n  y", "x\r\ny\r\nc\r\n"),
        ("a\nb\n", "a\r\nb", "x\r\ny", "x\ny\n"),
        ("a\nb\rc\n", "b", "x", "a\nx\rc\n"),
        ("a\r\nb\n", "b", "x", "a\r\nx\n"),
        ("end", "end", "", ""),
    ],
)
def test_one_place(text: str, old: str, new: str, expected: str | None) -> None:
    """It is found exactly or but for white space, and what is put in fits there; None: it is refused."""
    if expected is None:
        with pytest.raises(BadRequest):
            replace(text, old, new)
    else:
        assert replace(text, old, new) == expected


@pytest.mark.parametrize(
    ("text", "old", "new", "expected"),
    [
        ("aaaaa", "aa", "b", "bba"),
        ("  x\n    x\n", "x", "y", "  y\n    y\n"),
        ("  x 1\n    x  1\n", "x   1", "y", "  y\n    y\n"),
        ("a\r\na\r\n", "a", "b\n", "b\r\n\r\nb\r\n\r\n"),
    ],
)
def test_all_places(text: str, old: str, new: str, expected: str) -> None:
    """Each is found once, also where they could overlap."""
    assert replace(text, old, new, everywhere=True) == expected


def test_space_in_plenty() -> None:
    """Takes no time that grows with its square."""
    text = " " * 300_000 + "x" + "\t" * 300_000 + "\n"
    with pytest.raises(BadRequest):
        replace(text, " y ", "z")
    with pytest.raises(BadRequest):
        replace("a" * 1_000_000 + "\n" + "b" * 400 + "\n", "b" * 300 + "c", "z")


def test_a_difference_of_a_long_file() -> None:
    """Is one part, with its numbers right."""
    old = [f"line {number}\n" for number in range(20_000)]
    new = [*old[:9_000], "changed\n", *old[9_001:15_000], "new\n", *old[15_000:]]
    text = diffs.diff("".join(old), "".join(new), "a")
    lines = text.splitlines()
    assert lines[:3] == ["--- a/a", "+++ b/a", "@@ -8998,6006 +8998,6007 @@"]
    assert [line for line in lines if line.startswith("+") and line[1:4] == "new"] == ["+new"]
    removed = [line[1:] for line in lines[3:] if line[0] in " -"]
    added = [line[1:] for line in lines[3:] if line[0] in " +"]
    assert removed == [line.rstrip() for line in old[8_997 : 8_997 + 6006]]
    assert added == [line.rstrip() for line in new[8_997 : 8_997 + 6007]]
    assert diffs.diff("".join(old), "".join(old), "a") == ""


async def test_patches_at_once(files: Files, workspace: Path) -> None:
    """None of them is lost."""
    (workspace / "a").write_text("".join(f"old {number};\n" for number in range(30)))
    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(files.patch, "a", f"old {number};", f"new {number};")
    assert (workspace / "a").read_text() == "".join(f"new {number};\n" for number in range(30))


def test_a_change_in_between(tmp_path: Path) -> None:
    """By somebody else is not overwritten."""
    root = tmp_path.resolve()
    (root / "a").write_text("one\n")
    place = Workspace(root, root, None).locate("a")
    before = texts.load(place)
    (root / "a").write_text("two!\n")
    with pytest.raises(FileRefused, match="changed by somebody else"):
        store(place, "a", "three\n", before)
    assert (root / "a").read_text() == "two!\n"
    assert [path.name for path in root.iterdir()] == ["a"]


async def test_too_long_to_edit(files: Files, workspace: Path) -> None:
    """Is refused, not read."""
    with (workspace / "a").open("wb") as file:
        file.truncate(texts.LONGEST_BYTES + 1)
    assert "too long to edit" in (await files.patch("a", "x", "y"))["error"]


async def test_modes_are_kept(files: Files, workspace: Path) -> None:
    """By every kind of patch."""
    for name in ("a", "b"):
        (workspace / name).write_text("one\n")
        (workspace / name).chmod(0o640)
    await files.patch("a", "one", "two")
    await files.patch(mode="patch", patch="*** Update File: b\n-one\n+two\n")
    await files.patch(mode="patch", patch="*** Move File: b -> c\n")
    for name in ("a", "c"):
        assert (workspace / name).read_text() == "two\n"
        assert (workspace / name).stat().st_mode & 0o777 == 0o640


async def test_nothing_is_done_if_anything_cannot_be(files: Files, workspace: Path) -> None:
    """A patch of several files is tried first, all of it."""
    (workspace / "a").write_text("one\n")
    (workspace / "b").write_text("one\n")
    patch = "\n".join(
        (
            *("*** Update File: a", "-one", "+two", "*** Add File: c", "+new", "*** Delete File: b"),
            *("*** Move File: nothing -> d", "*** Update File: nothing", "-x", "+y", "*** Delete File: nothing"),
        )
    )
    answer = await files.patch(mode="patch", patch=patch)
    assert answer["error"].splitlines() == [
        "Patch validation failed (no files were modified):",
        "  • nothing: source file not found for move",
        "  • nothing: File not found: nothing",
        "  • nothing: file not found for deletion",
    ]
    assert not (workspace / "c").exists()
    assert (workspace / "b").exists()
    assert (workspace / "a").read_text() == "one\n"


async def test_how_far_it_came(files: Files, workspace: Path) -> None:
    """What could be done before something else failed is told by name."""
    (workspace / "a").write_text("one\n")
    (workspace / "b").mkdir()
    patch = "*** Update File: a\n-one\n+two\n*** Add File: b\n+x\n*** Add File: c.json\n+{\n*** Add File: d\n+x\n"
    answer = await files.patch(mode="patch", patch=patch)
    assert answer["success"] is False
    assert answer["files_modified"] == ["a"]
    assert answer["files_created"] == ["d"]
    assert "Failed to add b: Is a directory" in answer["error"]
    assert "Failed to add c.json: Refusing to write 'c.json'" in answer["error"]
    assert (workspace / "a").read_text() == "two\n"


@pytest.mark.parametrize(
    "patch",
    [
        "*** Begin Patch\n*** End Patch",
        "\0",
        "*** Update File:  \n-x",
        "@@ x @@\n+x",
        "*** Add File: \0\n+x",
        "\ud800",
        " " * 100_000,
    ],
    ids=range(7),
)
async def test_odd_patches(files: Files, patch: str) -> None:
    """Are answered with an error."""
    assert (await files.patch(mode="patch", patch=patch))["error"]


async def test_an_empty_file_is_added(files: Files, workspace: Path) -> None:
    """And one without a newline stays without."""
    await files.patch(mode="patch", patch="*** Add File: a\n*** Add File: b\n+x")
    assert (workspace / "a").read_text() == ""
    assert (workspace / "b").read_text() == "x"


CONTENTS = [b"", b"one", b"\xef\xbb\xbfone\r\n", b"\xff\xfe\0one", b"one\r\r\n\n\x0b\x0c\x85\xe2\x80\xa8x"]


@pytest.mark.parametrize("around", CONTENTS)
async def test_the_rest_stays(files: Files, workspace: Path, around: bytes) -> None:
    """Byte for byte, whatever it is."""
    (workspace / "a").write_bytes(around + b"needle" + around[3:])
    assert (await files.patch("a", "needle", "thread"))["success"]
    assert (workspace / "a").read_bytes() == around + b"thread" + around[3:]
    patch = "*** Update File: a\n-thread\n+needle"
    assert (await files.patch(mode="patch", patch=patch))["success"]
    assert (workspace / "a").read_bytes() == around + b"needle" + around[3:]
