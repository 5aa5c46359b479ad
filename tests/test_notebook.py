"""The document: cells by id, edits and their refusals, selection, ten thousand cells."""

import hashlib
import re

import nbformat
import pytest
from nbformat import NotebookNode

from mcp_notebook.errors import BadRequest, RevisionChanged, UnknownCell
from mcp_notebook.notebook import Notebook, revision


def sources(notebook: Notebook) -> list[str]:
    return [cell["source"] for cell in notebook.cells]


@pytest.fixture
def notebook() -> Notebook:
    """#0 title, #1 code, #2 section, #3 code, #4 subsection, #5 code, #6 section, #7 code."""
    made = Notebook()
    made.add_cell("# Sales\nWhat was sold.", cell_type="markdown")
    made.add_cell("import pandas")
    made.add_cell("## Load the data", cell_type="markdown")
    made.add_cell("df = read()")
    made.add_cell("### Clean, and check ###", cell_type="markdown")
    made.add_cell("df.dropna()")
    made.add_cell("## Model\n```\n# no heading\n```", cell_type="markdown")
    made.add_cell("fit(df)")
    return made


def test_a_new_notebook_is_valid_and_names_its_language() -> None:
    """What an empty document and one with a cell of each type hold is nbformat 4.5."""
    made = Notebook(language="julia")
    for cell_type in ("code", "markdown", "raw"):
        made.add_cell("x", cell_type=cell_type)
    nbformat.validate(made.node)
    assert made.node["metadata"]["language_info"]["name"] == "julia"


def test_the_revision_is_the_hash_of_type_and_source() -> None:
    """The rule is public, so a client may compute it; lone surrogates have one too."""
    cell = Notebook().add_cell("x = 1")
    assert revision(cell) == hashlib.sha256(b"code\nx = 1").hexdigest()[:8]
    cell["source"] = "'\ud800'"
    assert re.fullmatch("[0-9a-f]{8}", revision(cell))


def test_ids_are_eight_hex_digits_and_never_a_number() -> None:
    """An id of digits alone would read as a position."""
    made = Notebook()
    ids = [made.add_cell("")["id"] for _ in range(500)]
    assert len(set(ids)) == 500
    assert all(re.fullmatch("[0-9a-f]{8}", cell_id) and not cell_id.isdigit() for cell_id in ids)


def test_cells_without_an_id_or_with_another_s_get_their_own() -> None:
    """A file written elsewhere may have neither; each cell must be addressable."""
    node = nbformat.v4.new_notebook()  # type: ignore[no-untyped-call] # nbformat's own
    node["cells"] = [nbformat.v4.new_code_cell("a", id="same"), nbformat.v4.new_code_cell("b", id="same")]  # type: ignore[no-untyped-call] # nbformat's own
    node["cells"].append(NotebookNode(cell_type="raw", source="c", metadata={}))  # type: ignore[no-untyped-call] # nbformat's own
    made = Notebook(node)
    assert made.cell("same")["source"] == "a"
    assert len({cell["id"] for cell in made.cells}) == 3


def test_a_cell_goes_where_after_says() -> None:
    """After an id, at the start, at the end; behind a cell that is not there nothing is added."""
    made = Notebook()
    first = made.add_cell("a")
    made.add_cell("c")
    made.add_cell("b", after=first["id"])
    made.add_cell("0", after="start")
    assert sources(made) == ["0", "a", "b", "c"]
    with pytest.raises(UnknownCell):
        made.add_cell("x", after="ffffffff")
    with pytest.raises(BadRequest, match="code, markdown, raw"):
        made.add_cell("x", cell_type="heading")
    assert len(made.cells) == 4


def test_an_unknown_id_is_answered_with_similar_ones(notebook: Notebook) -> None:
    """A model that mistypes an id can mend it from the message."""
    known = notebook.cells[3]["id"]
    mistyped = ("0" if known[0] != "0" else "1") + known[1:]
    with pytest.raises(UnknownCell, match=known):
        notebook.cell(mistyped)
    with pytest.raises(UnknownCell, match="read_notebook"):
        notebook.position("nothing like it")


