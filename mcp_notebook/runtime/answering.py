"""One session's runtime calls: whether they are allowed, carrying them out, and what is kept of them."""

import hmac
import inspect
import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import anyio

from hermes_runtime import wire
from mcp_notebook.errors import NotebookError
from mcp_notebook.runtime.calls import CALLS, Call, Families
from mcp_notebook.runtime.host import Cells, Host, Made

NO_CELL = (
    "No cell of this session runs, so its kernel may not call {}() now: threads and callbacks that a cell leaves "
    "behind can call only while a later cell runs."
)
NOT_ALLOWED = "{}() is not allowed in this session: the table [runtime] in settings.toml says so."
NO_SUCH_CALL = "There is no call {!r}. There are: {}."
TOO_LARGE = "The answer of {}() has {:,} bytes, more than the {:,} that are allowed: ask for less."
LEAVE_WITHIN_S = 2.0
ARRIVES_WITHIN_S = 0.02
"""A call that was sent already is begun."""
GIVEN_UP = "{0}() was given up after {1:g} s."
INTERRUPTED = "{0}() was ended, since its cell was interrupted."
SPENT = "Tool call limit reached ({}). No more tool calls allowed in this execution."

RECORDED_CHARS = 50_000
"""Of the arguments, and of the answer, of one call."""

logger = logging.getLogger(__name__)


class Runtime:
    """Answers the kernel of one session, whichever carrier its calls come by."""

    def __init__(self, host: Host, cells: Cells) -> None:
        self._policy = host.policy
        self._cells = cells
        self._families = Families(host)
        self._signatures: dict[str, inspect.Signature] = {}
        self.end = self._families.end
        self.leaving = anyio.Event()
        """Set when nothing more is to be begun: what is asked then is for the next server."""
        self._in_flight = 0
        self._running: dict[str, set[anyio.CancelScope]] = {}
        """By execution: what ends its calls."""
        self._left = anyio.Event()

    async def leave(self) -> None:
        """This server ends and the session does not: what cannot be asked again gets a moment to come to its end."""
        self.leaving.set()
        await anyio.sleep(ARRIVES_WITHIN_S)
        with anyio.move_on_after(LEAVE_WITHIN_S):
            while self._in_flight:
                self._left = anyio.Event()
                await self._left.wait()
        await self._families.leave()

    async def answer(self, line: bytes | str, token: str) -> bytes:
        """The answer to one line, which is no longer than a request may be; ``token`` is the kernel's."""
        try:
            name, args, shown = wire.parsed_request(line)
        except ValueError as exc:
            return wire.refusal(f"This is no runtime call: {exc}.")
        if not _equal(shown, token):
            return wire.refusal("The token of this call is not the one that this session's kernel was given.")
        try:
            made, call = self._allowed(name)
            bound = self._bound(name, args)
        except NotebookError as exc:
            return wire.refusal(str(exc))
        with self._counted(name):
            return await self._carried_out(name, call, bound, made)

    @contextmanager
    def _counted(self, name: str) -> Iterator[None]:
        counts = name not in wire.REPEATABLE
        self._in_flight += counts
        try:
            yield
        finally:
            self._in_flight -= counts
            self._left.set()

    def _allowed(self, name: str) -> tuple[Made, Call]:
        call = CALLS.get(name)
        if call is None:
            raise Refusal(NO_SUCH_CALL.format(name, ", ".join(CALLS)))
        made = self._cells.running()
        if made is None:
            raise Refusal(NO_CELL.format(name))
        if not self._policy.allows(call.known_as or name):
            raise Refusal(NOT_ALLOWED.format(name))
        if call.counted:
            if made.begun >= self._policy.budget:
                raise Refusal(SPENT.format(self._policy.budget))
            made.begun += 1
        return made, call

    def _bound(self, name: str, args: dict[str, Any]) -> inspect.BoundArguments:
        if name not in self._signatures:
            self._signatures[name] = inspect.signature(self._families.answer_of(name))
        try:
            return self._signatures[name].bind(**args)
        except TypeError as exc:
            raise Refusal(f"{name}(): {exc}.") from None

    async def _carried_out(self, name: str, call: Call, bound: inspect.BoundArguments, made: Made) -> bytes:
        began, value, ok = time.monotonic(), None, False
        try:
            with anyio.move_on_after(self._policy.call_timeout_s if call.timed else None) as scope:
                with self._stoppable(made, scope):
                    value = await self._families.answer_of(name)(*bound.args, **bound.kwargs)
            answer = wire.answer(value)
            if scope.cancelled_caught:
                in_time = time.monotonic() - began < self._policy.call_timeout_s
                why = INTERRUPTED if in_time or not call.timed else GIVEN_UP
                answer = wire.refusal(why.format(name, self._policy.call_timeout_s))
            elif len(answer) > self._policy.answer_bytes:
                answer = wire.refusal(TOO_LARGE.format(name, len(answer), self._policy.answer_bytes))
            else:
                ok = not _failed(value)
        except NotebookError as exc:
            answer = wire.refusal(str(exc))
        except Exception as exc:  # a fault of ours must not hang the cell
            logger.exception("The runtime call %s failed", name)
            answer = wire.refusal(f"mcp-notebook failed in {name}() ({type(exc).__name__}: {exc}); its log says where.")
        finally:
            if call.counted:
                self._keep(made, {"name": name, "seconds": round(time.monotonic() - began, 3), "ok": ok}, bound, value)
        return answer

    def interrupt(self, made: Made) -> None:
        """The cell was interrupted: end the calls that its threads wait for."""
        for scope in self._running.get(made.execution, ()):
            scope.cancel()

    @contextmanager
    def _stoppable(self, made: Made, scope: anyio.CancelScope) -> Iterator[None]:
        scopes = self._running.setdefault(made.execution, set())
        scopes.add(scope)
        try:
            yield
        finally:
            scopes.discard(scope)
            if not scopes:
                self._running.pop(made.execution, None)

    def _keep(self, made: Made, told: dict[str, Any], bound: inspect.BoundArguments, value: Any) -> None:
        if self._policy.record_arguments:
            told |= {"args": _recorded(dict(bound.arguments)), "answer": _recorded(value)}
        made.ended.append(told)
        self._cells.called(made)


class Refusal(NotebookError):
    """A call that is not carried out."""


def _equal(shown: str, token: str) -> bool:
    return bool(token) and hmac.compare_digest(shown.encode("utf-8", "replace"), token.encode())


def _recorded(value: Any) -> Any:
    """As it can be kept in a notebook; of what is very long the beginning of its JSON."""
    text = json.dumps(value, default=repr)
    if len(text) > RECORDED_CHARS:
        return f"{text[:RECORDED_CHARS]}... [{len(text) - RECORDED_CHARS:,} more characters]"
    return json.loads(text, parse_constant=str)  # NaN is no JSON


def _failed(value: Any) -> bool:
    """Whether an answer in Hermes's shape tells of a failure."""
    return isinstance(value, dict) and bool(
        value.get("error") or value.get("success") is False or value.get("is_error")
    )
