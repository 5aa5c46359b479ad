"""A notebook of 100 trivial cells by papermill and by ours, in turn; and how old the executed copy gets meanwhile."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import nbformat
import papermill

from tests.bench.figure import Figure, at_most
from tests.bench.place import Place
from tests.bench.stopwatch import Stopwatch

CELLS = 100
ROUNDS = 7
PRINTS_FOR_S = 6.0
"""How long the cell prints the time that the age of the copy is told by."""
MOST_AGE_S = 1.0


async def measure(place: Place) -> list[Figure]:
    """In this process without the imports, and as commands with them."""
    watch = Stopwatch()
    source = place.workspace / "trivial.ipynb"
    _write(source, ["x = 0", *(f"x += {number}" for number in range(CELLS - 1))])
    kinds: dict[str, Callable[[], None]] = {
        "papermill": partial(_execute, source, place.base / "theirs.ipynb", None),
        "ours": partial(_execute, source, place.base / "ours.ipynb", "mcp-notebook"),
        "papermill's command": partial(_command, place, "papermill", str(source), str(place.base / "c1.ipynb")),
        "our command": partial(_command, place, "mcp_notebook", "run", str(source), str(place.base / "c2.ipynb")),
    }
    for number in range(ROUNDS + 1):
        if number == 1:
            watch.samples.clear()  # the first round has warmed up
        for name, run in kinds.items():
            with watch(name):
                await anyio.to_thread.run_sync(run)
    return [*_figures(watch), await _age(place)]


def _figures(watch: Stopwatch) -> list[Figure]:
    name = f"notebook of {CELLS} trivial cells, p50"
    return [
        Figure(
            f"{name}, in one process",
            watch.median("ours"),
            watch.median("papermill"),
            "s",
            "papermill.execute_notebook without our engine",
            at_most(0.5),
        ),
        Figure(
            f"{name}, by command",
            watch.median("our command"),
            watch.median("papermill's command"),
            "s",
            "papermill IN OUT; ours is mcp-notebook run IN OUT",
            at_most(0.5),
        ),
    ]


async def _age(place: Place) -> Figure:
    """The longest that what the copy holds was behind what the cell had printed."""
    source, copy = place.workspace / "prints.ipynb", place.base / "prints.ipynb"
    loop = (
        f"import time\nend = time.time() + {PRINTS_FOR_S}\nwhile time.time() < end:\n    print(time.time(), flush=True)"
    )
    _write(source, ["x = 1", f"{loop}\n    time.sleep(0.01)"])
    ages: list[float] = []
    over = anyio.Event()

    async def look() -> None:
        while not over.is_set():
            await anyio.sleep(0.01)
            now = time.time()
            outputs = json.loads(copy.read_text())["cells"][1]["outputs"] if copy.exists() else []
            if outputs:
                ages.append(now - float(outputs[0]["text"][-1]))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await anyio.to_thread.run_sync(_execute, source, copy, "mcp-notebook")
        over.set()
    return Figure("... age of the executed copy, longest", max(ages), MOST_AGE_S, "s", "what is promised", at_most(1))


def _write(path: Path, sources: list[str]) -> None:
    spec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    cells = [nbformat.v4.new_code_cell(source) for source in sources]  # type: ignore[no-untyped-call]  # not annotated
    notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": spec})  # type: ignore[no-untyped-call]
    nbformat.write(notebook, path)  # type: ignore[no-untyped-call]  # nor these


def _execute(source: Path, copy: Path, engine: str | None) -> None:
    papermill.execute_notebook(str(source), str(copy), engine_name=engine, progress_bar=False)


def _command(place: Place, module: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=place.workspace,
        env=place.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
