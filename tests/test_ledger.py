"""The ledger: the document as a next server finds it, whatever was done to it before."""

import random
from pathlib import Path

import pytest

from mcp_notebook.ledger import Ledger
from mcp_notebook.notebook import Notebook
from mcp_notebook.recalled import recall
from mcp_notebook.state import JOURNAL

EDITS = 200


@pytest.mark.parametrize("seed", range(5))
def test_cells_are_found_again_in_their_order(tmp_path: Path, seed: int) -> None:
    """After any row of additions at the end and elsewhere, moves and deletions, also under several servers."""
    chance = random.Random(seed)
    notebook = Notebook()
    ledger = Ledger(tmp_path, notebook)
    ledger.facts({"started": "now"})
    for number in range(EDITS):
        ids = [cell["id"] for cell in notebook.cells]
        match chance.choice(("append", "append", "append", "insert", "move", "delete")):
            case "append":
                ledger.cell(notebook.add_cell(f"x = {number}"))
            case "insert":
                ledger.cell(notebook.add_cell(f"y = {number}", after=chance.choice(["start", *ids])))
            case "move" if ids:
                moved = chance.choice(ids)
                notebook.move(moved, after=chance.choice(["start", None]))
                ledger.cell(notebook.cell(moved))
            case "delete" if ids:
                notebook.delete(chance.choice(ids))
                ledger.cell(None)
        if number % 20 == 19:
            found = recall(tmp_path)
            assert found is not None
            assert found.cells == notebook.cells
            ledger.close()
            ledger = Ledger(tmp_path, notebook, found)


def test_a_cell_at_the_end_is_written_without_all_others(tmp_path: Path) -> None:
    """The journal of a long notebook grows by what is new."""
    notebook = Notebook()
    ledger = Ledger(tmp_path, notebook)
    grown = []
    for number in range(300):
        before = (tmp_path / JOURNAL).stat().st_size
        ledger.cell(notebook.add_cell(f"x = {number:03}"))
        grown.append((tmp_path / JOURNAL).stat().st_size - before)
    assert grown[-1] == grown[0]
