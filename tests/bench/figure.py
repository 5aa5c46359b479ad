"""One line of the table: what was measured, the floor beside it, and the bar for their ratio."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import quantiles
from typing import Literal

Unit = Literal["ms", "s", "cells/s", "MB", "KB", "lines"]


@dataclass(frozen=True)
class Bar:
    """What the ratio must keep to."""

    sign: Literal["<=", ">=", "="]
    limit: float

    def holds(self, ratio: float) -> bool:
        """Whether a ratio keeps to it."""
        match self.sign:
            case "<=":
                return ratio <= self.limit
            case ">=":
                return ratio >= self.limit
        return ratio == self.limit

    def __str__(self) -> str:
        return f"{self.sign} {self.limit:g}"


@dataclass(frozen=True)
class Figure:
    """``ours`` and ``floor`` in the same unit; ``against`` says what the floor is."""

    name: str
    ours: float
    floor: float
    unit: Unit
    against: str
    bar: Bar | None = None

    @property
    def ratio(self) -> float:
        """Ours to floor."""
        return self.ours / self.floor if self.floor else float("inf")

    @property
    def met(self) -> bool | None:
        """None where nothing was promised."""
        return self.bar.holds(self.ratio) if self.bar else None

    @property
    def columns(self) -> tuple[str, ...]:
        """As text, in the order of ``HEADINGS``."""
        verdict = {True: "yes", False: "NO", None: ""}[self.met]
        amounts = (f"{_rounded(amount)} {self.unit}" for amount in (self.ours, self.floor))
        return (self.name, _rounded(self.ratio), str(self.bar or ""), verdict, *amounts, self.against)


HEADINGS = ("figure", "ratio", "bar", "met", "ours", "floor", "the floor is")


def at_most(limit: float) -> Bar:
    """Ours may be this many times the floor."""
    return Bar("<=", limit)


def at_least(limit: float) -> Bar:
    """Ours has to be this many times the floor."""
    return Bar(">=", limit)


def percentile(samples: Sequence[float], percent: int) -> float:
    """The value that ``percent`` of the samples do not exceed."""
    return quantiles(samples, n=100, method="inclusive")[percent - 1]


def table(figures: Sequence[Figure]) -> str:
    """All figures as a Markdown table that can also be read as it is."""
    rows = [HEADINGS, *(figure.columns for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    rule = "|".join("-" * (width + 2) for width in widths)
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"


def _rounded(amount: float) -> str:
    """Three digits that mean something."""
    if abs(amount) >= 100:
        return f"{amount:,.0f}"
    return f"{amount:.2f}" if abs(amount) < 10 else f"{amount:.1f}"
