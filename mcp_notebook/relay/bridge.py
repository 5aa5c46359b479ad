"""One client's connection, over all the daemons that it sees."""

import json
import socket
import sys
import time

from mcp_notebook.relay.places import Unavailable
from mcp_notebook.relay.pump import ClientGone, Pump
from mcp_notebook.relay.replay import Conversation, error, parse
from mcp_notebook.relay.start import Place

GREET_WITHIN_S = 60.0
LOOK_AGAIN_S = 1.0
RETRY_S = 0.05
SUCCESSOR_WITHIN_S = 20.0
"""After a hand-over to a newer version: then any daemon is better than none."""


class Bridge:
    """Joins the client to a daemon, and to the next one when that has ended."""

    def __init__(self, place: Place, hello: dict[str, object]) -> None:
        self._place = place
        self._hello = hello
        self._pump = Pump()
        self._conversation = Conversation(place.log)
        self._answer: dict[str, object] | None = None
        """The daemon's answer to our first line."""
        self._lease: object = None
        self._connections = 0
        self._handed_over = False
        self._urgent = False
        """Requests were in flight when the daemon went."""
        self._told = ""
        self._awaited_until = 0.0
        """Until then a newer relay is expected to start a daemon of its version."""

    def serve(self) -> None:
        """Until the client goes."""
        try:
            self._wait(0)  # a client that is gone already needs no daemon
            self._connect(start=True)
            while True:
                self._forward()
                if self._pump.client_ended and not self._pump.lines:
                    self._pump.leave(waiting=bool(self._conversation.in_flight))
                if self._pump.connected or self._pump.finishing:
                    self._turn()
                elif self._pump.lines or self._urgent or self._conversation.in_flight:
                    self._urgent = False
                    self._connect(start=True)
                else:
                    self._look_around()
        except ClientGone:
            pass
        finally:
            self._pump.close()

    @property
    def _answered(self) -> bool:
        """The daemon has greeted us."""
        return self._answer is not None

    def _forward(self) -> None:
        """Pass on what the client has sent."""
        while self._pump.lines and self._pump.sendable:
            passed = self._conversation.from_client(self._pump.lines.popleft())
            if passed is not None:
                self._pump.to_daemon(passed)

    def _turn(self, seconds: float | None = None) -> None:
        """Wait for either side, and pass on what the daemon has sent."""
        self._pump.turn(seconds)
        if not self._pump.connected:
            return
        answers = self._pump.answers
        if answers and self._answer is None:
            self._answer = parse(answers.pop(0)) or {
                "error": "What listens in the socket directory is no mcp-notebook."
            }
        passed = [line for answer in answers if (line := self._conversation.from_daemon(answer)) is not None]
        answers.clear()
        if passed:
            self._pump.to_client(passed)
        if self._pump.daemon_ended:
            self._pump.disconnect()
            if _numbers(self._conversation.successor) > _numbers(self._hello["version"]):
                self._awaited_until = time.monotonic() + SUCCESSOR_WITHIN_S
            self._conversation.successor = None
            if self._answer is not None:
                self._urgent = bool(self._conversation.in_flight)
                self._pump.to_client(self._conversation.lost())

    def _wait(self, seconds: float) -> None:
        """Listen to the client while there is no daemon to pass on what it sends."""
        end = time.monotonic() + seconds
        while True:
            self._turn(max(0, end - time.monotonic()))
            waiting = self._pump.lines or (self._pump.input_is_file and self._conversation.in_flight)
            if self._pump.broken or (self._pump.client_ended and not waiting):
                raise ClientGone
            if time.monotonic() >= end:
                return

    def _look_around(self) -> None:
        """The daemon is gone and nobody needs one; another client may have started it."""
        self._turn(LOOK_AGAIN_S)
        self._place.reap()
        if not self._pump.lines:
            self._connect(start=False)

    def _connect(self, start: bool) -> None:
        """Find a daemon and bring it to where the last one was; if there is none, answer all that waits."""
        deadline = time.monotonic() + GREET_WITHIN_S
        try:
            while True:
                if start and not self._is_awaited():
                    connection: socket.socket | None = self._place.find_or_start(self._wait)
                else:
                    connection = self._place.connect()
                if connection is None and start:
                    self._wait(RETRY_S)
                    continue
                if connection is None or (self._greet(connection) and self._replay()):
                    return
                if time.monotonic() > deadline:
                    raise Unavailable(f"The notebook server ends every connection. See {self._place.log}.")
                self._wait(RETRY_S)
        except Unavailable as exc:
            self._pump.disconnect()
            self._urgent = False
            self._refuse(str(exc))

    def _is_awaited(self) -> bool:
        """Whether a newer relay starts the next daemon: one that we start would be the older version again."""
        return time.monotonic() < self._awaited_until

    def _greet(self, connection: socket.socket) -> bool:
        """Whether the daemon knows us now."""
        self._pump.connect(connection)
        self._answer = None
        resent = list(self._conversation.in_flight)
        self._pump.to_daemon(json.dumps({**self._hello, "lease": self._lease, "resent": resent}).encode())
        end = time.monotonic() + GREET_WITHIN_S
        while self._pump.connected and not self._answered:
            if time.monotonic() > end:
                raise Unavailable(
                    f"The notebook server accepts connections but does not answer. See {self._place.log}, and run "
                    "`mcp-notebook doctor`."
                )
            self._turn(1.0)
        answer: dict[str, object] = self._answer or {}
        if "error" in answer:
            raise Unavailable(str(answer["error"]))
        if not self._pump.connected:
            return False
        self._lease = answer.get("lease")
        self._connections += 1
        self._conversation.prefix = f"{answer.get('life')}-{self._connections}"
        version = str(self._hello["version"])
        if _numbers(answer.get("version")) < _numbers(version) and not self._handed_over:
            self._handed_over = True
            self._pump.disconnect()
            self._place.hand_over(self._wait, version, answer.get("life"))
            return False
        return True

    def _replay(self) -> bool:
        """Whether the daemon is still there after it was told all that it must know."""
        opening = self._conversation.opening()
        if opening is not None:
            awaited, line = opening
            self._pump.to_daemon(line)
            while self._pump.connected and self._conversation.awaits(awaited):
                self._turn()
        if self._pump.connected:
            for line in self._conversation.rest():
                self._pump.to_daemon(line)
        return self._pump.connected

    def _refuse(self, text: str) -> None:
        """Answer every request that waits with an error."""
        if text != self._told:
            self._told = text
            sys.stderr.write(f"mcp-notebook: {text}\n")
        refused = self._conversation.refuse(text)
        for line in self._pump.lines:
            message = parse(line) or {}
            if "method" in message and message.get("id") is not None:
                refused.append(error(message["id"], text))
            else:
                self._conversation.from_client(line)  # what the next daemon must know
        self._pump.lines.clear()
        self._pump.to_client(refused)


def _numbers(version: object) -> list[int]:
    return [int(part) if part.isdigit() else 0 for part in str(version).split(".")]
