"""Every order in which IOPub messages, and the answers that fetch lost ones, can come: told once, and in order.

The ring is the kernel's own; there is no kernel. With one: test_gaps.py.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hermes_runtime.ring import Ring, between
from mcp_notebook.kernels.gaps import Gaps
from mcp_notebook.outputs import Message


class Wire:
    """A kernel's messages, of which some never arrive, and whoever reads them."""

    def __init__(self, chance: random.Random, limit: int) -> None:
        self.ring = Ring()
        self.ring.limit = limit
        self.sent = self.torn = 0
        self.flying: list[int] = []
        """What the reader has not seen yet, in order."""
        self.questions: list[tuple[str, dict[str, Any]]] = []
        self.later: list[Callable[[], None]] = []
        self.told: list[int | range] = []
        self.gaps = Gaps(self, unpack, self.later.append)
        self.chance = chance

    def send(self, lossy: float) -> None:
        self.sent += 1
        self.ring.keep((b"topic#%d" % self.sent, b"<IDS|MSG>", b"", b"", b'{"msg_id": "x"}', b"", b""))
        if self.chance.random() > lossy:
            self.flying.append(self.sent)

    def arrive(self) -> None:
        number = self.flying.pop(0)
        self.gaps.take(unpack([b"#%d" % number]), number)

    def answer(self, *, known: bool = True) -> None:
        msg_id, args = self.questions.pop(0)
        found = between(list(self.ring.messages), **args)
        value = {**found, "last": self.sent}
        content = {"status": "ok", "value": value} if known else {"status": "error"}
        assert self.gaps.take_answer(
            msg_id, Message(header={}, parent_header={}, metadata={}, content=content, buffers=found.buffers)
        )

    # It is Reader itself

    def on_message(self, message: Message, number: int | None) -> None:
        assert message["content"] == {"number": number}
        assert number is not None
        self.told.append(number)

    def on_lost(self, numbers: range) -> None:
        self.told.append(numbers)

    def on_caught_up(self) -> None:
        assert not self.questions

    def ask_half(self, call: str, args: dict[str, Any]) -> str:
        assert call == "between"
        self.questions.append((str(len(self.told)), args))
        return self.questions[-1][0]


def unpack(frames: Sequence[bytes]) -> Message:
    number = int(frames[0].rpartition(b"#")[2])
    return Message(header={}, parent_header={}, metadata={}, content={"number": number}, buffers=[])


def flat(told: list[int | range]) -> list[int]:
    return [number for each in told for number in ([each] if isinstance(each, int) else each)]


@pytest.mark.parametrize("seed", range(200))
def test_every_number_is_told_once_and_in_order(seed: int) -> None:
    """Whatever is lost, whenever answers come; and only what the ring has dropped is told as lost."""
    chance = random.Random(seed)
    wire = Wire(chance, limit=chance.choice((5_000, 50_000, 1 << 30)))
    wire.send(0)
    wire.arrive()
    for _ in range(600):
        lossy = chance.choice((0, 0.1, 0.9))
        match chance.randrange(8):
            case 0 | 1 | 2:
                wire.send(lossy)
            case 3 | 4 if wire.flying:
                wire.arrive()
            case 5 if wire.questions:
                wire.answer()
            case 6 if wire.later:
                wire.later.pop(0)()
            case 7 if chance.random() < 0.1 and not wire.flying:
                wire.gaps.fetch_to(wire.sent)
    while wire.flying:
        wire.arrive()
    while not wire.gaps.reached(wire.sent) or wire.gaps.is_busy:
        wire.gaps.fetch_to(wire.sent)
        while wire.questions or wire.later:
            wire.answer() if wire.questions else wire.later.pop(0)()
        wire.gaps.settle()
    assert flat(wire.told) == list(range(1, wire.sent + 1))
    lost = flat([each for each in wire.told if isinstance(each, range)])
    assert not lost or max(lost) < int(wire.ring.messages[0][0].rpartition(b"#")[2])


def test_what_is_still_on_its_way_is_not_lost() -> None:
    """A large message takes its time, and the ring has no room for it."""
    wire = Wire(random.Random(0), 1000)
    wire.send(0)
    wire.arrive()
    for _ in range(5):
        wire.send(0)
    wire.gaps.fetch_to(6)
    wire.answer()
    assert (wire.told, wire.questions, wire.gaps.is_busy) == ([1], [], False)
    wire.gaps.fetch_to(6)
    assert wire.questions == []
    wire.arrive()
    assert wire.told == [1, 2]
    wire.flying.pop(0)
    wire.arrive()
    assert wire.told[:4] == [1, 2, range(3, 4), 4]
    while wire.flying:
        wire.arrive()
    assert (flat(wire.told), wire.gaps.reached(6)) == ([1, 2, 3, 4, 5, 6], True)


def test_what_was_given_up_too_early_is_passed_on() -> None:
    """Late, but there."""
    wire = Wire(random.Random(0), 600)
    wire.send(0)
    wire.arrive()
    for _ in range(3):
        wire.send(0)
    wire.gaps.fetch_to(4)
    wire.answer()
    wire.gaps.settle()
    assert (wire.told, wire.gaps.reached(4)) == ([1, range(2, 4), 4], True)
    while wire.flying:
        wire.arrive()
    assert wire.told == [1, range(2, 4), 4, 2, 3]


def test_a_send_that_was_torn_is_no_loss_for_ever() -> None:
    """The kernel has counted one that it never numbered."""
    wire = Wire(random.Random(0), 1 << 30)
    wire.send(0)
    wire.arrive()
    wire.gaps.fetch_to(3)
    wire.answer()
    assert (wire.gaps.reached(3), wire.told) == (True, [1])
    wire.send(0)
    wire.arrive()
    assert (wire.gaps.reached(4), wire.gaps.reached(5), wire.told) == (True, False, [1, 2])


def test_what_was_written_off_is_not_told_twice() -> None:
    """Of a kernel that cannot be asked: what was really lost is known with the next message."""
    wire = Wire(random.Random(0), 1 << 30)
    wire.send(0)
    wire.arrive()
    wire.send(1)
    wire.send(1)
    wire.gaps.fetch_to(3)
    wire.answer(known=False)
    assert (wire.gaps.reached(3), wire.told) == (True, [1, range(2, 4)])
    wire.send(0)
    wire.arrive()
    wire.answer(known=False)
    assert (wire.told, wire.gaps.reached(4), wire.gaps.reached(5)) == ([1, range(2, 4), 4], True, False)
