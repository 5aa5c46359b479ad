"""What came of comparing a cell with what was stored of it."""

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["ok", "ignored", "skipped", "not run", "differs", "failed"]
GOOD: tuple[Verdict, ...] = ("ok", "ignored", "skipped")


@dataclass(frozen=True)
class Checked:
    """What came of one code cell; ``detail`` says how it differs, or how it failed."""

    position: int
    cell_id: str
    verdict: Verdict
    detail: str = ""
