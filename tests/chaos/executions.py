"""What the server says of an execution, against what was done to it and what the cell itself has testified."""

import re
from typing import TYPE_CHECKING

from tests.chaos.asking import FINAL
from tests.chaos.book import Book, Ran
from tests.chaos.sources import PRINTS, Testimonies, lines_in
from tests.reliability.clients import NoAnswer
from tests.reliability.victims import is_gone

if TYPE_CHECKING:
    from tests.chaos.world import World

STATUS = re.compile(r"\[[\d ]+\] (\w+)")
NEXT = re.compile(r'^Next: get_output\(cursor="([^"]+)"', re.MULTILINE)

SENT_WITHIN = 40
"""Moments: a daemon that is killed sooner may not have sent the cell to the kernel."""


def check_execution(world: "World", ran: Ran) -> None:
    """By its id, and by its cell if that has not run again; what is wrong is in the book."""
    _check_begun(world, ran)
    if ran.cell_id in ("", "-") or (ran.status == "cancelled" and not ran.execution_id):
        return  # what never began is not its cell's latest execution
    cell = world.book.cell_of(ran.session, ran.cell_id)
    if cell is None or cell.may_be_gone or not ran.is_latest or not _is_whole(world, ran):
        return
    try:
        text = _whole(world, ran)
    except NoAnswer as exc:
        world.book.fault(f"{ran.tag} ({ran.kind}) of session {ran.session} is not found: {exc}")
        return
    _check(world.book, world.witness, ran, text)


def _is_whole(world: "World", ran: Ran) -> bool:
    """Whether its cell's latest execution is this one; an edit of the source leaves it there."""
    later = [r for r in world.book.ran.values() if r.cell_id == ran.cell_id and r.began > ran.began]
    return not later


def _whole(world: "World", ran: Ran) -> str:
    """All pages of its output. Raises NoAnswer."""
    by = {"execution_id": ran.execution_id} if ran.execution_id and not ran.replayed else {"cell_id": ran.cell_id}
    text = world.call(ran.session, "get_output", **by)
    pages = [text]
    while found := NEXT.search(pages[-1]):
        pages.append(world.call(ran.session, "get_output", cursor=found[1]))
    return "\n".join(pages)


def _check_begun(world: "World", ran: Ran) -> None:
    begun = len(world.witness.of(ran.tag, "begun"))
    if begun > 1 + ran.replayed:
        world.book.fault(f"{ran.tag} ({ran.kind}) of session {ran.session} ran {begun} times")


def _check(book: Book, witness: Testimonies, ran: Ran, text: str) -> None:
    found = STATUS.match(text)
    status = found[1] if found else "nothing"
    what = f"{ran.tag} ({ran.kind}) of session {ran.session}, step {ran.call.step},"
    if ran.status in FINAL and status != ran.status and not ran.replayed:
        book.fault(f"{what} was {ran.status}, and now is {status}")
    if ran.seen > book.tick():
        ran.seen = book.tick()
    if status not in _allowed(book, ran):
        book.fault(
            f"{what} is {status}, which nothing explains; allowed: {sorted(_allowed(book, ran))}: {text[:300]!r}"
        )
    ran.status = status
    if "could not be written to disk" in text and book.met("full:state", ran.began, ran.seen):
        return  # what is missing is said
    numbers = lines_in(text, ran.tag)
    if numbers != list(range(len(numbers))):
        book.fault(f"{what} is {status} and shows the lines {_in_short(numbers)}")
        return
    if not ran.replayed:
        _check_testimony(book, witness, ran, status, len(numbers), what)


def _allowed(book: Book, ran: Ran) -> set[str]:
    """How it may have ended, after what was done."""
    since, until, session = ran.began, ran.seen, ran.session
    normal = {"fail": "error", "die": "dead"}.get(ran.kind, "ok")
    allowed = {normal}
    if ran.replayed:
        until = book.tick()
        allowed |= {"ok", "error"}
    if book.met(f"interrupt:{session}", since, until):
        allowed |= {"interrupted"}
    if book.met(f"cancel:{ran.tag}", since):
        allowed |= {"interrupted", "cancelled"}
    if book.met(f"death:{session}", since, until):
        allowed |= {"dead", "cancelled"}
    if book.met(f"restart:{session}", since, until):
        allowed |= {"dead", "cancelled", "interrupted"}
    if book.met("lost:daemon", since, since + SENT_WITHIN):
        allowed |= {"unknown"}  # it was killed between its note that the cell is sent and the sending
    if book.may_be_lost(since, until):
        allowed |= {"unknown", "dead", "cancelled", "interrupted", "nothing"}
    return allowed


def _check_testimony(book: Book, witness: Testimonies, ran: Ran, status: str, lines: int, what: str) -> None:
    begun, ended = witness.of(ran.tag, "begun"), witness.of(ran.tag, "ended")
    stopped = witness.of(ran.tag, "stopped")
    if status == "unknown" and begun and not book.may_be_lost(ran.began, ran.seen):
        book.fault(f"{what} is unknown, and its kernel knows of it")
    if status == "cancelled" and begun:
        book.fault(f"{what} is cancelled, which means that it never ran, and it began")
    if status in ("ok", "error") and not (ended or stopped):
        book.fault(f"{what} is {status}, and its cell did not end")
    if status == "ok" and lines != PRINTS[ran.kind]:
        book.fault(f"{what} is ok and shows {lines} of {PRINTS[ran.kind]} lines")
    if status == "dead" and begun and not is_gone(begun[0].pid):
        book.fault(f"{what} is dead, and its kernel {begun[0].pid} lives")
    if status == "interrupted" and stopped and lines not in (stopped[0].number, stopped[0].number + 1):
        book.fault(f"{what} was interrupted after {stopped[0].number} lines, and shows {lines}")


def _in_short(numbers: list[int]) -> str:
    text = " ".join(map(str, numbers))
    return text if len(text) < 200 else f"{text[:100]} ... {text[-100:]}"
