"""What an agent's kernel does not need, turned off when it starts.

Sent into a Python kernel as source together with ``kernel``, which hands in ipykernel's objects; works with
ipykernel 6.29 and newer on Python 3.9 and newer.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ARGUMENTS = ("--HistoryManager.hist_file=:memory:",)
"""All kernels of a user lock one history database; nobody reads it."""
IOPUB_MESSAGES = 10_000
"""How many may wait for a reader before ZMQ drops them; its own default is 1,000.

What is dropped is fetched from the ring, which is bounded in bytes; this bounds nothing where messages are large.
"""


def yield_to_others() -> None:
    """Let Linux take this process for one that computes: it waits its turn instead of interrupting who is at work.

    Its share of the processor is the same. The server and the user's programs answer sooner beside many busy kernels.
    """
    if hasattr(os, "SCHED_BATCH"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


@contextlib.contextmanager
def without_debugger() -> Iterator[None]:
    """Keep ipykernel from importing the debugger, a quarter of a start; ``import debugpy`` in a cell still works."""
    blocked = "debugpy" not in sys.modules
    if blocked:
        sys.modules["debugpy"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if blocked:
            del sys.modules["debugpy"]


def slim(app: Any, kernel_class: Any, send_high_water_mark: int) -> None:
    """Prepare ``app`` before it is initialized: no thread for subshells, and room for many IOPub messages.

    ``send_high_water_mark`` is ZMQ's name of that option. The thread (ipykernel 7) passes each request on to the
    main thread and each reply back, for subshells that only other front ends ask for.
    """
    init_sockets, init_iopub = app.init_sockets, app.init_iopub

    def sockets_without_thread() -> None:
        init_sockets()
        if getattr(app, "shell_channel_thread", None) is not None:
            kernel_class._supports_kernel_subshells = False
            app.shell_channel_thread = NoShellThread()

    def iopub_with_room(context: Any) -> None:
        context.setsockopt(send_high_water_mark, IOPUB_MESSAGES)  # of sockets made from now on
        init_iopub(context)
        context.setsockopt(send_high_water_mark, 1000)

    app.init_sockets, app.init_iopub = sockets_without_thread, iopub_with_room


def spare(app: Any, ipkernel: Any, shell: Any) -> None:
    """Leave out what ipykernel does for each cell and nobody sees: call once ``app`` is initialized.

    Log records below the level that is shown, the signature of the same function each time, and a cell's
    transformation for the second time. ``ipkernel`` is ipykernel's module of that name.
    """
    app.log.setLevel(app.log_level)
    if hasattr(ipkernel, "_accepts_parameters"):
        ipkernel._accepts_parameters = _remembering(ipkernel._accepts_parameters)
    shell.transform_cell = _once_for_two(shell)


def _remembering(accepts_parameters: Any) -> Any:
    known: dict[Any, Any] = {}

    def accepts(method: Any, names: Any) -> Any:
        key = (getattr(method, "__func__", method), tuple(names))
        if key not in known:
            known[key] = accepts_parameters(method, names)
        return known[key]

    return accepts


def _once_for_two(shell: Any) -> Any:
    """ipykernel transforms a cell to see whether it awaits, then IPython does so again to run it."""
    transform = shell.transform_cell
    last: list[tuple[int, str, str]] = []

    def transform_cell(raw_cell: str) -> Any:
        if last:
            count, raw, transformed = last.pop()
            if (count, raw) == (shell.execution_count, raw_cell):
                return transformed
        transformed = transform(raw_cell)
        last.append((shell.execution_count, raw_cell, transformed))
        return transformed

    return transform_cell


class NoShellThread:
    """Stands where ipykernel 7 has its thread: false, but asked which thread runs the cells."""

    def __init__(self) -> None:
        self.parent_thread = threading.main_thread()

    def __bool__(self) -> bool:
        return False
