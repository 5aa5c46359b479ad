"""A notebook to be read as text: one cell in full, or the outline of a long one.

Pure. Each cell begins with a line that names its position (``#3``), id and revision, by
which it is addressed in other calls.
"""

import re
from collections.abc import Mapping
from typing import Literal

from nbformat import NotebookNode

from mcp_notebook.notebook import Heading, Notebook
from mcp_notebook.render.blocks import MOST_BYTES, outputs_text, shortened
from mcp_notebook.terminal import plain

Outputs = Literal["none", "brief", "full"]
BRIEF_CHARS = 600
LEAST_BYTES = 4 * BRIEF_CHARS
MOST_LINES = 300
"""Of an outline that gives each cell a line, when there are headings to name instead."""
LINE_CHARS = 100


def cell_markdown(
    cell: NotebookNode,
    *,
    position: int,
    revision: str,
    mark: str | None,
    outputs: Outputs,
    chars: int,
    size: int = MOST_BYTES,
    rest: str,
) -> str:
    """A cell as Markdown: the line that names it, its source, its outputs.

    About ``chars`` and ``size`` bytes of UTF-8 at most. ``mark`` says that it runs, or why it is stale. Outputs
    that are cut end with ``rest``, the call that fetches them.
    """
    source = _sound(cell["source"])
    parts = [_name(cell, position, revision, mark), shortened(source, max(chars, BRIEF_CHARS), size)]
    if cell["cell_type"] != "markdown":
        parts[1] = _fenced(parts[1])
    if cell["cell_type"] == "code" and outputs != "none":
        room = BRIEF_CHARS if outputs == "brief" else max(BRIEF_CHARS, chars - len(parts[1]))
        size = max(LEAST_BYTES, size - len(parts[1].encode()))
        parts += _output_parts(cell, room, size, rest.format(cell_id=cell["id"]))
    return "\n".join(parts) + "\n"


def outline(notebook: Notebook, marks: Mapping[str, str], *, chars: int = 20_000) -> str:
    """A line for each cell; where that is too long, one for each heading with the cells below it.

    ``marks``, by cell: that it runs, or why it is ``stale: ...``.
    """
    count = len(notebook.cells)
    stale = sum(map(_is_stale, marks.values()))
    first = f"{count} cells, {stale} stale. read_notebook(cells=...) reads some: '3-7', ids or a heading."
    headings = notebook.headings()
    if not headings or count <= MOST_LINES:
        text = "\n".join([first, *_cell_lines(notebook, marks)])
        if not headings or len(text) <= chars:
            return shortened(text, chars)
    return shortened("\n".join([first, *_section_lines(notebook, headings, marks)]), chars)


def _name(cell: NotebookNode, position: int, revision: str, mark: str | None) -> str:
    kind = "" if cell["cell_type"] == "code" else f"{cell['cell_type']} "
    count = f" [{cell['execution_count']}]" if cell.get("execution_count") else ""
    tags = ", ".join(str(tag) for tag in cell["metadata"].get("tags", []))
    return (
        f"#{position} {kind}cell={cell['id']} rev={revision}{count}"
        f"{f' tags: {tags}' if tags else ''}{f' {mark}' if mark else ''}"
    )


def _output_parts(cell: NotebookNode, room: int, size: int, rest: str) -> list[str]:
    text = outputs_text(cell.get("outputs", [])).rstrip("\n")
    if not text:
        return []
    cut = shortened(text, room, size)
    parts = ["Output:", _fenced(cut)]
    return parts if cut == text else [*parts, rest]


def _fenced(text: str) -> str:
    """In a fence that is longer than any in the text."""
    longest = max((len(ticks) for ticks in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}\n{text}\n{fence}"


def _is_stale(mark: str) -> bool:
    return mark.startswith("stale")


def _cell_lines(notebook: Notebook, marks: Mapping[str, str]) -> list[str]:
    return [
        f"{_name_in_outline(cell, position)} {_first_line(cell)}{_in_brackets(marks.get(cell['id']))}"
        for position, cell in enumerate(notebook.cells)
    ]


def _in_brackets(mark: str | None) -> str:
    return f" ({mark.partition(':')[0]})" if mark else ""


def _name_in_outline(cell: NotebookNode, position: int) -> str:
    count = f" [{cell['execution_count']}]" if cell.get("execution_count") else ""
    failed = any(output["output_type"] == "error" for output in cell.get("outputs", []))
    return f"#{position} {cell['id']} {cell['cell_type']}{count}{' error' if failed else ''}:"


def _first_line(cell: NotebookNode) -> str:
    lines = (line.strip() for line in _sound(cell["source"][:5000]).splitlines())
    line = next((line for line in lines if line), "(empty)")
    return line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]}..."


def _section_lines(notebook: Notebook, headings: list[Heading], marks: Mapping[str, str]) -> list[str]:
    stale_at = [_is_stale(marks.get(cell["id"], "")) for cell in notebook.cells]
    starts = [heading.position for heading in headings]
    lines = []
    if starts[0] > 0:
        lines.append(_span("(no heading)", 0, starts[0], stale_at))
    for heading, end in zip(headings, [*starts[1:], len(stale_at)], strict=True):
        lines.append(_span(_heading_text(heading), heading.position, end, stale_at))
    return lines


def _heading_text(heading: Heading) -> str:
    return f"{'#' * heading.level} {_sound(heading.text)[:LINE_CHARS]}"


def _span(title: str, start: int, end: int, stale_at: list[bool]) -> str:
    """``## Model: #12-#40, 3 stale``: the cells from one heading to before the next."""
    last = max(start, end - 1)
    where = f"#{start}" if last == start else f"#{start}-#{last}"
    count = sum(stale_at[start : last + 1])
    return f"{title}: {where}{f', {count} stale' if count else ''}"


def _sound(text: str) -> str:
    """Source as it can be sent: no colours, no control characters, no lone surrogates."""
    return plain(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
