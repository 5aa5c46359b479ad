"""What came of comparing a cell with what was stored of it."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "ignored", "skipped", "not stored", "not run", "differs", "failed"]
"""``not stored`` is a cell that ran well and had not run before: there was nothing to compare."""
GOOD: tuple[Verdict, ...] = ("ok", "ignored", "skipped", "not stored")


@dataclass(frozen=True)
class Checked:
    """What came of one code cell; ``detail`` says how it differs, or how it failed."""

    position: int
    cell_id: str
    verdict: Verdict
    detail: str = ""