def test_a_whole_source_is_replaced_and_outputs_stay() -> None:
    """Outputs belong to what ran; that they are stale is told elsewhere."""
    made = Notebook()
    cell = made.add_cell("x")
    cell["outputs"] = [nbformat.v4.new_output("stream", text="1")]  # type: ignore[no-untyped-call] # nbformat's own
    changed = made.replace(cell["id"], "y")
    assert changed is cell
    assert (cell["source"], len(cell["outputs"])) == ("y", 1)


def test_exactly_the_old_source_is_replaced() -> None:
    """The rest stays, and the new text is taken literally."""
    made = Notebook()
    cell = made.add_cell("a = 1\nb = 2\n")
    made.replace(cell["id"], r"b = '\1'", old_source="b = 2")
    assert cell["source"] == "a = 1\nb = '\\1'\n"


@pytest.mark.parametrize(
    ("source", "old", "says"),
    [
        ("x = 1", "y", "not in cell"),
        ("x x x", "x", "3 times"),
        ("aaa", "aa", "2 times"),
        ("x", "", "empty"),
    ],
)
def test_an_old_source_that_is_not_there_once_is_refused(source: str, old: str, says: str) -> None:
    """Absent, not unique (overlaps are places too) or empty: the cell stays as it was."""
    made = Notebook()
    cell = made.add_cell(source)
    with pytest.raises(BadRequest, match=says):
        made.replace(cell["id"], "new", old_source=old, cell_type="markdown")
    assert (cell["source"], cell["cell_type"]) == (source, "code")


def test_a_changed_type_leaves_a_valid_cell() -> None:
    """Outputs go with code, attachments with Markdown; the id stays."""
    made = Notebook()
    cell = made.add_cell("x")
    cell["metadata"]["execution"] = {"iopub.execute_input": "2024-01-01"}
    cell["execution_count"] = 3
    cell["outputs"] = [nbformat.v4.new_output("stream", text="1")]  # type: ignore[no-untyped-call] # nbformat's own
    made.replace(cell["id"], None, cell_type="markdown")
    assert "outputs" not in cell and "execution_count" not in cell and not cell["metadata"]
    nbformat.validate(made.node)
    cell["attachments"] = {"a.png": {"image/png": ""}}
    made.replace(cell["id"], "y", cell_type="code")
    assert (cell["source"], cell["outputs"], cell["execution_count"]) == ("y", [], None)
    nbformat.validate(made.node)


@pytest.mark.parametrize("edit", ["replace", "delete", "move"])
def test_an_edit_of_an_outdated_revision_is_refused(notebook: Notebook, edit: str) -> None:
    """The message gives the current revision; with that one the edit is done."""
    cell = notebook.cells[1]
    before = sources(notebook)

    def act(seen: str) -> None:
        if edit == "replace":
            notebook.replace(cell["id"], "new", revision=seen)
        elif edit == "delete":
            notebook.delete(cell["id"], revision=seen)
        else:
            notebook.move(cell["id"], None, revision=seen)

    with pytest.raises(RevisionChanged, match=revision(cell)):
        act("00000000")
    assert sources(notebook) == before
    act(revision(cell))
    assert sources(notebook) != before


def test_a_deleted_cell_is_unknown() -> None:
    """Its neighbours are still found where they are now."""
    made = Notebook()
    ids = [made.add_cell(name)["id"] for name in "abc"]
    made.delete(ids[1])
    assert [made.position(ids[0]), made.position(ids[2])] == [0, 1]
    with pytest.raises(UnknownCell):
        made.cell(ids[1])


@pytest.mark.parametrize(
    ("which", "after", "order"),
    [(0, 2, "bca"), (2, "start", "cab"), (0, None, "bca"), (2, 0, "acb"), (1, 0, "abc")],
)
def test_a_cell_moves_behind_another(which: int, after: int | str | None, order: str) -> None:
    """``after`` means what it means for a new cell, also when both places shift."""
    made = Notebook()
    ids = [made.add_cell(name)["id"] for name in "abc"]
    made.move(ids[which], ids[after] if isinstance(after, int) else after)
    assert "".join(sources(made)) == order
    assert [made.position(cell["id"]) for cell in made.cells] == [0, 1, 2]


