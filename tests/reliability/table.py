"""The tables of docs/reliability.md: who was killed where, and what was there afterwards; what interrupts a cell."""

from tests.environments import REPOSITORY
from tests.reliability.desk import COLUMNS, ERAS, MOMENTS
from tests.reliability.matrix import Found, cases
from tests.reliability.trial import cancels
from tests.reliability.victims import CASES

PAGE = REPOSITORY / "docs" / "reliability.md"
KILLS, INTERRUPTS = "table", "interrupts"
"""How the page marks them."""
ALL, ALL_BUT_THE_REST, NO_RELAY = "all", "all, see (1)", "no relay"


def table(found: Found) -> str:
    """As Markdown."""
    places = list(dict.fromkeys((column.transport, column.era) for column in COLUMNS))
    titles = [f"{transport}, {ERAS[era]}" for transport, era in places]
    lines = [f"| killed | when | {' | '.join(titles)} |", "|---" * (2 + len(titles)) + "|"]
    for victims in CASES:
        for moment in MOMENTS:
            cells = [
                _cell(found[victims, column], cancels(column, victims)) if victims in cases(column) else NO_RELAY
                for column in COLUMNS
                if column.moment == moment
            ]
            lines.append(f"| {' and '.join(victims)} | {moment} | {' | '.join(cells)} |")
    return "\n".join(lines)


def on_page(which: str = KILLS) -> str:
    """What the page says."""
    begin, end = _marks(which)
    return PAGE.read_text().partition(begin)[2].partition(end)[0].strip()


def put_on_page(text: str, which: str = KILLS) -> None:
    """Replace what the page says."""
    begin, end = _marks(which)
    before, _, rest = PAGE.read_text().partition(begin)
    PAGE.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.partition(end)[2]}")


def _marks(which: str) -> tuple[str, str]:
    return f"<!-- {which}: begin -->", f"<!-- {which}: end -->"


def _cell(lost: dict[str, str], cancelled: bool) -> str:
    if lost:
        return f"lost: {', '.join(lost)}"
    return ALL_BUT_THE_REST if cancelled else ALL
