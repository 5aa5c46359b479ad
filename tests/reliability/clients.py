"""The program with the client, as the test holds it."""

import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from tests.environments import REPOSITORY

WITHIN_S = 60


class NoAnswer(Exception):
    """A call failed, was refused, or nothing came."""


class Program:
    """One process; ``where`` is what it connects to, see ``client.connected``."""

    def __init__(self, where: dict[str, Any], log: Path) -> None:
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "tests.reliability.client", json.dumps(where)],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._answers: dict[int, dict[str, Any]] = {}
        self._number = 0

    def connect(self) -> None:
        """Begin a connection, in place of the one before. Raises NoAnswer."""
        self.answer(self._say(do="connect"))

    def disconnect(self) -> None:
        """End the connection, as a client that is done with it. Raises NoAnswer."""
        self.answer(self._say(do="disconnect"))

    def cancel(self, number: int) -> None:
        """Cancel the call that ``begin`` began. Raises NoAnswer."""
        self.answer(self._say(do="cancel", call=number))

    def begin(self, tool: str, **arguments: Any) -> int:
        """Call it, and wait for the answer another time."""
        return self._say(do="call", tool=tool, arguments=arguments)

    def answer(self, number: int) -> str:
        """The text of the answer. Raises NoAnswer."""
        while number not in self._answers:
            try:
                line = self._lines.get(timeout=WITHIN_S)
            except queue.Empty:
                raise NoAnswer(f"no answer within {WITHIN_S} s") from None
            if not line:
                raise NoAnswer("the client has ended")
            message = json.loads(line)
            self._answers[message["id"]] = message
        answer = self._answers.pop(number)
        if "failed" in answer or answer.get("is_error"):
            raise NoAnswer(answer.get("failed") or answer["text"])
        return str(answer["text"])

    def send_cancel(self, number: int) -> None:
        """The same, without waiting until the program has done it."""
        self._say(do="cancel", call=number)

    def look(self, number: int, within_s: float = 0) -> dict[str, Any] | None:
        """What came of it, as the program said it; None when nothing has come in that time."""
        until = time.monotonic() + within_s
        while number not in self._answers:
            try:
                line = self._lines.get(timeout=max(0.001, until - time.monotonic()))
            except queue.Empty:
                return None
            if not line:
                self._lines.put(line)
                return None
            message = json.loads(line)
            self._answers[message["id"]] = message
        return self._answers.pop(number)

    def call(self, tool: str, **arguments: Any) -> str:
        """The text of the answer. Raises NoAnswer."""
        return self.answer(self.begin(tool, **arguments))

    def relay(self) -> int:
        """The process id of the relay that it has started."""
        children = psutil.Process(self.process.pid).children()
        (found,) = (child.pid for child in children if child.status() != psutil.STATUS_ZOMBIE)
        return found

    def close(self) -> None:
        """End it, if it has not ended."""
        self.process.kill()
        self._reader.join()
        with self.process:
            pass

    def _say(self, **message: Any) -> int:
        self._number += 1
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"id": self._number, **message}).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as exc:
            raise NoAnswer("the client has ended") from exc
        return self._number

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)
        self._lines.put(b"")
