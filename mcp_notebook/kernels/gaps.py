"""IOPub messages in the order of their numbers: what did not arrive is fetched from the kernel, and comes in its place.

ZMQ drops what a reader is too slow for. The kernel's own half numbers what it sends and keeps the latest of it, see
``hermes_runtime.ring``; messages without a number pass as they come. Nothing waits here: who owns the sockets calls,
and is called.
"""

import heapq
import logging
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any, Protocol

from mcp_notebook.kernels.request import Unpack
from mcp_notebook.outputs import Message

LOST_RANGES = 1000
"""So many are remembered, in case that they come after all."""
PASSED_AT_ONCE = 200
"""Messages that waited behind a gap, before others have their turn."""

logger = logging.getLogger(__name__)


class Reader(Protocol):
    """Who reads the messages."""

    def on_message(self, message: Message, number: int | None) -> None: ...

    def on_lost(self, numbers: range) -> None:
        """Nobody has these any more; what comes next came after them."""

    def on_caught_up(self) -> None:
        """Nothing is being fetched now."""

    def ask_half(self, call: str, args: dict[str, Any]) -> str:
        """Ask the kernel's own half; returns the id of the request, whose answer is for ``Gaps.take_answer``."""


class Gaps:
    """Takes messages as they arrive, passes each on once and in order; ``last`` is the number of the latest."""

    def __init__(self, reader: Reader, unpack: Unpack, soon: Callable[[Callable[[], None]], None]) -> None:
        """``soon`` has something called when others have had their turn."""
        self.last = 0
        """Of the first that arrives nobody knows what came before."""
        self._reader, self._unpack, self._soon = reader, unpack, soon
        self._ahead: dict[int, Message] = {}
        """What arrived or was fetched, and comes after something that is not here yet."""
        self._order: list[int] = []
        """A heap of the numbers in ``_ahead``."""
        self._arrived = 0
        """The highest number that arrived: what has a lower one, and did not, never will."""
        self._answered = 0
        """The kernel was asked for all up to this one."""
        self._settled = 0
        """What is not here and has a number up to this one is lost."""
        self._lost: deque[range] = deque(maxlen=LOST_RANGES)
        self._asked: str | None = None
        self._wanted = range(0)
        self._count = 0
        """What the kernel had counted when it said so: all that is to be here."""
        self._behind = 0
        """By how many messages that count is ahead of what it numbers, after sends that were torn."""
        self._written_off = 0
        """So many of these are told as lost, of a kernel that could not say what it had sent."""
        self._told = 0
        """What is lost and has a number up to this one was told before."""
        self._passing = False
        self._fetched = 0

    @property
    def is_busy(self) -> bool:
        """Whether something is being fetched, or waits for its turn."""
        return self._asked is not None or self._passing

    def reached(self, count: int) -> bool:
        """Whether all is here that the kernel had sent when it had counted so many."""
        return self.last + self._behind >= count

    def take(self, message: Message, number: int | None) -> None:
        """One has arrived."""
        if number is None:
            self._reader.on_message(message, None)
        elif not self._ahead and (number == self.last + 1 or not self.last):
            self._written_off = 0
            self._arrived = self.last = number
            self._reader.on_message(message, number)
        elif number > self.last:
            self._recount(number)
            self._put(number, message)
            self._arrived = number
            self._settle_to(number)
        elif any(number in lost for lost in self._lost):  # it was given up too early
            self._reader.on_message(message, number)

    def fetch_to(self, count: int) -> None:
        """The kernel has counted so many, and nothing has arrived for a while."""
        self._count = max(count, self._count)
        self._go_on()

    def settle(self) -> None:
        """Nothing has come for long: what the kernel could not give will not arrive any more."""
        if not self.is_busy:
            self._settle_to(self._answered)

    def skip_to(self, number: int) -> None:
        """All up to this one are had from elsewhere."""
        if number > self.last:
            self._arrived = self._answered = self.last = number
            self._ahead = {each: message for each, message in self._ahead.items() if each > number}
            self._order = sorted(self._ahead)

    def take_answer(self, msg_id: str, answer: Message) -> bool:
        """Whether it answers a question of ours."""
        if msg_id != self._asked:
            return False
        self._asked = None
        content = answer["content"]
        if content.get("status") != "ok":  # its half is an older one, or somebody broke it
            self._write_off()
        else:
            self._take_page(content["value"], answer["buffers"])
        self._settle_to(self._arrived)
        return True

    def give_up(self) -> None:
        """The kernel is dead: pass on what is here."""
        self._asked, self._count = None, 0
        self._settled = max(self._order, default=0)
        self._passing = False
        while self._pass_some():
            pass

    def _take_page(self, value: dict[str, Any], buffers: Sequence[bytes]) -> None:
        numbers: list[int] = value["numbers"]
        rest = iter(buffers)
        for number, count in zip(numbers, value["frames"], strict=True):
            message = self._unpack(list(islice(rest, count)))
            if message is not None and number > self.last:
                self._fetched += self._put(number, message)
        self._behind = max(self._behind, self._count - value["last"])
        end = numbers[-1] if value["more"] and numbers else self._wanted.stop - 1
        self._answered = max(self._answered, min(end, value["last"]))

    def _write_off(self) -> None:
        if self._ahead:
            self._answered = max(self._answered, self._wanted.stop - 1)
        else:  # they may never have been sent
            self._written_off = len(self._wanted)
            self._behind += self._written_off
            self._reader.on_lost(self._wanted)

    def _recount(self, number: int) -> None:
        """This one has come: what was written off and has a lower number had been sent after all."""
        sent = min(self._written_off, number - self.last - 1)
        self._written_off = 0
        self._behind -= sent
        self._told = max(self._told, self.last + sent)

    def _put(self, number: int, message: Message) -> bool:
        if number in self._ahead:
            return False
        self._ahead[number] = message
        heapq.heappush(self._order, number)
        return True

    def _settle_to(self, number: int) -> None:
        self._settled = max(self._settled, min(self._answered, number))
        self._go_on()

    def _go_on(self) -> None:
        """Pass on what can be, ask for what is missing next."""
        if self._passing:
            return
        self._passing = self._pass_some()
        if self._passing:
            self._soon(self._go_on_later)
        elif self._asked is None:
            after = max(self.last, self._answered)
            end = next((number for number in self._order[:1] if number > after + 1), self._count - self._behind + 1)
            self._wanted = range(after + 1, end)
            if self._wanted:
                self._asked = self._reader.ask_half("between", {"after": after, "before": end})
            else:
                self._tell_fetched()
                self._reader.on_caught_up()

    def _tell_fetched(self) -> None:
        if self._fetched:
            logger.warning("%d messages of a kernel did not arrive and were fetched from it.", self._fetched)
            self._fetched = 0

    def _go_on_later(self) -> None:
        if self._passing:
            self._passing = False
            self._go_on()

    def _pass_some(self) -> bool:
        """Whether there is more that can be passed on."""
        for _ in range(PASSED_AT_ONCE):
            following = self._order[0] if self._order else self._settled + 1
            if following == self.last + 1 and self._order:
                self.last = heapq.heappop(self._order)
                self._reader.on_message(self._ahead.pop(self.last), self.last)
            elif self.last < self._settled:
                missing = range(self.last + 1, min(following, self._settled + 1))
                self.last = missing[-1]
                self._lost.append(missing)
                if untold := range(max(missing.start, self._told + 1), missing.stop):
                    self._reader.on_lost(untold)
            else:
                return False
        return True
