"""Outputs that later messages change, wherever they are shown."""

from mcp_notebook.outputs import MANY_DISPLAYS, Displays, OutputCollector
from tests.test_outputs import message


def test_displays_that_nobody_shows_any_more_are_forgotten() -> None:
    """A cell that shows and clears for ever keeps no list of what it has shown."""
    displays = Displays()
    cell = OutputCollector(displays)
    for number in range(5000):
        cell.add(message("display_data", data={"text/plain": "x"}, transient={"display_id": str(number)}))
        cell.clear()
    assert len(displays._shown) <= 2 * MANY_DISPLAYS
