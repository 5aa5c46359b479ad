"""The document: a notebook's cells, found, read and edited by id.

Pure: no files, no kernel, no clock. The cells are nbformat's own nodes
(https://nbformat.readthedocs.io/en/latest/format_description.html) and are changed
in place, so whoever holds a cell sees its edits. Which cells are stale is not known here.
"""

import difflib
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from nbformat import NotebookNode, v4
from nbformat.notebooknode import from_dict

from mcp_notebook.errors import BadRequest, RevisionChanged, UnknownCell

CELL_TYPES = ("code", "markdown", "raw")
START = "start"
_POSITIONS = re.compile(r"#?(\d{1,9})(?:\s*-\s*#?(\d{1,9}))?")
_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t]*(?:[ \t]#+)?[ \t]*")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


@dataclass(frozen=True)
class Heading:
    """A heading line of a markdown cell; ``level`` 1 is the highest."""

    level: int
    text: str
    cell_id: str
    position: int


def revision(cell: NotebookNode) -> str:
    """First 8 hex digits of SHA-256 over cell type and source."""
    text = f"{cell['cell_type']}\n{cell['source']}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]


class Notebook:
    """A notebook node with its cells indexed by id.

    ``node`` may be replaced or changed by others: the index is checked at each look-up
    and made anew when it is wrong.
    """

    def __init__(self, node: NotebookNode | None = None, *, language: str = "python") -> None:
        self.node = node if node is not None else _empty(language)
        self._positions: dict[str, int] = {}
        self._give_missing_ids()

    @property
    def cells(self) -> list[NotebookNode]:
        cells: list[NotebookNode] = self.node["cells"]
        return cells

    def cell(self, cell_id: str) -> NotebookNode:
        """Raises UnknownCell, naming ids that look alike."""
        return self.cells[self.position(cell_id)]

    def position(self, cell_id: str) -> int:
        """Where the cell stands, from 0. Raises UnknownCell."""
        found = self._position(cell_id)
        if found is None:
            raise UnknownCell(self._unknown(cell_id))
        return found

    def add_cell(self, source: str, *, cell_type: str = "code", after: str | None = None) -> NotebookNode:
        """A new cell behind the cell ``after``, at the ``"start"``, or at the end (None)."""
        _check_type(cell_type)
        at = self._place(after)
        cell = _new_cell(cell_type, self._new_id(), source)
        self._insert(at, cell)
        return cell

    def replace(
        self,
        cell_id: str,
        source: str | None,
        *,
        old_source: str | None = None,
        cell_type: str | None = None,
        revision: str | None = None,
    ) -> NotebookNode:
        """Give the cell this source (None keeps it), or put it in place of exactly ``old_source``.

        Outputs of a code cell stay, since they belong to what ran; they go when it
        becomes another type. Nothing is changed if anything is refused.

        Raises:
            UnknownCell, RevisionChanged
            BadRequest: ``old_source`` is not there, or more than once; no such cell type.
        """
        cell = self._unchanged(cell_id, revision)
        if cell_type is not None:
            _check_type(cell_type)
        if old_source is not None:
            source = _with_replaced(cell, old_source, source or "")
        if source is not None:
            cell["source"] = source
        if cell_type is not None and cell_type != cell["cell_type"]:
            _change_type(cell, cell_type)
        return cell

    def delete(self, cell_id: str, *, revision: str | None = None) -> None:
        """Raises UnknownCell or RevisionChanged."""
        self._unchanged(cell_id, revision)
        del self.cells[self.position(cell_id)]
        del self._positions[cell_id]

    def move(self, cell_id: str, after: str | None, *, revision: str | None = None) -> None:
        """Put the cell behind the cell ``after``, at the ``"start"``, or at the end (None)."""
        cell = self._unchanged(cell_id, revision)
        if after == cell_id:
            raise BadRequest(f"Cell {cell_id} cannot stand after itself: name another cell, 'start' or none.")
        self._place(after)
        del self.cells[self.position(cell_id)]
        self._insert(self._place(after), cell)

    def select(self, cells: str | None) -> list[NotebookNode]:
        """Cells by ids, positions (``3``, ``#3``, ``3-7``; a list with commas) or a heading's text.

        None is all of them. A heading stands for its cell and those up to the next
        heading of the same or a higher level. An id wins over a position, both over a heading.

        Raises:
            UnknownCell: something that looks like an id and is none.
            BadRequest: a position or a heading that is not there.
        """
        if cells is None:
            return list(self.cells)
        items = [item.strip() for item in cells.split(",") if item.strip()]
        found = [self._item(item) for item in items]
        if items and all(found):
            wanted = dict.fromkeys(position for positions in found for position in positions)
            return [self.cells[position] for position in wanted]
        section = self._section(cells)
        if section is None:
            missing = [item for item, hit in zip(items, found, strict=True) if not hit]
            raise self._nothing_selected(cells, missing)
        return self.cells[section.start : section.stop]

    def headings(self) -> list[Heading]:
        """The headings (``#`` to ``######``) of the markdown cells, in order."""
        return [
            Heading(level, text, cell["id"], position)
            for position, cell in enumerate(self.cells)
            if cell["cell_type"] == "markdown" and "#" in cell["source"]
            for level, text in _headings(cell["source"])
        ]

    def _give_missing_ids(self) -> None:
        for position, cell in enumerate(self.cells):
            if not cell.get("id") or cell["id"] in self._positions:
                cell["id"] = self._new_id()
            self._positions[cell["id"]] = position

    def _position(self, cell_id: str) -> int | None:
        found = self._positions.get(cell_id)
        if found is not None and found < len(self.cells) and self.cells[found]["id"] == cell_id:
            return found
        self._index()
        return self._positions.get(cell_id)

    def _index(self) -> None:
        self._positions = {cell["id"]: position for position, cell in enumerate(self.cells)}

    def _insert(self, at: int, cell: NotebookNode) -> None:
        # The entries behind it are now wrong, which the next look-up of one of them notices.
        self.cells.insert(at, cell)
        self._positions[cell["id"]] = at

    def _new_id(self) -> str:
        """8 hex digits that no cell has; never digits alone, which would read as a position."""
        while (new := secrets.token_hex(4)) in self._positions or new.isdigit():
            pass
        return new

    def _place(self, after: str | None) -> int:
        if after is None:
            return len(self.cells)
        # A cell may be called "start" in a file written elsewhere; the word is ours.
        return 0 if after == START else self.position(after) + 1

    def _unchanged(self, cell_id: str, expected: str | None) -> NotebookNode:
        cell = self.cell(cell_id)
        current = revision(cell)
        if expected is not None and expected != current:
            raise RevisionChanged(
                f"Cell {cell_id} was edited since: it is at revision {current}, not {expected}. "
                f"Read it with read_notebook(cells='{cell_id}') and pass revision='{current}'."
            )
        return cell

    def _unknown(self, cell_id: str) -> str:
        close = difflib.get_close_matches(cell_id, self._positions, n=3, cutoff=0.6)
        hint = f" Similar: {', '.join(close)}." if close else ""
        return f"No cell has the id {cell_id[:80]!r}.{hint} read_notebook lists the cells with their ids."

    def _item(self, item: str) -> Sequence[int]:
        """Positions of one id, position or range; empty if it is none of these or not there."""
        found = self._position(item)
        if found is not None:
            return (found,)
        match = _POSITIONS.fullmatch(item)
        if match is None:
            return ()
        first = int(match[1])
        last = int(match[2] or first)
        return range(first, min(last + 1, len(self.cells)))

    def _section(self, wanted: str) -> range | None:
        headings = self.headings()
        at = _closest_heading(headings, wanted)
        if at is None:
            return None
        start = headings[at]
        following = (other for other in headings[at + 1 :] if other.level <= start.level)
        end = next((other.position for other in following), len(self.cells))
        return range(start.position, max(end, start.position + 1))

    def _nothing_selected(self, cells: str, missing: list[str]) -> BadRequest:
        for item in missing:
            if re.fullmatch(r"[0-9a-f]{8}", item) and not item.isdigit():
                return UnknownCell(self._unknown(item))
        count = len(self.cells)
        span = f"#0 to #{count - 1}" if count else "none yet"
        known = ", ".join(repr(heading.text[:60]) for heading in self.headings()[:12])
        return BadRequest(
            f"cells={cells[:80]!r} names no cell. The notebook's {count} cells are {span}; pass ids, "
            f"positions such as '3-7', or a heading{': ' + known if known else ', of which it has none'}."
        )


def _empty(language: str) -> NotebookNode:
    metadata = {"language_info": {"name": language}}
    new: NotebookNode = v4.new_notebook(metadata=metadata)  # type: ignore[no-untyped-call] # nbformat's own
    return new


def _new_cell(cell_type: str, cell_id: str, source: str) -> NotebookNode:
    # nbformat's own makers validate each cell against the schema, 0.1 ms for each.
    of_code: dict[str, object] = {"execution_count": None, "outputs": []} if cell_type == "code" else {}
    new: NotebookNode = from_dict(  # type: ignore[no-untyped-call] # nbformat's own
        {"id": cell_id, "cell_type": cell_type, "metadata": {}, "source": source, **of_code}
    )
    return new


def _check_type(cell_type: str) -> None:
    if cell_type not in CELL_TYPES:
        raise BadRequest(f"There is no cell type {cell_type[:80]!r}: it is one of {', '.join(CELL_TYPES)}.")


def _change_type(cell: NotebookNode, cell_type: str) -> None:
    """Leave only what nbformat allows in a cell of that type."""
    for key in ("outputs", "execution_count") if cell_type != "code" else ("attachments",):
        cell.pop(key, None)
    cell["metadata"].pop("execution", None)
    if cell_type == "code":
        cell["outputs"], cell["execution_count"] = [], None
    cell["cell_type"] = cell_type


def _with_replaced(cell: NotebookNode, old: str, new: str) -> str:
    source: str = cell["source"]
    if not old:
        raise BadRequest("old_source is empty: pass the text to replace; without it the whole cell is replaced.")
    times = _occurrences(source, old)
    if times == 1:
        return source.replace(old, new)
    read = f"read_notebook(cells='{cell['id']}') shows the source."
    if times == 0:
        raise BadRequest(f"old_source is not in cell {cell['id']} (spaces and line ends count); {read}")
    raise BadRequest(f"old_source is {times} times in cell {cell['id']}: pass more text around it; {read}")


def _occurrences(text: str, part: str) -> int:
    """How often, overlapping ones too, since each is a place that could be meant."""
    count, at = 0, text.find(part)
    while at >= 0 and count < 1000:
        count, at = count + 1, text.find(part, at + 1)
    return count


def _headings(source: str) -> list[tuple[int, str]]:
    found = []
    fence = ""
    for line in source.splitlines():
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and (heading := _HEADING.fullmatch(line)):
            found.append((len(heading[1]), heading[2]))
    return found


def _closest_heading(headings: list[Heading], wanted: str) -> int | None:
    """Index of the heading that is called so, or else of the first whose text contains it."""
    name = " ".join(wanted.lstrip("# ").split()).casefold()
    texts = [" ".join(heading.text.split()).casefold() for heading in headings]
    if not name:
        return None
    if name in texts:
        return texts.index(name)
    return next((index for index, text in enumerate(texts) if name in text), None)
