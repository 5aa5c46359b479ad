"""SIGINT in a Python kernel: raised in the cell's own code, never in the code that sends its outputs and replies.

Sent into a Python kernel as source together with ``kernel``, which uses it; it changes ipykernel's objects in
place. Works with ipykernel 6.29 and newer on Python 3.9 and newer.
"""

from __future__ import annotations

import _thread
import contextlib
import contextvars
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    import types
    from collections.abc import Callable, Iterable, Iterator

RETRY_S = 0.003
"""How soon a deferred interrupt is tried again."""
GUARDED = ("ipykernel/iostream.py", "jupyter_client/session.py", "hermes_runtime/sending.py")
"""Code that an exception would tear, also when it was raised in what that code calls."""
LOSING = ("/contextlib.py", "IPython/core/formatters.py", "IPython/lib/pretty.py", "traitlets/traitlets.py")
"""Code that turns a ``KeyboardInterrupt`` raised in itself into another exception, or drops it with a generator."""


class Interrupts:
    """Which execution runs in the main thread, and what came of the signals that were meant for it.

    The stock handler can raise anywhere: in the code that sends a reply, in a stream's buffer, between two
    cells. Ours raises ``KeyboardInterrupt`` only below the user's code, and elsewhere waits.
    """

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.running: object | None = None
        """A mark of the execution in progress; None between cells."""
        self.task: asyncio.Future[Any] | None = None
        """The running cell's task, if the cell awaits at its top level."""
        self.reached = False
        """Whether an interrupt reached the code of the latest execution."""
        self.due: object | None = None
        """The execution that an interrupt waits for, because it came where raising would tear something."""
        self.announced = False
        """Whether the next signal is one of our own retries."""
        self.left: object | None = None
        """The execution that an interrupt was left for, see ``leave``."""
        self.context = contextvars.copy_context()
        """That of the running cell's task: what is printed in it belongs to the cell."""

    def take_over(self, streams: Iterable[Any]) -> None:
        """Replace ipykernel's handling; must run in the main thread."""
        if self.kernel.shell is not None:
            _hide_from_tracebacks(self.kernel.shell)
        for stream in streams:
            stream.write, stream.flush = self.interruptible(stream.write), self.interruptible(stream.flush)
        self.kernel.pre_handler_hook = self.kernel.post_handler_hook = lambda: None
        self.kernel._cancel_on_sigint = self.cell_task
        self.install()

    def install(self) -> None:
        """Also when an earlier cell has put a handler of its own in place: it counts for that cell."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self.on_sigint)

    def begin(self) -> object | None:
        """An execution begins; returns what ``end`` wants."""
        self.install()
        before, self.running = self.running, object()
        self.reached = False
        self.left = None
        return before

    def end(self, before: object | None) -> None:
        self.running = before

    @contextlib.contextmanager
    def cell_task(self, future: asyncio.Future[Any]) -> Iterator[None]:
        self.task, self.context = future, contextvars.copy_context()
        try:
            yield
        finally:
            self.task = None

    def on_sigint(self, _signum: int, frame: types.FrameType | None) -> None:
        again, self.announced = self.announced, False
        left, self.left = self.left, None
        if self.running is None or (again and self.due is not self.running):
            return
        if left is not None and left is not self.running:
            return
        where = self.where(frame)
        if where == "user":
            self.raise_interrupt()
        task = self.task
        if where == "outside" and task is not None and not task.done():
            self.due = None
            task.get_loop().call_soon_threadsafe(self.cancel_task, task)
            return
        self.retry_until_done(self.running)

    def leave(self, is_running: Callable[[], bool]) -> bool:
        """Let the main thread find an interrupt when it comes back from C code, also from code that ignores SIGINT.

        It is for the execution of which ``is_running`` tells and no later one; False when that has ended.
        """
        execution = self.running  # before the question: what runs may change between the two
        if execution is None or not is_running():
            return False
        self.left = execution
        _thread.interrupt_main()
        return True

    def where(self, frame: types.FrameType | None) -> str:
        return _where(frame, getattr(self.kernel.shell, "user_global_ns", None))

    def raise_interrupt(self) -> None:
        self.due = None
        self.reached = True
        raise KeyboardInterrupt

    def interruptible(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """``call``, and then the interrupt that came within it: code that always prints is always in there."""

        def called(*args: Any, **kwargs: Any) -> Any:
            value = call(*args, **kwargs)
            if self.due is not None and self.due is self.running:
                in_main_thread = threading.get_ident() == threading.main_thread().ident
                if in_main_thread and self.where(sys._getframe()) == "user":
                    self.raise_interrupt()
            return value

        return called

    def cancel_task(self, task: asyncio.Future[Any]) -> None:
        if task is self.task and not task.done():
            self.reached = True
            task.cancel()

    def retry_until_done(self, execution: object) -> None:
        """Send the signal again every moment, until it is done or that execution has ended."""
        retrying, self.due = self.due is execution, execution
        if retrying:
            return

        def retry() -> None:
            while True:
                time.sleep(RETRY_S)
                if self.due is not execution or self.running is not execution:
                    return
                self.announced = True
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        threading.Thread(target=retry, name="interrupt", daemon=True).start()


def _where(frame: types.FrameType | None, user_globals: object) -> str:
    """``user``: an exception raised here ends in the cell's traceback; ``busy``: it would tear something;
    ``outside``: no cell's code is on the stack.
    """
    if frame is not None and frame.f_code.co_filename.replace("\\", "/").endswith(LOSING):
        return "busy"
    below: types.FrameType | None = None
    while frame is not None:
        code = frame.f_code
        name = code.co_filename.replace("\\", "/")
        if name.endswith(GUARDED):
            return "busy"
        if code.co_name == "_input_request" and name.endswith("ipykernel/kernelbase.py"):
            return "user"  # waiting for a line of input; ends with an explanation of its own
        if code.co_name == "run_code" and name.endswith("IPython/core/interactiveshell.py"):
            return "user" if below is not None and below.f_globals is user_globals else "busy"
        below, frame = frame, frame.f_back
    return "outside"


def _hide_from_tracebacks(shell: Any) -> None:
    """Let tracebacks pass over our own files: an interrupted cell's ends in the cell's own line."""
    get_exc_info = shell._get_exc_info
    ours = Interrupts.on_sigint.__code__.co_filename.rpartition(os.sep)[0] + os.sep

    def without_ours(*args: Any, **kwargs: Any) -> Any:
        etype, value, first = get_exc_info(*args, **kwargs)
        kept = first
        while kept is not None:
            following = kept.tb_next
            while following is not None and following.tb_frame.f_code.co_filename.startswith(ours):
                following = following.tb_next
            if following is not kept.tb_next:
                kept.tb_next = following
            kept = following
        return etype, value, first

    shell._get_exc_info = without_ours
