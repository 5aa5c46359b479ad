"""The table of docs/reliability.md: who was killed where, and what was there afterwards."""

from tests.environments import REPOSITORY
from tests.reliability.desk import COLUMNS, ERAS, MOMENTS
from tests.reliability.matrix import Found, cases
from tests.reliability.trial import cancels
from tests.reliability.victims import CASES

PAGE = REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
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


def on_page() -> str:
    """What the page says."""
    return PAGE.read_text().partition(BEGIN)[2].partition(END)[0].strip()


def put_on_page(text: str) -> None:
    """Replace what the page says."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


def _cell(lost: dict[str, str], cancelled: bool) -> str:
    if lost:
        return f"lost: {', '.join(lost)}"
    return ALL_BUT_THE_REST if cancelled else ALL
