"""A short run of random steps, kills, pauses and full disks; ``make chaos`` has long ones."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.__main__ import on_small_disks
from tests.chaos.book import Book, Cell
from tests.chaos.documents import check_known
from tests.chaos.steps import SETTLE, Step, read_steps, steps
from tests.environments import REPOSITORY
from tests.programs import works

SEED = 11
STEPS = 40


def test_a_seed_gives_the_same_steps_again() -> None:
    """So that a failure can be repeated."""
    assert steps(SEED, 200) == steps(SEED, 200)
    assert steps(SEED, 200) != steps(SEED + 1, 200)
    assert steps(SEED, STEPS)[-1] == SETTLE


def test_steps_are_read_as_they_were_written() -> None:
    """So that a run can be shortened by hand."""
    made = steps(SEED, 200)
    assert read_steps(["# a comment", "", *map(str, made)]) == made


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        ({"i1": "one"}, ""),
        ({}, "is lost"),
        ({"i1": "two"}, "holds 'two'"),
        ({"i1": "one", "i2": "one"}, "that nobody asked for"),
    ],
)
def test_a_document_that_is_not_as_it_must_be_is_a_fault(found: dict[str, str], fault: str) -> None:
    """The checks of a run can fail."""
    book = Book()
    book.cells["t1"] = Cell("A", "t1", cell_id="i1", sources={"one"}, must_exist=True)
    check_known(book, "A", found)
    assert [fault in each for each in book.faults] == ([True] if fault else [])


def test_a_doubtful_deletion_is_no_fault() -> None:
    """A call that nobody has answered may have been carried out, or not."""
    book = Book()
    book.cells["t1"] = Cell("A", "t1", cell_id="i1", sources={"one"}, must_exist=True, may_be_gone=True)
    book.cells["t2"] = Cell("A", "t2", sources={"two"})
    check_known(book, "A", {"i2": "two"})
    assert book.faults == []
    assert Step.parse(str(Step("run", "a", "quick:0", 3))).deed == "run"


@pytest.mark.timeout(600)
def test_a_short_run(tmp_path: Path) -> None:
    """No cell and no output is lost, none comes twice, every call is answered truthfully, and nothing is left."""
    assert works(on_small_disks(tmp_path, [])), (
        "This test needs Linux with util-linux, and root or an ordinary user who may mount a tmpfs in a namespace."
    )
    command = [
        sys.executable,
        "-m",
        "tests.chaos",
        "--seed",
        str(SEED),
        "--steps",
        str(STEPS),
        "--where",
        str(tmp_path),
    ]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
