"""Stop the running cell without a signal: end the ``await`` it is stuck in, or leave an interrupt for its code.

Sent into a Python kernel as source together with ``kernel``, which calls it from the control channel; what it does
to a cell it does in the main thread's loop, so the cell cannot end meanwhile. Works with ipykernel 6.29 and newer on
Python 3.9 and newer.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from hermes_runtime.interrupts import Interrupts

LOOK_S = 0.2
"""A main thread whose loop does not come round within this time runs code, or waits in it."""
THROWS = 3
"""How often a coroutine may swallow the interrupt before it is left where it stands."""
OVER, REACHED, CANCELLED, ENDED, LEFT = "over", "reached", "cancelled", "ended", "left"
"""The execution does not run any more; an interrupt has reached it, and nothing was done; its await was cancelled;
the kernel waits for it no longer; its code finds the interrupt when it comes back from what it is in."""

_stopped: list[Any] = []
"""Coroutines that are never resumed. Collecting one would run its code again, which did not want to end."""


async def stop(interrupts: Interrupts, is_running: Callable[[], bool], force: bool) -> str:
    """Stop the execution of which ``is_running`` tells; ``force`` where it goes on after an interrupt reached it.

    What goes on may be its own clean-up, so that without ``force`` it is left alone.
    """
    if interrupts.reached and not force:
        return REACHED if is_running() else OVER
    loop = asyncio.get_running_loop()
    looked: asyncio.Future[str] = loop.create_future()
    withdrawn = False

    def tell(said: str) -> None:
        if not looked.done():
            looked.set_result(said)

    def look() -> None:
        if withdrawn:
            return
        said = _stop(interrupts, is_running, force)
        if said is None:
            interrupts.kernel.io_loop.add_callback(look)
        else:
            loop.call_soon_threadsafe(tell, said)

    interrupts.kernel.io_loop.add_callback(look)
    await asyncio.wait([looked], timeout=LOOK_S)
    if looked.done():
        return looked.result()
    withdrawn = True
    return _leave(interrupts, is_running)


def _stop(interrupts: Interrupts, is_running: Callable[[], bool], force: bool) -> str | None:
    """In the main thread, between two steps of its loop; None where the next step must come first."""
    if not is_running():
        return OVER
    task: Any = interrupts.task
    if task is None or task.done() or task.get_coro().cr_running:  # a loop within the cell's own code
        return _leave(interrupts, is_running)
    if inspect.getcoroutinestate(task.get_coro()) == inspect.CORO_CREATED:
        return None  # cancelled before it began, it would end without a result
    interrupts.reached = True
    if not force:
        task.cancel()
        return CANCELLED
    result = interrupts.context.run(_end, interrupts.kernel.shell, task)
    asyncio.Future.set_result(task, result)  # a task refuses it only for itself
    return ENDED


def _leave(interrupts: Interrupts, is_running: Callable[[], bool]) -> str:
    return LEFT if interrupts.leave(is_running) else OVER


def _end(shell: Any, task: Any) -> Any:
    """Take the coroutine from its task and interrupt it where it waits; returns the cell's result."""
    _detach(task)
    coroutine = task.get_coro()
    for _ in range(THROWS):
        try:
            coroutine.throw(KeyboardInterrupt())
        except StopIteration as returned:
            return returned.value
        except BaseException:  # whatever it makes of the interrupt, it has ended
            break
    else:
        _stopped.append((coroutine, task))
    return _result(shell)


def _detach(task: Any) -> None:
    """See to it that nothing resumes the task: neither what it waits for, nor a step that is due."""
    waited_for: Any = getattr(task, "_fut_waiter", None)
    for callback, _ in list(getattr(waited_for, "_callbacks", None) or ()):
        if getattr(callback, "__self__", None) is task:
            waited_for.remove_done_callback(callback)
    for handle in list(getattr(task.get_loop(), "_ready", ())):
        if getattr(getattr(handle, "_callback", None), "__self__", None) is task:
            handle.cancel()


def _result(shell: Any) -> Any:
    """What the cell has come to; whatever it has done to IPython, there must be a result."""
    nothing = {"error_before_exec": None, "success": False, "execution_count": None, "result": None}
    # A cell that was run within the cell has taken its result away.
    result = shell.displayhook.exec_result or shell.last_execution_result or types.SimpleNamespace(**nothing)
    result.error_in_exec = KeyboardInterrupt("it did not end when it was cancelled, and is not resumed")
    with contextlib.suppress(Exception):
        shell.showtraceback((KeyboardInterrupt, result.error_in_exec, None), exception_only=True)
    with contextlib.suppress(Exception):
        _tidy_up(shell, result)
    return result


def _tidy_up(shell: Any, result: Any) -> None:
    """Do for the cell what IPython would have done at its end."""
    for trap in (shell.display_trap, shell.builtin_trap):
        trap.__exit__(None, None, None)
    sys.excepthook = shell.sys_excepthook
    shell.displayhook.exec_result = None
    shell.last_execution_succeeded = False
    if result.execution_count == shell.execution_count:  # older ones count at the end
        shell.execution_count += 1
    shell.last_execution_result = result
