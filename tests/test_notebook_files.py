"""Notebook files made, edited and compared through a real MCP client: no kernel is started for it."""

import json
import subprocess
from pathlib import Path

import anyio
import pytest
from mcp import Client

from mcp_notebook.files import locate, read
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.calls import call, refused, run, structured, value
from tests.live import opened
from tests.notebooks import code, notebook, saved, text

pytestmark = pytest.mark.anyio


@pytest.fixture
def place(settings: Settings, request: pytest.FixtureRequest) -> Path:
    """A directory of the workspace for one test."""
    made = settings.workspace / str(request.node.name).partition("[")[0]
    made.mkdir()
    return made


def git(directory: Path, *arguments: str) -> None:
    """In a repository of somebody who has told git his name."""
    name = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    subprocess.run(["git", *name, *arguments], cwd=directory, check=True, capture_output=True)


async def test_a_new_notebook_is_made_filled_in_and_run(client: Client, settings: Settings) -> None:
    """From the description of a task to a session on the file, with parameters of every kind."""
    said = await call(
        client,
        "notebook_create",
        task_description="Check the fleet's health.\n\nWhich hosts have no space left?",
        parameters={
            "threshold": 0.5,
            "hosts": ["a", "b"],
            "limit": None,
            "label": 'a "quoted"\ntext',
            "deep": {"x": 1},
        },
    )
    assert said.splitlines()[0] == "Created notebooks/check-the-fleets-health.py with 10 cells:"
    assert "#1 code [parameters]: threshold = 0.5" in said
    path = "notebooks/check-the-fleets-health.py"
    assert not (settings.workspace / path).with_suffix(".ipynb").exists()
    assert "#3 cell=" in await call(client, "notebook_edit", path=path, cell_index=3, new_source="import math\n")
    assert not (settings.workspace / path).with_suffix(".ipynb").exists()
    again = await call(client, "notebook_create", task_description="Check the fleet's health")
    assert "Created notebooks/check-the-fleets-health-2.py" in again
    await structured(client, "open_session", notebook=path)
    assert "5 of 5" in await call(client, "control_kernel", action="run_all")
    shown = await run(client, "threshold, hosts, limit, label, deep, math.pi > 3")
    assert "(0.5, ['a', 'b'], None, 'a \"quoted\"\\ntext', {'x': 1}, True)" in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"task_description": " \n"}, "task_description is empty"),
        ({"task_description": "x" * 30_000}, "30,000 characters"),
        ({"task_description": "x", "path": "../x.py"}, "outside the workspace"),
        *(({"task_description": "x", "path": path}, "names no file") for path in ("", ".", "a/", "x.py/", "..", ".py")),
        ({"task_description": "x", "path": "x.ipynb"}, "a new notebook is a .py file"),
        ({"task_description": "x", "path": "x.md"}, "a new notebook is a .py file"),
        ({"task_description": "x", "parameters": {"not a name": 1}}, "cannot be the name of a parameter"),
        ({"task_description": "x", "parameters": {"class": 1}}, "cannot be the name of a parameter"),
        ({"task_description": "x", "path": ".git/x.py"}, "inside of git's own directory"),
    ],
)
async def test_what_makes_no_notebook(client: Client, arguments: dict[str, object], said: str) -> None:
    """Each refusal says what is wrong, and no file is made."""
    assert said in await refused(client, "notebook_create", **arguments)


async def test_nothing_is_overwritten(client: Client, place: Path) -> None:
    """Neither a notebook, nor its .ipynb, nor a script, nor a link that leads nowhere, nor what a session has open."""
    (place / "script.py").write_text("import os\n")
    (place / "book.ipynb").write_text("{}")
    (place / "dangling.py").symlink_to("nowhere.py")
    for name in ("script", "book", "dangling"):
        said = await refused(client, "notebook_create", task_description="x", path=f"{place.name}/{name}.py")
        assert "is there already, and nothing was written" in said
    assert (place / "script.py").read_text() == "import os\n"
    await structured(client, "open_session", notebook=f"{place.name}/unsaved.py")
    assert "already" in await refused(client, "notebook_create", task_description="x", path=f"{place.name}/unsaved.py")
    assert not (place / "unsaved.py").exists()
    assert not (place / "dangling.ipynb").exists()


async def test_twenty_made_at_once_are_twenty(client: Client, settings: Settings) -> None:
    """Each under a name of its own."""
    made: list[str] = []

    async def make() -> None:
        made.append(await call(client, "notebook_create", task_description="At once"))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(make)
    assert len({said.splitlines()[0] for said in made}) == 20
    assert len(list((settings.workspace / "notebooks").glob("at-once*.py"))) == 20