def test_a_cell_does_not_move_behind_itself_or_behind_nothing(notebook: Notebook) -> None:
    """Both are refused before the cell is taken out."""
    cell_id = notebook.cells[1]["id"]
    before = sources(notebook)
    for after in (cell_id, "ffffffff"):
        with pytest.raises(BadRequest):
            notebook.move(cell_id, after)
    assert sources(notebook) == before


@pytest.mark.parametrize(
    ("wanted", "positions"),
    [
        (None, range(8)),
        ("3", [3]),
        ("#3", [3]),
        ("3-5", [3, 4, 5]),
        ("#3 - #5", [3, 4, 5]),
        ("5, 1, 5-6", [5, 1, 6]),
        ("6-99", [6, 7]),
        ("Load the data", [2, 3, 4, 5]),
        ("## load the DATA", [2, 3, 4, 5]),
        ("Clean, and check", [4, 5]),
        ("Model", [6, 7]),
        ("Sales", range(8)),
        ("load", [2, 3, 4, 5]),
    ],
)
def test_cells_are_selected(notebook: Notebook, wanted: str | None, positions: list[int]) -> None:
    """All, by position and range, by heading with what belongs to it."""
    assert notebook.select(wanted) == [notebook.cells[position] for position in positions]


def test_cells_are_selected_by_id(notebook: Notebook) -> None:
    """In the order asked for, each once; an id of digits (written elsewhere) wins over a position."""
    a, b = notebook.cells[4], notebook.cells[1]
    assert notebook.select(f"{a['id']}, {b['id']},{a['id']}") == [a, b]
    notebook.cells[7]["id"] = "00000003"
    assert notebook.select("00000003") == [notebook.cells[7]]


@pytest.mark.parametrize("wanted", ["8", "no such heading", "no heading", "5-3", "", "1, nothing"])
def test_a_selection_of_nothing_says_what_there_is(notebook: Notebook, wanted: str) -> None:
    """The span of positions and the headings, so that the next call is right."""
    with pytest.raises(BadRequest, match="#0 to #7") as caught:
        notebook.select(wanted)
    assert "Load the data" in str(caught.value)


def test_an_unknown_id_in_a_selection_is_an_unknown_cell(notebook: Notebook) -> None:
    """Also beside known ones: a part of what was asked for is never silently left out."""
    with pytest.raises(UnknownCell):
        notebook.select(f"{notebook.cells[0]['id']}, deadbeef")


def test_headings_are_those_of_markdown_cells(notebook: Notebook) -> None:
    """Not comments in code, nor lines inside a fence; closing marks are no part of the text."""
    assert [(found.level, found.text, found.position) for found in notebook.headings()] == [
        (1, "Sales", 0),
        (2, "Load the data", 2),
        (3, "Clean, and check", 4),
        (2, "Model", 6),
    ]


def test_cells_changed_by_others_are_found(notebook: Notebook) -> None:
    """A merge with the file on disk replaces the node, or reorders its cells."""
    ids = [cell["id"] for cell in notebook.cells]
    notebook.cells.reverse()
    assert [notebook.position(cell_id) for cell_id in ids] == list(range(7, -1, -1))
    notebook.node = Notebook().node
    with pytest.raises(UnknownCell):
        notebook.cell(ids[0])


def test_looking_up_a_cell_does_not_walk_through_ten_thousand() -> None:
    """Counted, not timed: cells touched while each is added behind the last, and then found."""
    touched = 0

    class Counted(NotebookNode):
        def __getitem__(self, key: str) -> object:
            nonlocal touched
            touched += 1
            return super().__getitem__(key)

    made = Notebook()
    last = made.add_cell("0")["id"]
    for number in range(10_000):
        last = made.add_cell(str(number), after=last)["id"]
    made.cells[:] = [Counted(cell) for cell in made.cells]  # type: ignore[no-untyped-call] # nbformat's own
    for cell in made.select(None):
        assert made.cell(str(dict.get(cell, "id"))) is cell
    assert touched < 50_000
