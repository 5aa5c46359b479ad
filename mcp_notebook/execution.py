"""Execution: one cell run as a job that anybody may wait for.

It knows nothing of notebooks, files or transports; ``ExecutionQueue`` moves it on.
"""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import anyio

from mcp_notebook.kernels.base import Kernel, Reply
from mcp_notebook.kernels.born import Moment
from mcp_notebook.outputs import Message, Output, OutputCollector
from mcp_notebook.questions import Declined, Question, name_of
from mcp_notebook.runtime import Made
from mcp_notebook.spill import SpilledText

Status = Literal["queued", "running", "waiting_for_input", "ok", "error", "interrupted", "cancelled", "dead", "unknown"]
OUTPUT_TYPES = ("stream", "display_data", "execute_result", "update_display_data")
CATCH_UP_WITHIN_S = 10.0
ASKED_TOO_LATE = "The cell ended before the user answered."
FINISHED: frozenset[Status] = frozenset({"ok", "error", "interrupted", "cancelled", "dead", "unknown"})


class Execution:
    """One execution of one cell. Changed only by the queue that runs it."""

    def __init__(
        self,
        cell_id: str,
        source: str,
        revision: str,
        collector: OutputCollector,
        id: str | None = None,  # noqa: A002 - as the attribute
    ) -> None:
        """``id`` is that of an execution that an earlier server began."""
        self.id = id or f"e-{secrets.token_hex(4)}"
        self.cell_id = cell_id
        self.source = source
        self.revision = revision
        self.status: Status = "queued"
        self.message = ""
        """A sentence for the reader on why it is in this status, or empty."""
        self.prompt: str | None = None
        """What a waiting ``input()`` asks."""
        self.password = False
        self.asked = ""
        """Names what is asked now: nothing else that this execution ever asks has the same name, whoever serves it."""
        self.is_full = False
        """Whether it has given all that its session may hold: what follows is not kept."""
        self.asked_to_stop = False
        """Whether somebody interrupted it, whatever came of that."""
        self.since: Moment | None = None
        """When it began, as processes tell it; None before."""
        self.replay = False
        """Whether a rebuild runs it: that it fails does not make what the cell gave before undone."""
        self.order = 0
        """Its place among the executions of this kernel's life, from 1; 0 before it began."""
        self.place = 0
        """Its place among all executions of the session."""
        self.created = time.time()
        """In seconds since the epoch."""
        self._finished_at: float | None = None
        self.on_change: Callable[[], None] = _nothing
        self.made = Made(self.id)
        """The runtime calls that its code has made."""
        self.question: Question | None = None
        """What its code asks the user, where that is no ``input()``."""
        self._given: list[Any] = []
        self._input: tuple[str, bool, int] | None = None
        """Prompt of the ``input()`` that waits, whether that is a password, and its number."""
        self._collector = collector
        self._began: float | None = None
        self._taken_over: float | None = None
        self._ended: float | None = None
        self._replied = ""
        self._changed: anyio.Event | None = None
        """Made only when somebody waits: a cell that prints changes very often."""

    @property
    def execution_count(self) -> int | None:
        return self._collector.execution_count

    @property
    def outputs(self) -> list[Output]:
        return self._collector.outputs

    @property
    def latest_line(self) -> str:
        return self._collector.latest_line

    @property
    def spilled(self) -> dict[int, SpilledText]:
        """The whole text of each output that is too long for the document, by the output's index."""
        return cast(dict[int, SpilledText], self._collector.spilled)

    @property
    def losses(self) -> list[str]:
        """What of its outputs could not be kept, and why."""
        return [text.failed for text in self.spilled.values() if text.failed]

    @property
    def held_bytes(self) -> int:
        """What its outputs take, in the document and outside of it."""
        return self._collector.held_bytes

    @property
    def timings(self) -> dict[str, str]:
        """ISO times under nbclient's names, for the cell's ``execution`` metadata."""
        replied = {"shell.execute_reply": self._replied} if self._replied else {}
        return self._collector.timings | replied

    @property
    def elapsed_s(self) -> float | None:
        """Seconds since it began to run, or that it ran; None before."""
        if self._began is None:
            return None
        return (self._ended or time.monotonic()) - self._began

    @property
    def updated(self) -> float:
        """When it finished, in seconds since the epoch; now, if it has not."""
        return self._finished_at or time.time()

    @property
    def finished(self) -> bool:
        return self.status in FINISHED

    @property
    def asking(self) -> "Execution | None":
        """What waits for input: itself, or nothing."""
        return self if self.status == "waiting_for_input" else None

    async def wait(self, timeout_s: float) -> bool:
        """True when it has finished or waits for input; False when the time is up."""
        with anyio.move_on_after(timeout_s):
            while not (self.finished or self.status == "waiting_for_input"):
                await self.changed()
        return self.finished or self.status == "waiting_for_input"

    async def caught_up(self) -> None:
        """Return when it is known whether it waits for input: of one that was taken over the kernel has to tell."""
        if self._taken_over is not None:
            await self.wait(max(0.0, self._taken_over + CATCH_UP_WITHIN_S - time.monotonic()))

    async def changed(self) -> None:
        """Return at the next change of the status or the outputs."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    def as_data(self) -> dict[str, Any]:
        """What another server needs to go on with it, as JSON; its outputs are in its cell, or in the kernel."""
        return {
            "cell": self.cell_id,
            "source": "" if self.finished else self.source,
            "revision": self.revision,
            "status": self.status,
            "message": self.message,
            "order": self.order,
            "place": self.place,
            "created": self.created,
            "finished": self._finished_at,
            "began": None if self.elapsed_s is None else time.time() - self.elapsed_s,
            "elapsed_s": self.elapsed_s,
            "replay": self.replay,
            "stop": self.asked_to_stop,
            "since": self.since and self.since.as_data(),
            "count": self.execution_count,
            "timings": self.timings,
            "held": self.held_bytes,
            "spilled": {str(index): str(text.path) for index, text in self.spilled.items() if text.path},
        }

    def restore(
        self, outputs: Sequence[Output], execution_count: int | None, timings: Mapping[str, str], held_bytes: int
    ) -> None:
        """Give it the outputs that it had, as its cell keeps them."""
        self._collector.restore(outputs, execution_count, timings, held_bytes)

    def restore_long_text(self, index: int, text: SpilledText) -> None:
        """The whole text of one of them."""
        self._collector.restore_long_text(index, text)

    def go_on_from(self, data: dict[str, Any]) -> None:
        """Be what ``as_data`` of an earlier server said, but for the outputs."""
        self.place, self.replay, self.asked_to_stop = data["place"], data["replay"], data["stop"]
        self.since = Moment.from_data(data.get("since"))
        self.created, self._finished_at = data.get("created", self.created), data.get("finished")
        if data["began"] is not None:
            self.resumed(data["order"], max(0.0, time.time() - data["began"]))
        if data["status"] in FINISHED:
            self.status, self.message = data["status"], data["message"]
            if self._began is not None:
                self._ended = self._began + data["elapsed_s"]

    # What follows is for the queue.

    def begin(self, order: int) -> None:
        self.order = order
        self._began = time.monotonic()
        self.change("running")

    def taken_over(self) -> None:
        """An earlier server began it, and the kernel tells what came of it since."""
        self._taken_over = time.monotonic()

    def resumed(self, order: int, elapsed_s: float) -> None:
        """It began earlier, under another server."""
        self.begin(order)
        self._began = time.monotonic() - elapsed_s

    def receive(self, message: Message) -> bool:
        """Take an IOPub message in; True if the outputs changed."""
        if self.is_full and message["header"]["msg_type"] in OUTPUT_TYPES:
            return False
        changed = self._collector.add(message)
        if changed:
            self._tell()
        return changed

    def ask(self, prompt: str, password: bool, number: int) -> None:
        """An ``input()`` waits for its line; behind a ``question`` that waits already."""
        self._input = (self._collector.masking.text(prompt), password, number)
        self._tell_what_is_asked()

    async def ask_user(self, question: Question) -> Any:
        """Wait for the user's answer, which ``give`` brings; an ``input()`` that waits already comes after it.

        Raises:
            Declined: there will be none.
        """
        question = replace(question, text=self._collector.masking.text(question.text))
        self._given, self.question = [], question
        try:
            self._tell_what_is_asked()
            while not self._given:
                if self.finished:
                    raise Declined(ASKED_TOO_LATE)
                await self.changed()
        finally:
            self._asked_no_longer(question)
        if isinstance(self._given[0], Declined):
            raise self._given[0]
        return self._given[0]

    def give(self, answer: Any) -> None:
        """The answer to ``question``, as text or as its value; Declined where there is none.

        Raises:
            BadRequest: it does not fit, and the question stays.
        """
        assert self.question is not None
        self._given = [answer if isinstance(answer, Declined) else self.question.parsed(answer)]
        self._asked_no_longer(self.question)

    def answered(self) -> None:
        """The ``input()`` that waited has its line."""
        self._input = None
        self._tell_what_is_asked()

    def _asked_no_longer(self, question: Question) -> None:
        if self.question is question:
            self.question = None
            self._tell_what_is_asked()

    def _tell_what_is_asked(self) -> None:
        if self.finished:
            return
        if self.question is not None:
            self.prompt, self.password, number = str(self.question), False, self.made.questions
        else:
            self.prompt, self.password, number = self._input or (None, False, 0)
        self.asked = name_of(self.prompt, number, self.question is not None) if self.prompt is not None else ""
        self.change("running" if self.prompt is None else "waiting_for_input")

    def show(self, data: dict[str, Any]) -> None:
        """Add a mime bundle that came with the reply, such as the text of ``help?``."""
        content = {"data": data, "metadata": {}}
        header = {"msg_type": "display_data"}
        self.receive(Message(header=header, parent_header={}, metadata={}, content=content, buffers=[]))

    def discard(self) -> None:
        """Forget the outputs: they cannot be fetched any more."""
        self._collector.clear()

    def note(self, text: str) -> None:
        """Say something in its outputs, in the product's own words."""
        self._collector.note(text)
        self._tell()

    def finish(self, status: Status, message: str = "", replied: str = "") -> None:
        if self._began is not None:
            self._ended = time.monotonic()
        self._finished_at = time.time()
        self.prompt, self.password, self.asked = None, False, ""
        self._replied = replied
        self.change(status, message)

    def change(self, status: Status, message: str = "") -> None:
        self.status, self.message = status, message
        self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            changed.set()
        self.on_change()


def status_of(reply: Reply, *, asked_to_stop: bool, was_stopped: bool = False) -> Status:
    """How an execution ended; an interrupt that the kernel or, ``was_stopped``, we know of outweighs all else."""
    if reply.status == "aborted":
        return "cancelled"
    if was_stopped or reply.interrupted or (asked_to_stop and reply.interrupted is None and reply.status != "ok"):
        return "interrupted"
    if reply.status == "unknown":
        return "unknown"
    return "ok" if reply.status == "ok" else "error"


def hint_on_error(reply: Reply, kernel: Kernel) -> str:
    """What a failed cell's author cannot see: that a variable is missing because it was withheld."""
    name = str(reply.content.get("evalue", "")).strip("'\"")
    if reply.content.get("ename") == "KeyError" and name in kernel.info.withheld:
        return (
            f"{name} is set for the server but withheld from kernels because its name looks secret;"
            " `env_pass` in settings.toml lets it through."
        )
    return ""


def _nothing() -> None:
    return
