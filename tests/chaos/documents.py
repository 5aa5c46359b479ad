"""The notebook as it is read: every acknowledged cell, each once, as it was written last, in its order."""

import re
from typing import TYPE_CHECKING

from tests.chaos.book import Book, Cell
from tests.chaos.sources import tags_in
from tests.reliability.clients import NoAnswer

if TYPE_CHECKING:
    from tests.chaos.world import World

CELL = re.compile(r"^#(\d+) (?:\w+ )?cell=(\S+) rev=\S+.*\n(?:```\n)?(.*)$", re.MULTILINE)
AT_ONCE = 20


def check_document(world: "World", session: str) -> None:
    """Read all of it; what is wrong is in the book, and what was in doubt is known afterwards."""
    book = world.book
    book.end_all(f"lost:{session}")
    try:
        found = _read(world, session)
    except NoAnswer as exc:
        book.fault(f"the notebook of {session} cannot be read: {exc}")
        return
    check_known(book, session, found)
    _check_order(book, session, list(found))
    tags = [tag for source in found.values() for tag in tags_in(source)]
    if twice := {tag for tag in tags if tags.count(tag) > 1}:
        book.fault(f"session {session} has cells twice: {sorted(twice)}")


def _read(world: "World", session: str) -> dict[str, str]:
    """The source of each cell, by id, in the notebook's order. Raises NoAnswer."""
    found: dict[str, str] = {}
    while True:
        begin = len(found)
        try:
            text = world.call(session, "read_notebook", cells=f"{begin}-{begin + AT_ONCE - 1}", outputs="none")
        except NoAnswer as exc:
            if "position" in str(exc) or "no cell" in str(exc).lower():
                return found
            raise
        shown = CELL.findall(text)
        for position, cell_id, source in shown:
            if int(position) != len(found):
                world.book.fault(f"session {session} shows #{position} where #{len(found)} is due: {text[:1000]!r}")
            found[cell_id] = source
        if len(shown) < AT_ONCE:
            return found


def check_known(book: Book, session: str, found: dict[str, str]) -> None:
    """Compare the cells that are there, by id, with those that must or may be; what is wrong is in the book."""
    mine = [cell for cell in book.cells.values() if cell.session == session]
    named = {cell.cell_id: cell for cell in mine if cell.cell_id}
    for cell in named.values():
        _check_cell(book, cell, found.get(cell.cell_id))
    for cell_id, source in found.items():
        if cell_id not in named:
            _check_unnamed(book, session, mine, cell_id, source)


def _check_cell(book: Book, cell: Cell, source: str | None) -> None:
    """One of which the server has told the id."""
    lossy = book.may_be_lost(cell.ended, cell.changed)
    if source is None:
        if not cell.may_be_gone and cell.must_exist and not book.may_be_lost(cell.began, cell.ended):
            book.fault(f"cell {cell.cell_id} ({cell.tag}) of session {cell.session} is lost")
        cell.may_be_gone = cell.is_gone = True
        cell.must_exist = False
        return
    if cell.is_gone and not lossy:
        book.fault(f"cell {cell.cell_id} ({cell.tag}) of session {cell.session} was deleted and is there")
        cell.is_gone = False
    if source not in cell.sources and not (lossy and source in cell.past):
        book.fault(f"cell {cell.cell_id} ({cell.tag}) holds {source!r} instead of {sorted(cell.sources)}")
    cell.sources, cell.must_exist, cell.may_be_gone = {source}, True, False


def _check_unnamed(book: Book, session: str, mine: list[Cell], cell_id: str, source: str) -> None:
    """One whose call nobody has answered."""
    meant = [cell for cell in mine if not cell.cell_id and source in cell.sources]
    if not meant:
        book.fault(f"session {session} has a cell {cell_id} that nobody asked for: {source!r}")
        return
    meant[0].cell_id, meant[0].must_exist, meant[0].ended = cell_id, True, book.tick()
    for tag in tags_in(source):
        if tag in book.ran:
            book.ran[tag].cell_id = cell_id


def _check_order(book: Book, session: str, order: list[str]) -> None:
    """A cell that was asked for after another one was there comes behind it."""
    cells = [cell for cell in book.cells.values() if cell.session == session and cell.cell_id in order]
    for first in cells:
        for second in cells:
            if first.ended < second.began and order.index(first.cell_id) > order.index(second.cell_id):
                book.fault(f"cell {first.cell_id} ({first.tag}) has come behind {second.cell_id} ({second.tag})")
