"""``python -m tests.bench [NAME ...]``: measure, print the table, and after all of them write the page."""

import argparse
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from types import FrameType

import anyio

from tests.bench import (
    big_notebook,
    certificate,
    crowd,
    long_output,
    memory,
    notebook_runs,
    relay,
    report,
    round_trip,
    runtime_calls,
    start,
)
from tests.bench.figure import Figure, table
from tests.bench.machine import load
from tests.bench.place import Place, make_place

GROUPS: dict[str, Callable[[Place], Awaitable[list[Figure]]]] = {
    "round_trip": round_trip.measure,
    "start": start.measure,
    "relay": relay.measure,
    "runtime_calls": runtime_calls.measure,
    "certificate": certificate.measure,
    "long_output": long_output.measure,
    "crowd": crowd.measure,
    "memory": memory.measure,
    "big_notebook": big_notebook.measure,
    "notebook_runs": notebook_runs.measure,
}


def main() -> int:
    """0 when everything was measured, whatever the figures are."""
    signal.signal(signal.SIGTERM, _leave)
    load_before, began = load(), time.monotonic()
    names = _names() or list(GROUPS)
    figures = [figure for name in names for figure in _measured(name)]
    print(table(figures))  # noqa: T201
    if names == list(GROUPS):
        report.PAGE.write_text(report.page(figures, time.monotonic() - began, load_before))
        _tell(f"Written to {report.PAGE}.")
    return 0


def _measured(name: str) -> list[Figure]:
    began = time.monotonic()
    with make_place() as place:
        figures = anyio.run(GROUPS[name], place)
    _tell(f"{name}: {time.monotonic() - began:.0f} s")
    return figures


def _names() -> list[str]:
    parser = argparse.ArgumentParser("python -m tests.bench", description="Measure what mcp-notebook costs.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(GROUPS)}; default is all")
    names: list[str] = parser.parse_args().names
    for name in names:
        if name not in GROUPS:
            parser.error(f"{name!r} is no group of benchmarks; there are {', '.join(GROUPS)}")
    return names


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _leave(_signum: int, _frame: FrameType | None) -> None:
    """Unwind, so that what was started is ended."""
    sys.exit(143)


if __name__ == "__main__":
    sys.exit(main())
