"""Cells are recognised after their text was edited elsewhere."""

import pytest

from mcp_notebook.files.ipynb import node
from mcp_notebook.files.matching import match

A, B, C, D = (f"{name} = load('{name}.csv')\n{name}.describe()" for name in ("alpha", "beta", "gamma", "delta"))


def cells(*sources: str) -> list:  # type: ignore[type-arg]  # nodes
    """Code cells, or markdown where the source starts with ``md:``."""
    made = []
    for source in sources:
        kind = "markdown" if source.startswith("md:") else "code"
        made.append(node({"cell_type": kind, "source": source.removeprefix("md:")}))
    return made


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param([A, B, C], [A, B, C], [0, 1, 2], id="same"),
        pytest.param([A, B, C], [A, B + "\n# more", C], [0, 1, 2], id="edit"),
        pytest.param([A, B, C], [A, D, B, C], [0, None, 1, 2], id="insert"),
        pytest.param([A, B, C], [A, C], [0, 2], id="delete"),
        pytest.param([A, B, C], [C, B, A], [2, 1, 0], id="reverse"),
        pytest.param([A, B, C], [B, C, A], [1, 2, 0], id="move"),
        pytest.param([A, B, C], [C, A, B + "\n# more"], [2, 0, 1], id="move and edit"),
        pytest.param([A, B, C], [A, "import os", B + "\n# more", C], [0, None, 1, 2], id="insert and edit next"),
        pytest.param([A + "\n" + B, C], [A, B, C], [0, None, 1], id="split"),
        pytest.param([A, B, C], [A + "\n" + B, C], [0, 2], id="join"),
        pytest.param([A, B, C], [A, "md:" + B, C], [0, 1, 2], id="code to markdown"),
        pytest.param([A, B, C], [A, "rewritten()", C], [0, 1, 2], id="rewritten"),
        pytest.param([A, "", "", C], [A, "", "", "", C], [0, 1, 2, None, 3], id="empty cells"),
        pytest.param([A, A, A], [A, A], [0, 1], id="equal cells"),
        pytest.param([], [A], [None], id="from nothing"),
        pytest.param([A], [], [], id="to nothing"),
        pytest.param([A, B], [A.replace("'", '"'), B.replace("'", '"')], [0, 1], id="reformat"),
    ],
)
def test_matching(old: list[str], new: list[str], expected: list[int | None]) -> None:
    """Each new cell finds the old one that it is; no old one is found twice."""
    found = match(cells(*new), cells(*old))
    if len(new) != len(old) and "" in old:  # which of several empty cells is new cannot be told
        assert sorted(i for i in found if i is not None) == list(range(len(old)))
    else:
        assert found == expected


def test_reformatting_thousands_of_cells() -> None:
    """A formatter run over 2,000 cells keeps every one."""
    old = cells(*(f"value_{i} = compute('input-{i}', {i})" for i in range(2000)))
    new = cells(*(f'value_{i} = compute("input-{i}", {i})' for i in range(2000)))
    assert match(new, old) == list(range(2000))


def test_thousands_of_equal_cells() -> None:
    """10,000 equal cells, some taken away, are matched without comparing all pairs."""
    found = match(cells(*["x"] * 9_000, "y", *["x"] * 900), cells(*["x"] * 10_000))
    assert sum(index is not None for index in found) == 9_900
