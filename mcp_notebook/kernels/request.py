"""One request to a kernel, while it runs: who is told, what came of it so far, what is held back.

Pure: no sockets, no clock.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import anyio

from mcp_notebook.kernels.base import OnInput, OnMessage
from mcp_notebook.outputs import Message, is_lost, lost

Unpack = Callable[[Sequence[bytes]], Message | None]


@dataclass
class Held:
    """Live messages of a request that wait until what came before them was replayed."""

    messages: list[tuple[int | None, Message]] = field(default_factory=list)
    gaps: list[range] = field(default_factory=list)
    """Numbers, of whatever request, that were lost meanwhile; in ``messages`` a ``lost`` one stands for each range."""

    def lose(self, numbers: range) -> None:
        self.gaps.append(numbers)
        self.messages.append((numbers[-1], lost(len(numbers))))

    def up_to(self, last: int) -> dict[int, Message]:
        """What arrived with a number that is not above ``last``."""
        return {
            number: message
            for number, message in self.messages
            if number is not None and number <= last and not is_lost(message)
        }

    def missing_after(self, last: int) -> int:
        """How many messages above ``last`` never arrived."""
        return sum(len(range(max(gap.start, last + 1), gap.stop)) for gap in self.gaps)


@dataclass
class Request:
    """What was asked of a kernel; ``done`` when nothing more is waited for."""

    on_message: OnMessage
    on_input: OnInput
    done: anyio.Event = field(default_factory=anyio.Event)
    reply: Message | None = None
    idle: bool = False
    missing_before: int = 0
    held: Held | None = None
    is_resumed: bool = False
    """Whether an earlier server sent it: its reply may have gone there, and is asked for when it does not come."""
    replayed_to: int = 0
    """Messages up to this number were replayed."""
    caveat: str = ""
    """A sentence on what may be missing, where nobody can know."""


@dataclass
class Replayed:
    """What the kernel remembers of an execution, from the answers of ``call_replay``."""

    last: int = 0
    """The number of the latest IOPub message when the kernel answered."""
    messages: dict[int, Sequence[bytes]] = field(default_factory=dict)
    """The frames of each by its number."""
    dropped: int = 0
    """How many messages the kernel no longer has; all are below ``oldest``."""
    oldest: int = 0
    reply: Message | None = None
    is_running: bool = False
    input_request: Message | None = None

    def take(self, msg_id: str, value: dict[str, Any], buffers: Sequence[bytes]) -> bool:
        """Add an answer, which counts more than those before it; whether there is more to ask for."""
        rest = iter(buffers)
        for number, count in zip(value["numbers"], value["frames"], strict=True):
            self.messages[number] = list(islice(rest, count))
        self.last, self.dropped, self.oldest = value["last"], value["dropped"], value["oldest"]
        reply, asked = value["reply"], value["input"]
        self.reply = _message("execute_reply", reply["content"], reply["metadata"], reply["date"]) if reply else None
        self.is_running = value["running"] == msg_id
        self.input_request = _message("input_request", asked, parent_header={"mcp_notebook": asked}) if asked else None
        return bool(value["more"])

    def missing(self, held: Held) -> int:
        """How many messages neither the kernel still has nor arrived here."""
        return self._gone(held) + held.missing_after(self.last)

    def _gone(self, held: Held) -> int:
        here = self.messages.keys() | held.up_to(self.last).keys()
        return max(0, self.dropped - sum(1 for number in here if number < self.oldest))

    def joined(self, held: Held, unpack: Unpack) -> Iterator[Message]:
        """The replayed messages and the live ones, each once, in order; ``held`` may grow meanwhile.

        A ``lost`` message stands for those that are not here: what a kernel has dropped was the oldest.
        """
        if gone := self._gone(held):
            yield lost(gone)
        early = held.up_to(self.last)
        for number in sorted(self.messages.keys() | early.keys()):
            yield early.get(number) or unpack(self.messages[number]) or lost(1)
        for late, message in held.messages:
            if late is None or late > self.last:
                yield message


def counted(reply: Message) -> int | None:
    """How many IOPub messages the kernel had sent with it; None where it does not count."""
    number = reply["metadata"].get("mcp_notebook", {}).get("iopub")
    return int(number) if number is not None else None


def ignore_message(_message: Message) -> None:
    """For requests of which only the reply is wanted."""


def ignore_input(_prompt: str, _password: bool, _number: int) -> None:
    """For requests that ask for no input."""


def _message(
    msg_type: str,
    content: dict[str, Any],
    metadata: dict[str, Any] | None = None,
    date: str = "",
    parent_header: dict[str, Any] | None = None,
) -> Message:
    header = {"msg_type": msg_type, "date": date}
    return Message(
        header=header, parent_header=parent_header or {}, metadata=metadata or {}, content=content, buffers=[]
    )
