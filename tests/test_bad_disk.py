"""A disk that says no, and files that change under an open session: a clear answer, and nothing is lost.

Through a real client on the pipes of the program; the same of the files alone is in test_disk.py.
"""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.calls import call, refused, run, status
from tests.programs import (
    on_disk,
    owner_only,
    place,
    program,
    with_small_files,
    works,
    workspace,
)

pytestmark = pytest.mark.anyio

Before = Callable[[Path, str], tuple[str, ...]]
FULL: list[tuple[Before, str]] = [(with_small_files, "200"), (on_disk, "size=200k")]
READ_ONLY: list[tuple[Before, str]] = [(on_disk, "ro"), (lambda directory, _: owner_only(), "")]


def possible(before: tuple[str, ...]) -> tuple[str, ...]:
    """``before``, which fails the test where this machine does not start programs so."""
    assert works(before), (
        f"`{shlex.join([*before, 'true'])}` fails here. This test needs Linux with util-linux, and root or an"
        " ordinary user who may mount a tmpfs in a namespace of their own."
    )
    return before


@pytest.mark.parametrize(("before", "options"), FULL)
async def test_a_full_disk(tmp_path: Path, before: Before, options: str) -> None:
    """The save is refused, nothing of it is left, the notebook lives and is saved when it is smaller."""
    small = place(tmp_path) / "small"
    small.mkdir()
    async with program(tmp_path, *possible(before(small, options))) as client:
        await run(client, "kept = 7")
        await call(client, "save_notebook", path="small/a.py")
        long = await run(client, "print('long ' * 100_000)")
        text = await refused(client, "save_notebook")
        assert "could not be written" in text
        assert "Nothing was changed on disk." in text
        assert (await run(client, "kept")).endswith("7")
        assert "kept = 7" in await call(client, "read_notebook", path="small/a.py")
        assert "long" not in await call(client, "read_notebook", path="small/a.py")
        listed = await run(client, f"import os; sorted(os.listdir({str(small)!r}))")
        assert listed.endswith("['a.ipynb', 'a.py']")
        await call(client, "edit_cell", cell_id=long.split("cell=")[1][:8], edit_mode="delete")
        assert "Saved" in await call(client, "save_notebook")


@pytest.mark.parametrize(("before", "options"), READ_ONLY)
async def test_a_read_only_directory(tmp_path: Path, before: Before, options: str) -> None:
    """The save is refused; elsewhere it succeeds."""
    closed = place(tmp_path) / "closed"
    closed.mkdir(mode=0o555)
    async with program(tmp_path, *possible(before(closed, options))) as client:
        await run(client, "kept = 7")
        text = await refused(client, "save_notebook", path="closed/a.py")
        assert "Nothing was changed on disk." in text
        assert "save to another path" in text
        assert "Saved" in await call(client, "save_notebook", path="a.py")
    assert list(closed.iterdir()) == []


async def test_an_unreadable_notebook(tmp_path: Path) -> None:
    """Neither read nor opened nor overwritten."""
    file = place(tmp_path) / "a.ipynb"
    file.write_text("{}")
    file.chmod(0)
    async with program(tmp_path, *possible(owner_only())) as client:
        assert "cannot be read (Permission denied)" in await refused(client, "read_notebook", path="a.ipynb")
        assert "cannot be read (Permission denied)" in await refused(client, "open_session", notebook="a.ipynb")
        await run(client, "1")
        assert "cannot be read (Permission denied)" in await refused(client, "save_notebook", path="a.ipynb")
    file.chmod(0o600)
    assert file.read_text() == "{}"


async def test_a_file_that_breaks_on_disk_does_not_hide_the_live_notebook(tmp_path: Path) -> None:
    """It is read and run as before, with a note; saving is refused until the file is mended or another is named."""
    async with program(tmp_path) as client:
        await run(client, "kept = 7")
        await call(client, "save_notebook", path="a.py")
        (workspace(tmp_path) / "a.ipynb").write_text("{broken")
        text = await call(client, "read_notebook")
        assert "kept = 7" in text
        assert "is not valid JSON" in text
        assert status(await run(client, "kept")) == "ok"
        assert "is not valid JSON" in await refused(client, "save_notebook")
        assert (workspace(tmp_path) / "a.ipynb").read_text() == "{broken"
        assert "Saved" in await call(client, "save_notebook", path="b.py")


async def test_a_notebook_that_was_deleted_is_said_and_written_anew(tmp_path: Path) -> None:
    """With all of its cells and outputs."""
    async with program(tmp_path) as client:
        await run(client, "print('kept')")
        await call(client, "save_notebook", path="a.py")
        for file in workspace(tmp_path).iterdir():
            file.unlink()
        text = await call(client, "read_notebook")
        assert "was deleted from the disk" in text
        assert "kept" in text
        await call(client, "save_notebook")
    assert "kept" in (workspace(tmp_path) / "a.ipynb").read_text()
    assert "kept" in (workspace(tmp_path) / "a.py").read_text()


async def test_an_edit_on_disk_while_a_cell_runs(tmp_path: Path) -> None:
    """Both are in the notebook: what was added on disk, and what the cell gave."""
    async with program(tmp_path) as client:
        await run(client, "import time")
        await call(client, "save_notebook", path="a.py")
        go = tmp_path / "go"
        source = f"import pathlib\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)\nprint('came')"
        begun = await run(client, source, wait_s=0)
        with (workspace(tmp_path) / "a.py").open("a") as file:
            file.write("\n# %%\nadded = 1\n")
        text = await call(client, "read_notebook")
        assert "added = 1" in text
        assert "merged" in text
        go.touch()
        cell_id = begun.split("cell=")[1][:8]
        assert (await call(client, "get_output", cell_id=cell_id, wait_s=60)).endswith("came")
        await call(client, "save_notebook")
    assert "came" in (workspace(tmp_path) / "a.ipynb").read_text()
    assert "added = 1" in (workspace(tmp_path) / "a.py").read_text()
