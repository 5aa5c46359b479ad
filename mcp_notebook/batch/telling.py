"""The result of a run as lines of text, for people and models.   Pure."""

import json
from collections import Counter
from collections.abc import Sequence

from mcp_notebook.batch.checked import GOOD, Checked
from mcp_notebook.batch.results import Result

SCRAP_CHARS = 8000
LISTED = 200
"""Cells of which each is named with what came of it; of more, those that are not good."""
TOLD = 20
"""Cells whose outputs differ."""


def told(result: Result) -> list[str]:
    """How it ended, the cell that failed, what differs from what was stored, the scraps, and where the copy is."""
    lines = [_head(result), *result.notes]
    if result.message:
        lines.append(result.message)
    if result.checked is not None:
        lines += compared(result.checked)
    if result.scraps:
        scraps = json.dumps(dict(result.scraps), ensure_ascii=False, default=str)
        lines.append(f"Scraps: {_cut(scraps)}")
    if result.output_path is not None:
        lines.append(f"Executed copy: {result.output_path}")
    return lines


def compared(checked: Sequence[Checked]) -> list[str]:
    """A line on all, and some for each cell that is not as it was stored."""
    counts = Counter(each.verdict for each in checked)
    amounts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    lines = [f"Compared with the stored outputs: {amounts or 'no code cell'}."]
    if len(checked) <= LISTED:
        lines += [", ".join(f"#{each.position} {each.verdict}" for each in checked)] if checked else []
    bad = [each for each in checked if each.verdict not in GOOD]
    for each in bad[:TOLD]:
        detail = f"\n{each.detail}" if "\n" in each.detail else f": {each.detail}" if each.detail else ""
        lines.append(f"#{each.position} cell={each.cell_id} {each.verdict}{detail}")
    return lines + ([f"and {len(bad) - TOLD} more"] if len(bad) > TOLD else [])


def _cut(text: str) -> str:
    return text if len(text) <= SCRAP_CHARS else f"{text[:SCRAP_CHARS]} ... ({len(text):,} characters, see the copy)"


def _head(result: Result) -> str:
    head = f"{result.status}: {result.cells} cells ran in {result.seconds:.2f} s"
    failure = result.failure
    if failure is None:
        return head
    why = f": {failure.ename}: {failure.evalue}" if failure.ename else ""
    return f"{head}; stopped at #{failure.position} cell={failure.cell_id}{why}"
