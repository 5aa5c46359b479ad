"""Answer runtime calls with Hermes's own tools: python worker.py TASK MARK BYTES

Run by the Python in which hermes-agent is installed; nothing of mcp-notebook can be imported there. Lines of JSON on
stdin, ``{"id", "name", "args"}`` and ``{"stop": id}``, and on stdout, ``{"ready": version}`` and then for each call
``{"id", "answer"}`` or ``{"id", "error"}``, in the order in which they end, of at most BYTES each. At the end of stdin
it ends, with all that its tools have started: what descends from it, or has MARK in its environment.
"""

import atexit
import importlib
import importlib.metadata
import json
import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, BinaryIO

VARIABLE = "MCP_NOTEBOOK_HERMES"
"""Has the mark. Hermes hands it on to what it starts."""
END_WITHIN_S = 8.0
"""Hermes needs one second; more where it has containers."""
ROUNDS = 20
ROUND_S = 0.5
STOPPED = "{}() was stopped before it began."
FAILED = "Hermes failed in {}() ({}: {})."
TOO_LONG = "Hermes's answer of {}() has {:,} bytes, more than the {:,} that are allowed: ask for less."


class Threads:
    """As many as there are calls at once. One that is free is used again: Hermes keeps an event loop in each."""

    def __init__(self) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._free = threading.Semaphore(0)

    def start(self, call: Callable[[], None]) -> None:
        """Have it made, in a thread for whose end nobody waits."""
        self._calls.put(call)
        if not self._free.acquire(blocking=False):
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        while True:
            self._calls.get()()
            self._free.release()


class Calls:
    """Those that wait and those that are being made, with ``dispatch``, which Hermes has for its model's calls."""

    def __init__(self, dispatch: Callable[..., Any], interrupt: Callable[..., None], task: str) -> None:
        self._dispatch = dispatch
        self._interrupt = interrupt
        self._task = task
        self._lock = threading.Lock()
        self._waiting: set[int] = set()
        self._threads: dict[int, int] = {}

    def take(self, number: int) -> None:
        """It waits for a thread."""
        with self._lock:
            self._waiting.add(number)

    def answer(self, number: int, name: str, args: dict[str, Any]) -> dict[str, Any]:
        """Make the call, in this thread."""
        with self._lock:
            if number not in self._waiting:
                return {"id": number, "error": STOPPED.format(name)}
            self._waiting.remove(number)
            self._threads[number] = threading.get_ident()
        try:
            return {"id": number, "answer": _value(self._dispatch(name, args, task_id=self._task))}
        except BaseException as exc:  # also SystemExit: no tool may end the thread
            return {"id": number, "error": FAILED.format(name, type(exc).__name__, exc)}
        finally:
            with self._lock:
                del self._threads[number]
                self._interrupt(False)  # the thread's next call is another

    def stop(self, number: int) -> None:
        """Hermes's tools look now and then whether their thread was told to stop."""
        with self._lock:
            self._waiting.discard(number)
            if number in self._threads:
                self._interrupt(True, self._threads[number])

    def stop_all(self) -> None:
        """Nobody waits for any of them."""
        with self._lock:
            numbers = [*self._waiting, *self._threads]
        for number in numbers:
            self.stop(number)


class Answers:
    """Written to ``out`` a line each, from any thread."""

    def __init__(self, out: BinaryIO, most_bytes: int) -> None:
        self._out = out
        self._most_bytes = most_bytes
        self._lock = threading.Lock()

    def write(self, message: dict[str, Any], name: str = "") -> None:
        """The answer of a call of this name; where it is too long or no JSON, that."""
        try:
            line = json.dumps(message, default=str).encode()
            error = TOO_LONG.format(name, len(line), self._most_bytes) if len(line) > self._most_bytes else ""
        except (TypeError, ValueError, RecursionError) as exc:
            error = FAILED.format(name, type(exc).__name__, exc)
        if error:
            line = json.dumps({"id": message["id"], "error": error}).encode()
        with self._lock, suppress(OSError):  # who has gone reads nothing
            self._out.write(line + b"\n")
            self._out.flush()


def _value(answer: Any) -> Any:
    if not isinstance(answer, str):
        return answer
    try:
        return json.loads(answer)
    except ValueError:  # a plug-in of Hermes may put any text in the place of an answer
        return answer


def _serve(asked: BinaryIO, answers: Answers, calls: Calls) -> None:
    threads = Threads()

    def make(number: int, name: str, args: dict[str, Any]) -> None:
        answers.write(calls.answer(number, name, args), name)

    for line in asked:
        message = json.loads(line)
        if "stop" in message:
            calls.stop(message["stop"])
            continue
        calls.take(message["id"])
        threads.start(partial(make, message["id"], message["name"], message["args"]))


def _started(psutil: Any, mark: str) -> Iterator[Any]:
    """Processes of tools, also those whose parent has ended."""
    me = psutil.Process()
    yield from me.children(recursive=True)
    for each in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if each != me and each.environ().get(VARIABLE) == mark:
                yield each


def _kill_all(mark: str) -> None:
    """Until there is none, for what is being killed may start another."""
    psutil = importlib.import_module("psutil")  # Hermes needs it too
    for _ in range(ROUNDS):
        found = list(_started(psutil, mark))
        if not found:
            return
        for each in found:
            with suppress(psutil.Error):
                each.kill()
        psutil.wait_procs(found, timeout=ROUND_S)


def _version() -> str:
    try:
        return importlib.metadata.version("hermes-agent")
    except importlib.metadata.PackageNotFoundError:  # it lies on the path, not installed
        return ""


def main(task: str, mark: str, most_bytes: int) -> None:
    """Serve until the end of stdin. What Hermes prints goes to stderr, and no command of its reads what is asked."""
    asked, answers = os.fdopen(os.dup(0), "rb"), Answers(os.fdopen(os.dup(1), "wb"), most_bytes)
    os.dup2(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), 0)
    os.dup2(2, 1)
    hermes, interrupt = importlib.import_module("model_tools"), importlib.import_module("tools.interrupt")
    calls = Calls(hermes.handle_function_call, interrupt.set_interrupt, task)
    answers.write({"ready": _version()})
    _serve(asked, answers, calls)
    watchdog = threading.Timer(END_WITHIN_S, os._exit, [1])
    watchdog.daemon = True
    watchdog.start()
    calls.stop_all()
    _kill_all(mark)
    atexit._run_exitfuncs()  # Hermes removes the files and containers of its terminals
    _kill_all(mark)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
