"""Calls that could not be carried out: each needs a reason among what was done meanwhile."""

import re

from tests.chaos.book import Asked, Book

NOT_KNOWN = "not known whether the call was carried out"
NOTICED_AFTER = 20
"""A relay may send to a daemon that has just ended."""
REASONS: list[tuple[str, tuple[str, ...]]] = [
    (NOT_KNOWN, ("lost:daemon",)),
    (r"could not be written|No space left|cannot be written", ("full:workspace", "full:state")),
    (r"The kernel is starting", ("restart:SESSION",)),
    (r"(was killed by signal 9|ended, cause unknown).*variables are lost", ("death:SESSION",)),
    (r"(was killed by signal 9|ended, cause unknown)", ("death:SESSION", "restart:SESSION")),
    (r"There is no kernel, since its start failed", ("restart:SESSION",)),
    (r"rebuild has not ended", ("rebuild:SESSION",)),
    (r"No cell waits for input", ()),
    (r"does not wait for input", ()),
    (r"No cell with id|no cell .* in this notebook|There is no cell", ("deleted",)),
]
"""What a refusal says, and what must have been going on for it to be true: one of these, or nothing."""


def check_refusals(book: Book) -> None:
    """What is not explained is in the book."""
    for call in book.calls:
        if (call.is_error or call.failed) and call.excused != "judged":
            if not call.excused:
                _check(book, call)
            call.excused = "judged"


def _check(book: Book, call: Asked) -> None:
    for said, whats in REASONS:
        if re.search(said, call.text):
            if not whats or any(_met(book, call, what) for what in whats):
                return
            break
    book.fault(f"{call}, begun in step {call.step}, was refused: {call.text[:400]!r}")


def _met(book: Book, call: Asked, what: str) -> bool:
    if what == "deleted":
        cell = book.cell_of(call.session, call.arguments.get("cell_id", ""))
        return cell is not None and (cell.may_be_gone or cell.is_gone)
    since = call.began - (NOTICED_AFTER if what == "lost:daemon" else 0)
    return book.met(what.replace("SESSION", call.session), since, call.ended)