async def test_an_edit_of_a_pair_changes_that_cell_in_both_files(client: Client, place: Path) -> None:
    """All else stays: ids, outputs, metadata, every other byte of the text."""
    cells = [code("a", "import os", shown="a", name="n"), text("m", "# T"), code("b", "x = 1", shown="1\n", tags=["t"])]
    saved(place, *cells)
    before, stored = (place / "a.py").read_text(), json.loads((place / "a.ipynb").read_text())
    said = await call(client, "notebook_edit", path=f"{place.name}/a.py", cell_index=2, new_source="x = 2\n")
    assert said.startswith("edited #2 cell=b rev=")
    assert "in a.py and a.ipynb" in said
    assert "-x = 1\n+x = 2" in said
    assert "Its outputs are those of the source before, until it is run again." in said
    assert (place / "a.py").read_text() == before.replace("x = 1", "x = 2")
    stored["cells"][2]["source"] = ["x = 2"]
    now = json.loads((place / "a.ipynb").read_text())
    assert now["metadata"].pop("mcp_notebook") != stored["metadata"].pop("mcp_notebook")
    assert now == stored
    again = await call(client, "notebook_edit", path=f"{place.name}/a", cell_index=2, new_source="x = 2")
    assert "says that already: nothing was written" in again


async def test_an_edit_of_a_pair_whose_ipynb_was_edited_alone(client: Client, place: Path) -> None:
    """What JupyterLab without jupytext has changed in the .ipynb gets into the text with it."""
    saved(place, code("a", "x = 1"), code("b", "y = 2"))
    book = json.loads((place / "a.ipynb").read_text())
    book["cells"][0]["source"] = ["x = 'lab'"]
    (place / "a.ipynb").write_text(json.dumps(book))
    said = await call(client, "notebook_edit", path=f"{place.name}/a.py", cell_index=1, new_source="y = 3")
    assert "The .ipynb was edited by a program that left a.py as it was" in said
    for name in ("a.py", "a.ipynb"):
        assert "x = 'lab'" in (place / name).read_text()
        assert "y = 3" in (place / name).read_text()


async def test_an_edit_beside_a_cell_that_only_the_ipynb_can_say(client: Client, place: Path) -> None:
    """It stays as it is there."""
    saved(place, code("a", "x = 1\n# %%\nz = 3"), code("b", "z = 3"))
    await call(client, "notebook_edit", path=f"{place.name}/a.py", cell_index=1, new_source="z = 4")
    assert [cell["source"] for cell in read(locate("a.py", place)).notebook.cells] == ["x = 1\n# %%\nz = 3", "z = 4"]


async def test_an_edit_of_a_markdown_cell(client: Client, place: Path) -> None:
    """Its text is given without comment signs."""
    saved(place, text("m", "# T"), code("b", "x = 1"))
    await call(client, "notebook_edit", path=f"{place.name}/a.py", cell_index=0, new_source="# U\n\n- one\n# %%")
    assert "# # U\n#\n# - one\n# # %%\n\n# %%\nx = 1\n" in (place / "a.py").read_text()
    assert [cell["id"] for cell in read(locate("a.py", place)).notebook.cells] == ["m", "b"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"cell_index": 3}, "Its 3 cells are #0 to #2"),
        ({"cell_index": -1}, "cell_index"),
        ({"cell_index": 0, "new_source": "x\n# %%\ny"}, "cannot say this source as one cell"),
        ({"cell_index": 0, "new_source": "x\0"}, "NUL"),
        ({"cell_index": 0, "path": "none.py"}, "There is no none.py"),
        ({"cell_index": 0, "path": "../a.py"}, "outside the workspace"),
    ],
)
async def test_edits_that_cannot_be_made(
    client: Client, settings: Settings, arguments: dict[str, object], said: str
) -> None:
    """Each refusal says what is wrong; both files are as they were."""
    place = settings.workspace / "refused-edits"
    if not place.exists():
        place.mkdir()
        saved(place)
    before = {path.name: path.read_bytes() for path in place.iterdir()}
    path = {"path": "refused-edits/a.py", "new_source": "x"}
    assert said in await refused(client, "notebook_edit", **path | arguments)
    assert {path.name: path.read_bytes() for path in place.iterdir()} == before


async def test_forty_edits_at_once_are_all_there(client: Client, place: Path) -> None:
    """Of as many cells of one notebook."""
    saved(place, *(code(f"c{i}", f"x{i} = 0") for i in range(40)))

    async def change(number: int) -> None:
        await call(
            client, "notebook_edit", path=f"{place.name}/a.py", cell_index=number, new_source=f"x{number} = 'new'"
        )

    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(change, number)
    assert (place / "a.py").read_text().count("'new'") == 40
    assert (place / "a.ipynb").read_text().count("'new'") == 40


