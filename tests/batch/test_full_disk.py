"""A disk that is full for an executed copy: the run goes on, what was written last is whole, and it is told."""

import shlex
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from tests.calls import call
from tests.conftest import environment_of
from tests.programs import on_disk, place, program
from tests.test_bad_disk import possible

pytestmark = pytest.mark.anyio

BIG = """\
# %%
print("small", flush=True)
import time
time.sleep(1)

# %%
print("long " * 100_000)

# %%
print("end")
"""
SIZE = "size=200k"


def test_the_command_tells_that_its_copy_is_not_all(tmp_path: Path) -> None:
    """Exit code 1 and a line behind what came of the run; the file is what it was when there was room."""
    small = tmp_path / "small"
    small.mkdir()
    (tmp_path / "big.py").write_text(BIG)
    run = shlex.join([sys.executable, "-m", "mcp_notebook", "run", "big.py", "small/o.ipynb"])
    done = subprocess.run(
        [*possible(on_disk(small, SIZE)), "sh", "-c", f"{run}; code=$?; cp small/* .; exit $code"],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "could not be written: No space left on device" in done.stderr.splitlines()[-1]
    assert "3/3 cells" in done.stdout
    assert "ok: 3 cells ran" in done.stdout
    copy = nbformat.read(tmp_path / "o.ipynb", as_version=4)  # type: ignore[no-untyped-call]  # not annotated
    nbformat.validate(copy)
    assert copy.cells[0].outputs[0].text == "small\n"


async def test_the_tool_tells_it_with_the_result(tmp_path: Path) -> None:
    """The run itself ended well."""
    small = place(tmp_path) / "small"
    small.mkdir()
    async with program(tmp_path, *possible(on_disk(small, SIZE))) as client:
        (place(tmp_path) / "big.py").write_text(BIG)
        answer = await call(client, "notebook_execute", path="big.py", output_path="small/o.ipynb")
        assert " ok: 3 cells ran" in answer
        assert "could not be written: No space left on device" in answer
