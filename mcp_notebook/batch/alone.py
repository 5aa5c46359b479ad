"""A run in a process of its own: sessions, kernel and all end with it. For papermill's and for our command line."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
from nbclient.exceptions import CellTimeoutError, DeadKernelError

from mcp_notebook.batch.copies import ExecutedCopy
from mcp_notebook.batch.printed import Printed
from mcp_notebook.batch.running import Outcome, Rules, run_cells
from mcp_notebook.rules import PYTHONS
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings, load

NAME = "run"
IGNORED = ("input_path", "km", "kernel_manager_class", "nb_man", "log", "resources")
"""What papermill or nbclient give along and this needs not."""

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INSISTING = 3
"""How many of them end it at once."""
INTERRUPTED = 130

logger = logging.getLogger(__name__)


def run_alone(
    copy: ExecutedCopy,
    kernel_name: str | None,
    *,
    start_timeout: float = 60,
    execution_timeout: float | None = None,
    stdout_file: Any = None,
    stderr_file: Any = None,
    **options: Any,
) -> None:
    """Run the copy's cells in the current directory, on a kernel that ends with them.

    The options are papermill's and nbclient's. Raises DeadKernelError, CellTimeoutError; also what ``execute`` raises.
    """
    settings = replace(load(workspace=Path.cwd()), start_timeout_s=float(start_timeout))
    rules = _rules(execution_timeout or options.pop("timeout", None), options)
    printed = Printed(copy.log_output, stdout_file, stderr_file)
    kernel = None if (kernel_name or PYTHONS[0]).lower() in PYTHONS else kernel_name
    outcome = execute(copy, rules, settings, kernel, Path.cwd(), printed)
    if outcome.status == "timeout":
        raise CellTimeoutError(outcome.message)
    if outcome.status in ("dead", "cancelled"):
        raise DeadKernelError(outcome.message or "Kernel died")


def execute(
    copy: ExecutedCopy, rules: Rules, settings: Settings, kernel: str | None, directory: Path, printed: Printed
) -> Outcome:
    """Run the copy's cells on a kernel in ``directory``; the one that the copy names, if ``kernel`` is None.

    Raises KeyboardInterrupt when it is told to stop, by whichever signal, and NotebookError.
    """

    async def run() -> Outcome:
        async with Sessions(settings) as sessions, copy.kept_saved(), printed.following(copy):
            session = await sessions.open_run(Connection(), deepcopy(copy.nb), NAME, kernel, directory)
            outcome = await run_cells(session, copy, rules)
            return replace(outcome, notes=tuple(session.take_notes()))

    return _in_a_loop(run)


def _rules(timeout_s: float | None, options: dict[str, Any]) -> Rules:
    known = ("allow_errors", "allow_error_names", "force_raise_errors", "skip_cells_with_tag")
    for name in options.keys() - {*known, *IGNORED}:
        logger.warning("The engine mcp-notebook has no option %s: ignored.", name)
    chosen = {name: options[name] for name in known if name in options}
    return Rules(timeout_s=timeout_s if timeout_s and timeout_s > 0 else None, **chosen)


def _in_a_loop(run: Callable[[], Any]) -> Outcome:
    """In this thread; in another one where a loop runs here already, as in a notebook."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return anyio.run(_until_told, run) if _is_main() else anyio.run(run)
    outcomes: list[Outcome | BaseException] = []

    def in_thread() -> None:
        try:
            outcomes.append(anyio.run(run))
        except BaseException as exc:
            outcomes.append(exc)

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    if isinstance(outcomes[0], BaseException):
        raise outcomes[0]
    return outcomes[0]


def _is_main() -> bool:
    return threading.current_thread() is threading.main_thread()


async def _until_told(run: Callable[[], Any]) -> Outcome:
    """Ctrl-C, SIGTERM and SIGHUP end a run in good order: cell, kernel and file. Who insists has it ended at once.

    asyncio's own handler would raise KeyboardInterrupt from the second one on, amid whatever cleans up.
    """
    outcome: Outcome | None = None
    failed: Exception | None = None
    told = 0
    this = asyncio.current_task()
    assert this is not None

    async def listen() -> None:
        nonlocal told
        # under nohup a hang-up is ignored, in the background of a script an interrupt
        heard = [each for each in ENDING if signal.getsignal(each) not in (signal.SIG_IGN, None)]
        with anyio.open_signal_receiver(*heard) as signals:
            async for _ in signals:
                told += 1
                if told == 1:
                    this.cancel()  # unlike the cancellation of a scope it lets whatever cleans up wait
                elif told == INSISTING:
                    os._exit(INTERRUPTED)  # the kernel notices that it is alone

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        try:
            outcome = await run()
        except asyncio.CancelledError:
            if not told:
                raise
            this.uncancel()
        except Exception as exc:  # out of the group, which would wrap it
            failed = exc
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed
    if outcome is None:
        raise KeyboardInterrupt
    return outcome
