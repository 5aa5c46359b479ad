"""What a kernel remembers of its own messages, for a server that takes it over or was too slow for some: the latest
IOPub messages as they were sent, the latest replies, and the ``input()`` that waits.

Sent into a Python kernel as source together with ``kernel``, which uses it. Works on Python 3.9 and newer.
"""

from __future__ import annotations

import json
from collections import OrderedDict, deque
from contextlib import contextmanager
from datetime import datetime, timezone
from itertools import islice, takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RING_BYTES = 64 << 20
MESSAGE_BYTES = 400
"""What a message takes in Python beside the bytes of its frames."""
PLAIN_FRAMES = 7
"""Of a message without buffers: topic, delimiter, signature, header, parent header, metadata, content."""
PARENT = 4
DROPPED_PARENTS = 1000
PAGE_MESSAGES = 2000
PAGE_BYTES = 4 << 20
"""At most so much goes into one answer, and one message more: who asks can do other work between two."""
REPLIES = 200
REPLIES_BYTES = 16 << 20


class Ring:
    """The latest IOPub messages. Changed in the IOPub thread only; their numbers are in their topic frames."""

    def __init__(self) -> None:
        self.limit = RING_BYTES
        self.held = 0
        self.messages: deque[tuple[bytes, ...]] = deque()
        self.dropped: OrderedDict[str, int] = OrderedDict()
        """How many are gone, by the id of the request that caused them."""
        self.latest_dropped: tuple[bytes, str] = (b"", "")

    def keep(self, message: Sequence[Any]) -> None:
        # A tuple of bytes, because the garbage collector does not look at those again; a buffer may change later.
        kept = tuple(message) if len(message) == PLAIN_FRAMES else tuple([bytes(frame) for frame in message])
        if len(kept) < PLAIN_FRAMES:
            return
        self.messages.append(kept)
        self.held += MESSAGE_BYTES + sum(map(len, kept))
        while self.held > self.limit:
            self.drop()

    def drop(self) -> None:
        message = self.messages.popleft()
        self.held -= MESSAGE_BYTES + sum(map(len, message))
        parent, msg_id = self.latest_dropped
        if message[PARENT] != parent:
            msg_id = id_of_parent(message)
            self.latest_dropped = (message[PARENT], msg_id)
        self.dropped[msg_id] = self.dropped.get(msg_id, 0) + 1
        if len(self.dropped) > DROPPED_PARENTS:
            self.dropped.popitem(last=False)


class Executions:
    """The requests that run, wait for input, or have ended not long ago."""

    def __init__(self) -> None:
        self.running: dict[str, None] = {}
        """More than one only where another client runs cells in subshells."""
        self.replies: OrderedDict[str, tuple[dict[str, Any], int]] = OrderedDict()
        """Each with about how many bytes it takes."""
        self.replies_bytes = 0
        self.inputs: dict[str, dict[str, Any]] = {}
        """What waiting calls of ``input()`` ask, by the request that they belong to."""
        self.asked = 0
        """Calls of ``input()`` so far."""

    @contextmanager
    def run(self, msg_id: str) -> Iterator[None]:
        self.running[msg_id] = None
        try:
            yield
        finally:
            self.running.pop(msg_id, None)

    @contextmanager
    def wait_for_input(self, msg_id: str, content: dict[str, Any]) -> Iterator[None]:
        try:
            self.inputs[msg_id] = content
            yield
        finally:
            self.inputs.pop(msg_id, None)

    def end(self, msg_id: str, content: dict[str, Any], metadata: dict[str, Any]) -> None:
        size = MESSAGE_BYTES
        if content.get("status") != "ok" or content.get("payload") or content.get("user_expressions"):
            size += len(repr(content))
        date = datetime.now(timezone.utc).isoformat()  # noqa: UP017 - Python 3.9
        _, before = self.replies.pop(msg_id, (None, 0))
        self.replies[msg_id] = ({"content": content, "metadata": metadata, "date": date}, size)
        self.replies_bytes += size - before
        while len(self.replies) > 1 and (len(self.replies) > REPLIES or self.replies_bytes > REPLIES_BYTES):
            _, (_, gone) = self.replies.popitem(last=False)
            self.replies_bytes -= gone

    def about(self, msg_id: str | None) -> dict[str, Any]:
        """What is known of one execution, or of the one that runs."""
        # In this order: an execution has its reply before it ceases to run.
        running = list(self.running)
        which = msg_id if msg_id in running else running[0] if running else None
        reply, _ = self.replies.get(msg_id or "", (None, 0))
        asked = self.inputs.get(which or "") if msg_id in (which, None) else None
        return {"reply": reply, "running": which, "input": asked}


class Replay(dict):  # type: ignore[type-arg]
    """The answer to a call, and the frames of messages that go with it as buffers."""

    def __init__(self, value: dict[str, Any], buffers: list[bytes]) -> None:
        super().__init__(value)
        self.buffers = buffers


def replay(messages: Sequence[tuple[bytes, ...]], msg_id: str, after: int) -> Replay:
    """The first of ``messages`` that the request ``msg_id`` caused and whose number is above ``after``.

    ``more``: ask again with the highest of ``numbers``. ``oldest`` is the number of the first of all messages.
    """
    wanted: dict[bytes, bool] = {}

    def belongs(message: tuple[bytes, ...]) -> bool:
        parent = message[PARENT]
        if parent not in wanted:
            wanted[parent] = id_of_parent(message) == msg_id
        return wanted[parent]

    answer = _page(filter(belongs, _above(messages, after)))
    answer["oldest"] = number_of(messages[0]) if messages else 0
    return answer


def between(messages: Sequence[tuple[bytes, ...]], after: int, before: int) -> Replay:
    """The first of ``messages``, whatever caused them, whose numbers are above ``after`` and below ``before``.

    ``more``: ask again with the highest of ``numbers``.
    """
    return _page(takewhile(lambda message: number_of(message) < before, _above(messages, after)))


def _page(messages: Iterable[tuple[bytes, ...]]) -> Replay:
    numbers: list[int] = []
    counts: list[int] = []
    frames: list[bytes] = []
    size, more = 0, False
    for message in messages:
        if len(numbers) >= PAGE_MESSAGES or size >= PAGE_BYTES:
            more = True
            break
        numbers.append(number_of(message))
        counts.append(len(message))
        frames += message
        size += sum(map(len, message))
    return Replay({"numbers": numbers, "frames": counts, "more": more}, frames)


def number_of(message: Sequence[bytes]) -> int:
    return int(message[0].rpartition(b"#")[2])


def _above(messages: Sequence[tuple[bytes, ...]], after: int) -> Iterable[tuple[bytes, ...]]:
    """Those whose number is above ``after``; numbers are consecutive, or nearly."""
    if not messages:
        return ()
    index = min(max(0, after + 1 - number_of(messages[0])), len(messages))
    while index and number_of(messages[index - 1]) > after:
        index -= 1
    return islice(messages, index, None)


def id_of_parent(message: Sequence[bytes]) -> str:
    try:
        return str(json.loads(message[PARENT]).get("msg_id", ""))
    except (ValueError, AttributeError):
        return ""
