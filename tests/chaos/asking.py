"""Calls of the clients: begun, answered at some time, and what each answer acknowledges."""

import re
from typing import Any

from tests.chaos.actors import HTTP, TRANSPORT, Actor
from tests.chaos.book import Asked, Book, Cell, Ran
from tests.reliability.clients import NoAnswer

HEADER = re.compile(r"\[[\d ]+\] (\w+)(?: [\d.]+ s)? cell=(\S+) rev=(\S+)(?: execution_id=(\S+))?")
EDITED = re.compile(r"(?:edited|inserted|moved) cell=(\S+)")
FINAL = {"ok", "error", "interrupted", "cancelled", "dead", "unknown"}
CALLS_THAT_TROUBLE = {
    "interrupt": ("interrupt",),
    "restart": ("restart",),
    "rebuild": ("restart", "rebuild"),
    "kill": ("death",),
}
"""By the action of ``control_kernel``: what the session may meet while the call is carried out."""


class Asking:
    """Makes calls, and takes note of their answers."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def begin(self, actor: Actor, handle: str, tool: str, *, tag: str = "", kind: str = "", **arguments: Any) -> Asked:
        """Raises NoAnswer: the client has ended."""
        assert actor.program is not None
        book = self._book
        whats = CALLS_THAT_TROUBLE.get(arguments.get("action", ""), ())
        troubles = book.begin(*(f"{what}:{actor.session}" for what in whats))
        began = book.tick()
        number = actor.program.begin(tool, **arguments, session=handle)
        call = Asked(actor.name, actor.session, tool, arguments, actor.program, number, book.step, began, tag, kind)
        call.troubles = troubles
        book.calls.append(call)
        self._expect(call)
        return call

    def look(self, call: Asked, within_s: float = 0) -> bool:
        """Whether it is answered by now."""
        if not call.is_open:
            return True
        said = call.program.look(call.number, within_s)
        if said is None:
            return False
        call.ended = self._book.tick()
        call.text = str(said.get("failed") or said.get("text", ""))
        call.is_error, call.failed = bool(said.get("is_error")), "failed" in said
        self._end_troubles(call)
        self._acknowledge(call)
        return True

    def excuse(self, why: str, *, actor: str | None = None, over: str | None = None) -> None:
        """Open calls of that client, or over that transport, need no answer any more."""
        for call in self._book.open_calls():
            is_meant = (actor is None or call.actor == actor) and (over is None or TRANSPORT[call.actor] == over)
            if is_meant and not self.look(call):
                call.excused = why

    def daemon_died(self) -> None:
        """What is open over HTTP may fail."""
        self.excuse("the daemon died", over=HTTP)

    def _end_troubles(self, call: Asked) -> None:
        """A kernel that was killed stays dead until it is started again; a start that failed leaves none."""
        is_start = call.arguments.get("action") in ("restart", "rebuild")
        if is_start and call.is_carried_out:
            self._book.end_all(f"death:{call.session}")
            self._book.end_all(f"restart:{call.session}")
        elif not is_start:
            self._book.end(trouble for trouble in call.troubles if not trouble.what.startswith("death"))

    def _expect(self, call: Asked) -> None:
        """What it may do, from now on."""
        book = self._book
        if call.tool == "execute_cell":
            book.ran[call.tag] = Ran(call.tag, call.kind, call.session, call)
            book.ran[call.tag].replayed += book.met(f"rebuild:{call.session}", call.began)
            if call.kind == "die":
                call.troubles += book.begin(f"death:{call.session}")
        target = book.cell_of(call.session, call.arguments["cell_id"]) if "cell_id" in call.arguments else None
        mode = call.arguments.get("edit_mode")
        if target is None and (call.tool == "execute_cell" or mode == "insert"):
            book.cells[call.tag] = Cell(call.session, call.tag, sources={call.arguments["source"]}, began=call.began)
        elif target is not None and mode == "delete":
            target.may_be_gone = True
        elif target is not None and "source" in call.arguments:
            target.sources.add(call.arguments["source"])
            target.changed = call.began
            for ran in book.ran.values():
                if ran.cell_id == target.cell_id and ran.tag != call.tag and call.tool == "execute_cell":
                    ran.is_latest = False
        if call.arguments.get("action") == "rebuild":
            for ran in book.ran.values():
                ran.replayed += ran.session == call.session

    def _acknowledge(self, call: Asked) -> None:
        if not call.is_carried_out:
            return
        if call.tool == "execute_cell":
            self._executed(call)
        elif call.tool == "edit_cell":
            self._edited(call)

    def _executed(self, call: Asked) -> None:
        found = HEADER.match(call.text)
        if found is None:
            self._book.fault(f"{call}: the answer has no header: {call.text[:200]!r}")
            return
        ran = self._book.ran[call.tag]
        status, cell_id, _, execution_id = found.groups()
        if "the document is as it was" in call.text:
            ran.status, ran.seen, ran.cell_id = status, call.ended, "-"
            if call.arguments.get("cell_id") is None:
                self._book.cells.pop(call.tag, None)
            return
        ran.cell_id, ran.execution_id, ran.status = cell_id, execution_id or "", status
        if status in FINAL:
            ran.seen = call.ended
        self._there(call, cell_id)

    def _edited(self, call: Asked) -> None:
        if call.arguments["edit_mode"] == "delete":
            target = self._book.cell_of(call.session, call.arguments["cell_id"])
            assert target is not None
            target.is_gone = True
        elif found := EDITED.match(call.text):
            self._there(call, found[1])
        else:
            self._book.fault(f"{call}: the answer names no cell: {call.text[:200]!r}")

    def _there(self, call: Asked, cell_id: str) -> None:
        """The cell exists; what it holds is certain when nobody else is at it."""
        cell = self._book.cells.get(call.tag) or self._book.cell_of(call.session, cell_id)
        if cell is None:
            self._book.fault(f"{call}: answered for cell {cell_id}, which it did not mean")
            return
        cell.cell_id, cell.must_exist = cell_id, True
        cell.ended = min(cell.ended, call.ended)
        others = [
            each
            for each in self._book.calls
            if each is not call and each.arguments.get("cell_id") == cell_id and each.is_doubtful
        ]
        later = [
            each
            for each in self._book.calls
            if each.arguments.get("cell_id") == cell_id and each is not call and each.ended > call.began
        ]
        cell.changed = call.ended
        if not others and not later and "source" in call.arguments:
            cell.past |= cell.sources
            cell.sources = {call.arguments["source"]}


def text_of(program_call: Asked) -> str:
    """Its answer. Raises NoAnswer: there is none, or it is a refusal."""
    if not program_call.is_carried_out:
        raise NoAnswer(program_call.text or "no answer")
    return program_call.text