async def test_a_session_takes_an_edit_of_its_file_in(client: Client, place: Path) -> None:
    """At once, with what it has not saved; what both changed is kept twice."""
    saved(place, code("a", "x = 1"), code("b", "y = 2"))
    path = f"{place.name}/a.py"
    await structured(client, "open_session", notebook=path)
    await call(client, "edit_cell", cell_id="b", source="y = 'session'")
    said = await call(client, "notebook_edit", path=path, cell_index=0, new_source="x = 'file'")
    assert "has it open and took the change in" in said
    shown = await call(client, "read_notebook")
    assert "x = 'file'" in shown
    assert "y = 'session'" in shown
    said = await call(client, "notebook_edit", path=path, cell_index=1, new_source="y = 'file'")
    assert "Cell b was changed here and on disk" in said
    await call(client, "save_notebook")
    both = (place / "a.py").read_text()
    assert "y = 'session'" in both
    assert "y = 'file'" in both


async def test_positions_of_the_file_and_of_a_session_that_differ(client: Client, place: Path) -> None:
    """A session with a cell that is not saved counts differently, which is said."""
    saved(place, code("a", "x = 1"), code("b", "y = 2"))
    path = f"{place.name}/a.py"
    await structured(client, "open_session", notebook=path)
    await run(client, "first = 0", after="start")
    said = await call(client, "notebook_edit", path=path, cell_index=1, new_source="y = 3")
    assert said.startswith("edited #1 cell=b")
    assert "There this cell is #2, not #1: the session has cells that are not saved" in said


async def test_what_conflicts_on_saving_is_shown_by_cell(client: Client, place: Path) -> None:
    """Both versions stay, and the answer shows what differs between them."""
    saved(place, code("a", "x = 1\ny = 2"), code("b", "z = 3"))
    await structured(client, "open_session", notebook=f"{place.name}/a.py")
    await call(client, "edit_cell", cell_id="a", source="x = 'session'\ny = 2")
    (place / "a.py").write_text((place / "a.py").read_text().replace("x = 1", "x = 'disk'").replace("z = 3", "z = 4"))
    said = await call(client, "save_notebook")
    assert "merged by cell (edited there: b)" in said
    assert "Cell a was changed here and on disk: yours stays, the disk's follows as cell" in said
    assert "-x = 'session'\n+x = 'disk'\n y = 2" in said
    both = (place / "a.py").read_text()
    assert "x = 'session'\ny = 2\n\n# %% tags=[\"conflict-on-disk\"]\nx = 'disk'\ny = 2\n" in both
    assert "z = 4" in both


async def test_another_agents_session_is_left_to_it(client: Client, sessions: Sessions, place: Path) -> None:
    """It is said, and its notebook changes when it looks."""
    saved(place, code("a", "x = 1"))
    async with opened(sessions, notebook=str(place / "a.py")) as other:
        said = await call(client, "notebook_edit", path=f"{place.name}/a.py", cell_index=0, new_source="x = 2")
        assert f"The session {other.name} has it open and takes the change in when it reads or saves" in said
        assert other.notebook.cell("a")["source"] == "x = 1"
        await other.refresh()
        assert other.notebook.cell("a")["source"] == "x = 2"


async def test_a_foreign_text_changes_once_and_it_is_said(client: Client, place: Path) -> None:
    """As jupytext itself would write it; from then on by the cell alone."""
    (place / "a.py").write_text("#%%\nx = 1\n\n\n\n#%% tags=['a']\ny = 2\n")
    first = await call(client, "notebook_edit", path=f"{place.name}/a.py", cell_index=0, new_source="x = 2")
    assert "a.py was not laid out as jupytext writes it, and now is, this once" in first
    assert (place / "a.py").read_text() == '# %%\nx = 2\n\n# %% tags=["a"]\ny = 2\n'
    second = await call(client, "notebook_edit", path=f"{place.name}/a.py", cell_index=0, new_source="x = 3")
    assert "laid out" not in second


async def test_changes_since_a_commit_are_shown(client: Client, place: Path) -> None:
    """With what a session has not saved named, and secrets of its outputs masked."""
    git(place, "init", "--quiet")
    saved(place, code("a", "x = 1"), code("b", "y = 2"))
    git(place, "add", ".")
    git(place, "commit", "--quiet", "-m", "A notebook")
    path = f"{place.name}/a.py"
    await call(client, "notebook_edit", path=path, cell_index=1, new_source="y = 3")
    said = await call(client, "notebook_diff", path=path)
    assert said.startswith("HEAD (")
    assert "Cells: 1 changed." in said
    assert "#1 cell=b changed\n@@ -1 +1 @@\n-y = 2\n+y = 3" in said
    await structured(client, "open_session", notebook=path)
    cell = value(await run(client, "z = 4"), "cell")
    said = await call(client, "notebook_diff", path=path)
    assert "changes that are not saved, and not in this diff" in said
    assert cell not in said
    assert "neither a revision" in await refused(client, "notebook_diff", path=path, against="nonsense")


async def test_a_notebook_is_compared_with_another(client: Client, place: Path) -> None:
    """Without git."""
    saved(place, code("a", "x = 1"))
    (place / "b.ipynb").write_text(json.dumps(notebook(code("a", "x = 2"))))
    said = await call(client, "notebook_diff", path=f"{place.name}/a.py", against=f"{place.name}/b.ipynb")
    assert "-x = 2\n+x = 1" in said
