"""Whatever a client sends, and whatever lies on the disk: a clear answer, and nothing is lost.

Through a real client on the pipes of the program. What is wrong on the wire is in test_stdio.py,
wrong arguments are in test_arguments.py.
"""

import json
import sys
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import nbformat
import psutil
import pytest

from tests.calls import call, refused, run, status, structured, value
from tests.conftest import ERAS
from tests.programs import place, program, workspace
from tests.wire import wire

pytestmark = pytest.mark.anyio

MOST_BYTES = 60_000


def notebook(*sources: str, **metadata: Any) -> bytes:
    """An .ipynb of these code cells."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{n}", "source": source, "metadata": {}, "execution_count": None, "outputs": []}
        for n, source in enumerate(sources)
    ]
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}).encode()


def nested(levels: int) -> bytes:
    """A notebook with JSON of so many levels in its metadata."""
    return notebook(deep=json.loads("[" * levels + "]" * levels))


BAD_FILES = {
    "broken.ipynb": (b'{"cells": [', "is not valid JSON"),
    "other.ipynb": (b'{"a": 1}', "is JSON but not a notebook"),
    "list.ipynb": (b"[]", "is JSON but not a notebook"),
    "cells.ipynb": (b'{"cells": 5, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "not a valid notebook"),
    "cell.ipynb": (b'{"cells": [5], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}', "is not a valid notebook"),
    "future.ipynb": (b'{"cells": [], "metadata": {}, "nbformat": 99, "nbformat_minor": 0}', "format 99, newer"),
    "latin.ipynb": (b'{"cells": "\xff"}', "is not UTF-8"),
    "text.py": (b"# %%\nx = '\xff'\n", "is not UTF-8"),
    "deep.ipynb": (nested(500), "nested too deeply"),
    "deeper.ipynb": (b"[" * 100_000, "is not valid JSON"),
    "script.py": (b"import os\n", "is a script, not a notebook"),
    "notes.txt": (b"text", "no notebook's suffix"),
}


@pytest.mark.parametrize("era", ERAS)
async def test_files_that_are_no_notebooks_are_refused_and_left_alone(tmp_path: Path, era: str) -> None:
    """For reading, opening and saving; the refusal names the file and what is wrong, and no session is left."""
    for name, (data, _) in BAD_FILES.items():
        (place(tmp_path) / name).write_bytes(data)
    async with program(tmp_path, era=era) as client:
        for name, (_, wrong) in BAD_FILES.items():
            for tool, argument in (("read_notebook", "path"), ("open_session", "notebook")):
                text = await refused(client, tool, **{argument: name})
                assert wrong in text
                assert name in text
        assert (await structured(client, "list_sessions"))["sessions"] == []
        await run(client, "1")
        for name, (data, _) in BAD_FILES.items():
            assert name in await refused(client, "save_notebook", path=name)
            assert (workspace(tmp_path) / name).read_bytes() == data


@pytest.mark.parametrize("era", ERAS)
async def test_no_path_leads_out_of_the_workspace(tmp_path: Path, era: str) -> None:
    """Not by dots, not by a link to a directory or to a file, not for reading, opening or saving."""
    outside = tmp_path / "outside"
    outside.mkdir()
    secret = notebook("secret = 1")
    (outside / "there.ipynb").write_bytes(secret)
    (place(tmp_path) / "link").symlink_to(outside)
    (workspace(tmp_path) / "linked.ipynb").symlink_to(outside / "there.ipynb")
    (workspace(tmp_path) / "dangling.py").symlink_to(outside / "new.py")
    paths = ("../outside/there.ipynb", str(outside / "there.ipynb"), "link/there.ipynb", "linked.ipynb")
    async with program(tmp_path, era=era) as client:
        for path in (*paths, "link/new.py", "dangling.py", "~/new.py", "/etc/passwd"):
            for tool, argument in (("read_notebook", "path"), ("open_session", "notebook"), ("save_notebook", "path")):
                text = await refused(client, tool, **{argument: path})
                assert "outside the workspace" in text
                assert "secret" not in text
    assert [path.name for path in outside.iterdir()] == ["there.ipynb"]
    assert (outside / "there.ipynb").read_bytes() == secret


async def test_a_link_that_was_turned_outside_is_not_followed(tmp_path: Path) -> None:
    """Also when the file was inside while it was opened."""
    outside = tmp_path / "outside.py"
    file = place(tmp_path) / "a.py"
    file.write_text("# %%\n1\n")
    async with program(tmp_path) as client:
        await call(client, "open_session", notebook="a.py")
        file.unlink()
        file.symlink_to(outside)
        assert "outside the workspace" in await refused(client, "save_notebook")
        assert "1" in await call(client, "read_notebook")
    assert not outside.exists()


async def test_a_file_that_is_not_there_is_not_read(tmp_path: Path) -> None:
    """Reading is refused; opening makes a new notebook and says so, lest a typing error goes unnoticed."""
    async with program(tmp_path) as client:
        assert "There is no anlysis.py" in await refused(client, "read_notebook", path="anlysis.py")
        opened = await structured(client, "open_session", notebook="anlysis.py")
        assert "does not exist yet" in opened["notes"][0]
    assert list(workspace(tmp_path).iterdir()) == []


def kernelspec(base: Path, name: str, content: str) -> None:
    """Install a kernel.json."""
    directory = base / "jupyter" / "kernels" / name
    directory.mkdir(parents=True)
    (directory / "kernel.json").write_text(content)


def starting(*argv: str, language: str = "python") -> str:
    """A kernel.json of this command."""
    return json.dumps({"argv": argv, "display_name": "x", "language": language})


async def test_a_kernel_that_does_not_start_is_told_with_what_to_do(tmp_path: Path) -> None:
    """No session is left, no process, and the default kernel starts afterwards."""
    pid_file = tmp_path / "pid"
    hang = f"echo $$ > {pid_file}; exec sleep 600"
    specs = {
        "ends": (starting("/bin/sh", "-c", "echo no such library >&2; exit 3"), "exit code 3. It wrote:\nno such libr"),
        "hangs": (starting("/bin/sh", "-c", hang), "said nothing for 4 s"),
        "absent": (starting("/no/such/program"), "/no/such/program"),
        "nothing": (starting(), "nothing"),
        "broken": ("{", "broken"),
    }
    for name, (content, _) in specs.items():
        kernelspec(tmp_path, name, content)
    bare = tmp_path / "bare"
    await anyio.run_process([sys.executable, "-m", "venv", "--without-pip", str(bare)])
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "state" / "settings.toml").write_text("start_timeout_s = 4.0\n")
    interpreters = {
        "/no/such/python": "is not a Python interpreter",
        str(bare / "bin" / "python"): "-m pip install ipykernel",
        "unknown": "Installed: ",
    }
    async with program(tmp_path) as client:
        for kernel, wrong in [*((name, wrong) for name, (_, wrong) in specs.items()), *interpreters.items()]:
            assert wrong in await refused(client, "open_session", kernel=kernel)
        assert (await structured(client, "list_sessions"))["sessions"] == []
        assert not psutil.pid_exists(int(pid_file.read_text()))
        assert status(await run(client, "1")) == "ok"


async def test_a_notebook_of_a_kernel_that_is_not_installed_can_be_read(tmp_path: Path) -> None:
    """Opening it names the kernel; reading needs none."""
    spec = {"name": "ir", "display_name": "R", "language": "R"}
    (place(tmp_path) / "r.ipynb").write_bytes(notebook("x <- 1", kernelspec=spec))
    async with program(tmp_path) as client:
        text = await refused(client, "open_session", notebook="r.ipynb")
        assert "'ir'" in text
        assert "Installed: " in text
        assert "x <- 1" in await call(client, "read_notebook", path="r.ipynb")


async def test_ten_thousand_cells(tmp_path: Path) -> None:
    """Opened, read in parts, planned, edited and saved, each answer of a bearable length."""
    file = place(tmp_path) / "many.ipynb"
    file.write_bytes(notebook(*(f"v{n} = {n}" for n in range(10_000))))
    async with program(tmp_path) as client:
        assert (await structured(client, "open_session", notebook="many.ipynb"))["cells"] == 10_000
        for arguments in ({}, {"cells": "0-9999"}, {"outputs": "full"}):
            text = await call(client, "read_notebook", **arguments)
            assert "10,000 cells" in text
            assert len(text.encode()) < MOST_BYTES
        assert "v5001 = 5001" in await call(client, "read_notebook", cells="5000-5002")
        plan = await call(client, "control_kernel", action="run_all", dry_run=True)
        assert plan.startswith("run_all would run 10,000 cells")
        assert len(plan.encode()) < MOST_BYTES
        assert (await run(client, "v = 'new'", cell_id="c9999")).startswith("[1] ok")
        await call(client, "save_notebook")
    node = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    nbformat.validate(node)
    assert [node.cells[0].source, len(node.cells), node.cells[-1].source] == ["v0 = 0", 10_000, "v = 'new'"]


async def test_what_is_too_long_to_be_said_again_is_not(tmp_path: Path) -> None:
    """A refusal quotes no megabytes."""
    long = "x" * 1_000_000
    async with program(tmp_path) as client:
        await run(client, "1")
        for tool, arguments in (
            ("read_notebook", {"path": f"{long}.py"}),
            ("read_notebook", {"cells": long}),
            ("execute_cell", {"cell_id": long}),
            ("execute_cell", {"source": "1", "session": long}),
            ("execute_cell", {"source": "1", long: 1}),
            ("get_output", {"cursor": long}),
            ("get_output", {"cell_id": "1", "search": long}),
            ("inspect_variables", {"name": long}),
            ("open_session", {"kernel": long}),
        ):
            assert len(await refused(client, tool, **arguments)) < 4000


async def test_a_kernel_is_not_left_by_a_server_that_is_killed(tmp_path: Path) -> None:
    """By a signal that nobody can catch, and while a cell runs that catches all others."""
    async with wire(tmp_path) as server:
        await server.shake_hands()
        kernel = psutil.Process(
            int((await server.call("execute_cell", source="import os; os.getpid()")).split("\n")[1])
        )
        ignore = "import signal\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: pass"
        await server.call("execute_cell", source=ignore, wait_s=0)
        server.process.kill()
        await server.process.wait()
        await anyio.to_thread.run_sync(kernel.wait, 30)


async def test_two_servers_save_one_notebook(tmp_path: Path) -> None:
    """Each merges what the other one wrote: the cells of both are in the files."""
    (place(tmp_path) / "a.py").write_text("# %%\nboth = 1\n")
    async with program(tmp_path) as one, program(tmp_path) as two:
        for client, source in ((one, "one = 1"), (two, "two = 2")):
            await call(client, "open_session", notebook="a.py")
            await run(client, source)
        await call(two, "save_notebook")
        saved = await call(one, "save_notebook")
        assert "merged" in saved
        assert "one = 1" in await call(two, "read_notebook")
    text = (workspace(tmp_path) / "a.py").read_text()
    assert [text.count(source) for source in ("both = 1", "one = 1", "two = 2")] == [1, 1, 1]


async def test_line_ends_and_syntax_errors_of_a_text_stay(tmp_path: Path) -> None:
    """Saving changes nothing in a .py that was only run, however it is written."""
    content = b"# %%\r\ndef broken(:\r\n    pass\r\n\r\n# %% [markdown]\r\n# Title\r\n"
    (place(tmp_path) / "a.py").write_bytes(content)
    async with program(tmp_path) as client:
        await call(client, "open_session", notebook="a.py")
        assert "stopped at cell" in await call(client, "control_kernel", action="run_all")
        await call(client, "save_notebook")
        assert value(await call(client, "read_notebook"), "cell")
    assert (workspace(tmp_path) / "a.py").read_bytes() == content
