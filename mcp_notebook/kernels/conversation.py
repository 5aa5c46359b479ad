"""The conversation with one kernel: who asked what, which messages are whose, and when an answer is complete.

It knows nothing of how a kernel is started or ended. The kernel's own half counts IOPub messages, see
``hermes_runtime.kernel``; where it is missing, the status ``idle`` ends an execution.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel

from mcp_notebook.errors import KernelDied, KernelError
from mcp_notebook.kernels.base import Process
from mcp_notebook.kernels.channels import Channel, Channels
from mcp_notebook.kernels.gaps import Gaps
from mcp_notebook.kernels.request import Replayed, Request, counted, ignore_input, ignore_message
from mcp_notebook.outputs import Message, lost

REMEMBERED = 500
"""Finished executions whose late messages still find their cell."""
FETCH_AFTER_S = 0.3
"""Silence on IOPub, after which messages that a reply counts are fetched from the kernel."""
LOST_AFTER_S = 5.0
"""Silence on IOPub after which what the kernel does not keep is not waited for any more."""
REPLY_WITHIN_S = 0.5
"""After idle, before the kernel is asked for a reply that was lost, or went to an earlier server."""
HANDED_AT_ONCE = 100
"""Replayed messages taken in before others have their turn."""
NO_IDLE = "The kernel replied and did not become idle: it may have sent more, and does not keep what it has sent."
NO_ANSWER = (
    "The kernel is alive but did not answer in time: it may be in code that holds Python's lock."
    " Try again, or call control_kernel(action='interrupt')."
)


class Conversation:
    """One client's side of it. ``identity`` is that of an earlier client whose place it takes."""

    def __init__(self, connection: Mapping[str, Any], process: Process, identity: str | None = None) -> None:
        self.on_call: Callable[[str | None], None] = _ignore_call
        """Called with a runtime call that came over the stdin channel, whose answer is the input's reply; with None
        where an ``input()`` came instead of the one before, or the cell has ended."""
        self.current: Request | None = None
        """The execution that this client has running."""
        self.subscribed = anyio.Event()
        """Whether IOPub messages reach us."""
        self.arrived = 0
        """IOPub messages so far."""
        self._has_called = False
        """Whether somebody may still answer the latest call."""
        self._process = process
        self._requests: OrderedDict[str, Request] = OrderedDict()
        self._asked: dict[str, Request] = {}
        self._missing = 0
        self._input_request: Message | None = None
        self._inputs_seen = 0
        """The number of the latest ``input()`` that was passed on, or is about to be."""
        self._channels = Channels(connection, self._on_frame, identity)
        self.send, self.new_id = self._channels.request, self._channels.new_id
        self.close = self._channels.close
        self._gaps = Gaps(self, self._channels.unpacked, partial(self._channels.later, 0))

    @property
    def identity(self) -> str:
        return self._channels.identity

    @property
    def last(self) -> int:
        """The number of the latest IOPub message that was passed on."""
        return self._gaps.last

    def begin(self, msg_id: str, request: Request) -> None:
        """``request`` was sent, by us or an earlier client, and is the running execution now."""
        request.missing_before = self._missing
        self.current = self._requests[msg_id] = request
        if len(self._requests) > REMEMBERED:
            self._requests.popitem(last=False)

    def end(self) -> None:
        """No execution of ours runs any more."""
        self.current = self._input_request = None
        self._end_call()

    def missing(self, request: Request) -> int:
        """How many messages were lost since ``request`` began."""
        return self._missing - request.missing_before

    def hang_up(self) -> None:
        """The kernel is dead: tell whoever waits for an answer."""
        try:
            self._gaps.give_up()
        finally:
            for request in (*self._requests.values(), *self._asked.values()):
                request.done.set()
            self.subscribed.set()

    async def ask(
        self,
        msg_type: str,
        content: dict[str, Any],
        *,
        within_s: float | None,
        channel: Channel = "control",
        request: Request | None = None,
    ) -> Message:
        """Send a request of which only the reply is wanted, and wait for that.

        Raises:
            KernelDied: the process ended.
            KernelError: the time is up.
        """
        if self._process.exit is not None:
            raise KernelDied(f"The kernel's process {self._process.exit}.")
        request = request or Request(ignore_message, ignore_input)
        msg_id = self.send(channel, msg_type, content)
        self._asked[msg_id] = request
        try:
            with anyio.fail_after(within_s):
                await request.done.wait()
        except TimeoutError as exc:
            raise KernelError(NO_ANSWER) from exc
        finally:
            del self._asked[msg_id]
        if request.reply is None:
            raise KernelDied(f"The kernel's process {self._process.exit}.")
        return request.reply

    async def kernel_info(self) -> dict[str, Any]:
        return (await self.ask("kernel_info_request", {}, within_s=None, channel="shell"))["content"]

    async def hand_over(self, request: Request, replayed: Replayed) -> None:
        """Give ``request`` its messages from the beginning, and let live ones pass from then on."""
        held = request.held
        if held is None:
            return
        for count, message in enumerate(replayed.joined(held, self._channels.unpacked), 1):
            self._deliver(request, message)
            if count % HANDED_AT_ONCE == 0:
                await anyio.lowlevel.checkpoint()
        request.held, request.replayed_to = None, replayed.last
        request.missing_before = self._missing - replayed.missing(held)
        self._gaps.skip_to(replayed.last)
        if replayed.input_request is not None:
            self._take_input_request(replayed.input_request)
        self._ask_for_input(overdue=self._input_request)
        self.take_reply(request, request.reply or replayed.reply)

    def take_reply(self, request: Request, reply: Message | None) -> None:
        """``reply`` came, or what came before it has come."""
        request.reply = reply
        if reply is None:
            return
        self._complete(request)
        if not request.done.is_set():
            self._expect_the_rest(request)

    # Messages

    def _on_frame(self, channel: Channel, message: Message, number: int | None) -> None:
        parent = str(message["parent_header"].get("msg_id", ""))
        if channel == "iopub":
            self.arrived += 1
            self.subscribed.set()
            self._gaps.take(message, number)
        elif channel == "stdin":
            if self.current is not None and message["header"]["msg_type"] == "input_request":
                self._take_input_request(message)
        elif parent in self._asked:
            self._asked[parent].reply = message
            self._asked[parent].done.set()
        elif parent in self._requests and message["header"]["msg_type"] == "execute_reply":
            self.take_reply(self._requests[parent], message)
        else:
            self._gaps.take_answer(parent, message)

    # What Gaps tells

    def on_message(self, message: Message, number: int | None) -> None:
        parent = str(message["parent_header"].get("msg_id", ""))
        request = self._requests.get(parent)
        if request is None:
            if parent in self._asked:
                self._asked[parent].idle = self._asked[parent].idle or _is_idle(message)
        elif request.held is not None:
            request.held.messages.append((number, message))
        elif number is None or number > request.replayed_to:
            self._deliver(request, message)
        self.on_caught_up()

    def on_lost(self, numbers: range) -> None:
        self._missing += len(numbers)
        request = self.current or next(reversed(self._requests.values()), None)
        if request is None:
            return
        if request.held is not None:
            request.held.lose(numbers)
        else:
            request.on_message(lost(len(numbers)))

    def on_caught_up(self) -> None:
        if self.current is not None and self.current.reply is not None:
            self._complete(self.current)
        elif self._input_request is not None:
            self._ask_for_input()

    def ask_half(self, call: str, args: dict[str, Any]) -> str:
        return self.send("control", "mcp_notebook_request", {"call": call, "args": args})

    # Inside

    def _deliver(self, request: Request, message: Message) -> None:
        request.on_message(message)
        if _is_idle(message) and not request.idle:
            request.idle = True
            if request.reply is None and (request.is_resumed or self._gaps.last):
                self._channels.later(REPLY_WITHIN_S, lambda: self._stop_without_reply(request))
            elif request.reply is None:
                self._expect_the_rest(request)

    def _stop_without_reply(self, request: Request) -> None:
        if request.reply is None:
            request.done.set()

    def _take_input_request(self, message: Message) -> None:
        number = message["parent_header"].get("mcp_notebook", {}).get("input", self._inputs_seen + 1)
        if number > self._inputs_seen:  # a kernel that is taken over may tell it twice
            self._inputs_seen = number
            if message["parent_header"].get("mcp_notebook", {}).get("call"):
                self._has_called = True
                self.on_call(str(message["content"].get("prompt", "")))
                return
            self._end_call()
            self._input_request = message
            self._ask_for_input()
            self._channels.later(FETCH_AFTER_S, lambda: self._expect_what_was_before(message))

    def _end_call(self) -> None:
        if self._has_called:
            self._has_called = False
            self.on_call(None)

    def _ask_for_input(self, *, overdue: Message | None = None) -> None:
        """Pass a request for input on, when what was printed before it is here."""
        if self._input_request is None or self.current is None or self.current.held is not None:
            return
        before = self._input_request["parent_header"].get("mcp_notebook", {}).get("iopub", 0)
        if self._gaps.reached(before):
            content, self._input_request = self._input_request["content"], None
            self.current.on_input(str(content.get("prompt", "")), bool(content.get("password")), self._inputs_seen)
        elif overdue is self._input_request:
            self._gaps.fetch_to(before)

    def _expect_what_was_before(self, message: Message, silent_s: float = 0) -> None:
        """A request for input came, and not yet all that was printed before."""
        if message is not self._input_request:
            return
        self._ask_for_input(overdue=message)
        if silent_s >= LOST_AFTER_S:
            self._gaps.settle()
        later = partial(self._expect_what_was_before, message, silent_s + FETCH_AFTER_S)
        self._channels.later(FETCH_AFTER_S, later)

    def _complete(self, request: Request) -> None:
        """Done, when the reply is here and so are all messages that it counts."""
        if request.reply is None or request.held is not None:
            return
        wanted = counted(request.reply)
        if request.idle if wanted is None else self._gaps.reached(wanted):
            request.done.set()

    def _expect_the_rest(self, request: Request, silent_s: float = 0) -> None:
        """A reply or ``idle`` came, and not yet all that belongs to it; nor anything for some time."""
        seen = self.arrived

        def look() -> None:
            if request.done.is_set():
                return
            count = counted(request.reply) if request.reply else None
            if self.arrived != seen or request.held is not None or self._gaps.is_busy:
                self._expect_the_rest(request)
            elif count is not None:
                self._gaps.fetch_to(count)
                if silent_s >= LOST_AFTER_S:
                    self._gaps.settle()
                self._expect_the_rest(request, silent_s + FETCH_AFTER_S)
            else:
                request.caveat = NO_IDLE if request.reply is not None else ""
                request.done.set()

        counts = request.reply is not None and counted(request.reply) is not None
        self._channels.later(FETCH_AFTER_S if counts else LOST_AFTER_S, look)


def _ignore_call(_line: str | None) -> None:
    return


def _is_idle(message: Message) -> bool:
    return message["header"]["msg_type"] == "status" and message["content"].get("execution_state") == "idle"
