"""The file behind one long output: pages, odd characters, a full disk."""

import random
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_notebook.errors import NotebookError
from mcp_notebook.spill import STEP_CHARS, SpilledText


@pytest.fixture
def spilled(tmp_path: Path) -> Iterator[SpilledText]:
    text = SpilledText(tmp_path / "new" / "outputs", "a1b2c3d4-0")
    yield text
    text.close()


def test_the_file_is_for_this_user_alone(spilled: SpilledText) -> None:
    """Outputs may hold secrets; the file's name begins as asked."""
    assert spilled.path is not None
    assert stat.S_IMODE(spilled.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(spilled.path.parent.stat().st_mode) == 0o700
    assert spilled.path.name.startswith("a1b2c3d4-0")


def test_any_page_of_a_text_of_wide_characters_is_read(spilled: SpilledText) -> None:
    """Positions are characters, whatever their size in bytes and wherever appends and steps ended."""
    chance = random.Random(3)
    parts = [chance.choice("aé€😀\n") * chance.choice([1, 7, 5_000, 90_000]) for _ in range(60)]
    for part in parts:
        spilled.append(part)
    whole = "".join(parts)
    assert spilled.chars == len(whole)
    assert spilled.size_bytes == len(whole.encode())
    assert spilled.read(0, len(whole)) == whole
    places = [chance.randrange(len(whole)) for _ in range(200)]
    places += [step for n in range(1, 5) for step in (n * STEP_CHARS - 1, n * STEP_CHARS, n * STEP_CHARS + 1)]
    for start in places:
        size = chance.choice([1, 100, STEP_CHARS, 3 * STEP_CHARS])
        assert spilled.read(start, size) == whole[start : start + size]


@pytest.mark.parametrize(("start", "size"), [(6, 1), (100, 5), (0, 0), (2, -1), (-1, 3)])
def test_beyond_its_ends_there_is_no_text(spilled: SpilledText, start: int, size: int) -> None:
    """A page that is not there is empty and no error."""
    spilled.append("abc\nde")
    assert spilled.read(start, size) == ""


def test_lone_surrogates_survive(spilled: SpilledText) -> None:
    """Halves of a pair stay two characters even side by side."""
    text = "a\ud800b\udc80\ud83d\ude00c"
    spilled.append(text)
    assert (spilled.read(0, 100), spilled.read(4, 2)) == (text, "\ud83d\ude00")


def test_a_closed_text_is_read_and_appended_to(spilled: SpilledText) -> None:
    """Closing gives back a descriptor and nothing else."""
    spilled.append("one\n")
    spilled.close()
    assert spilled.read(0, 10) == "one\n"
    spilled.append("two\n")
    assert spilled.read(0, 10) == "one\ntwo\n"


def test_a_removed_file_is_told_in_a_sentence(spilled: SpilledText) -> None:
    """Reading says what to do, removing again does nothing."""
    spilled.append("text")
    spilled.remove()
    spilled.remove()
    with pytest.raises(NotebookError, match="Run the cell again"):
        spilled.read(0, 4)


def test_a_full_disk_keeps_what_was_written_until_then(spilled: SpilledText) -> None:
    """The text stops there for good, says so, and can be read."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        spilled.append("kept\n" * 50_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert spilled.failed is not None
    assert f"only its first {spilled.chars:,} characters are kept" in spilled.failed
    assert 0 < spilled.chars < 200_000
    kept = spilled.chars
    spilled.append("after the hole")
    assert spilled.chars == kept
    assert spilled.read(0, 300_000) == ("kept\n" * 50_000)[:kept]


def test_a_place_that_cannot_be_written_is_a_failed_text(tmp_path: Path) -> None:
    """Opening does not raise: the cell that prints goes on."""
    (tmp_path / "file").write_text("")
    text = SpilledText(tmp_path / "file" / "outputs")
    text.append("lost")
    assert text.failed is not None
    assert "nothing is kept" in text.failed
    assert (text.chars, text.read(0, 10)) == (0, "")
