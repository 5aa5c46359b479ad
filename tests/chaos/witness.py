"""What cells do in a chaos run, and what they testify of it in a file of their own: standard library, runs in kernels.

Each line of the file is ``WHAT TAG PID NUMBER``: a cell has ``begun``, as which of this kernel's life, or has
``ended`` or was ``stopped`` after so many lines. What the server says later must agree with it.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PLACE = Path(__file__).parent
FILE = "witness.log"
GATE_S = 120.0

begun = 0
"""Cells of this kernel's life: its state, which must never be lost."""
_printed = 0


def lines(tag: str, count: int, pause_s: float = 0.0, width: int = 0) -> None:
    """Print so many lines."""
    with _testifying(tag):
        for number in range(count):
            _line(tag, number, width)
            time.sleep(pause_s)


def gate(tag: str) -> None:
    """Run until the gate of this tag opens."""
    with _testifying(tag):
        _line(tag, 0)
        until = time.monotonic() + GATE_S
        while not (PLACE / f"{tag}.go").exists() and time.monotonic() < until:
            time.sleep(0.02)
        _line(tag, 1)


def fail(tag: str) -> None:
    """Raise."""
    with _testifying(tag):
        _line(tag, 0)
    raise ValueError(tag)


def ask(tag: str) -> None:
    """Print what is answered."""
    with _testifying(tag):
        _line(tag, 0)
        sys.stdout.write(f"{tag} got {input(f'{tag}?')}\n")


def die(tag: str) -> None:
    """Kill the kernel."""
    with _testifying(tag):
        _line(tag, 0)
        os.kill(os.getpid(), signal.SIGKILL)


def _line(tag: str, number: int, width: int = 0) -> None:
    global _printed
    sys.stdout.write(f"{tag} line {number}{' x' if width else ''}{'x' * width}\n")
    sys.stdout.flush()
    _printed = number + 1


@contextmanager
def _testifying(tag: str) -> Iterator[None]:
    global begun, _printed
    begun, _printed = begun + 1, 0
    _testify("begun", tag, begun)
    try:
        yield
    except BaseException:
        _testify("stopped", tag, _printed)
        raise
    _testify("ended", tag, _printed)


def _testify(what: str, tag: str, number: int) -> None:
    file = os.open(PLACE / FILE, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(file, f"{what} {tag} {os.getpid()} {number}\n".encode())
    finally:
        os.close(file)
