"""A trivial cell while another session opens and saves a notebook of 50 MB."""

import json
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import nbformat
from mcp import Client

from tests.bench.figure import Figure
from tests.bench.mcp_client import open_session, ours, run_cell
from tests.bench.place import Place
from tests.bench.stopwatch import Stopwatch
from tests.calls import call

SOURCE = "x=1"
CELLS = 500
CHARS_PER_CELL = 100_000
ROUNDS = 3
CALLS_WITHOUT = 100


async def measure(place: Place) -> list[Figure]:
    """In turn: 100 cells by themselves, then cells for as long as the other session needs."""
    watch = Stopwatch()
    async with ours(place) as client:
        mine = await open_session(client, "small")
        await run_cell(client, SOURCE, session=mine)
        for number in range(ROUNDS):
            name = f"big-{number}.ipynb"
            await anyio.to_thread.run_sync(_write, place.workspace / name, number)
            for _ in range(CALLS_WITHOUT):
                with watch("without"):
                    await run_cell(client, SOURCE, session=mine)
            await _cells_beside(client, mine, name, watch)
            with watch("nbformat"):
                await anyio.to_thread.run_sync(_copy, place.workspace / name, place.base / name)
    return _figures(watch)


async def _cells_beside(client: Client, mine: str, name: str, watch: Stopwatch) -> None:
    async with anyio.create_task_group() as tasks:
        done = anyio.Event()

        async def open_and_save() -> None:
            with watch("open and save"):
                handle = await open_session(client, name, notebook=name)
                await call(client, "edit_cell", session=handle, source="# one more", edit_mode="insert")
                await call(client, "save_notebook", session=handle)
            await call(client, "control_kernel", action="shutdown", session=handle)
            done.set()

        tasks.start_soon(open_and_save)
        while not done.is_set():
            with watch("beside"):
                await run_cell(client, SOURCE, session=mine)


def _write(path: Path, seed: int) -> None:
    """A notebook whose outputs are 50 MB of text."""
    line = f"{seed} " + "0123456789 " * 8 + "\n"
    text = line * (CHARS_PER_CELL // len(line))
    output = {"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}
    rest: dict[str, Any] = {"cell_type": "code", "metadata": {}, "execution_count": None, "outputs": [output]}
    cells = [{"id": f"cell-{number}", "source": f"print({number})", **rest} for number in range(CELLS)]
    path.write_text(json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}, indent=1))


def _copy(path: Path, copy: Path) -> None:
    """Read and write it as any Jupyter program does."""
    node = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    nbformat.write(node, copy)  # type: ignore[no-untyped-call]  # nor here


def _figures(watch: Stopwatch) -> list[Figure]:
    beside = "trivial cell beside a 50 MB notebook"
    return [
        Figure(
            f"{beside}, p95",
            watch.percentile_ms("beside", 95),
            watch.percentile_ms("without", 95),
            "ms",
            "without that notebook, p95",
        ),
        Figure(
            f"{beside}, longest",
            max(watch.samples["beside"]) * 1000,
            max(watch.samples["without"]) * 1000,
            "ms",
            "without that notebook, longest",
        ),
        Figure(
            "open and save a 50 MB notebook",
            watch.median("open and save"),
            watch.median("nbformat"),
            "s",
            "nbformat.read + write, with no kernel",
        ),
    ]
