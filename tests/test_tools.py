"""The tools through a real MCP client and a real kernel: run, edit, read, save, inspect."""

from pathlib import Path

import anyio
import nbformat
import pytest
from mcp import Client

from mcp_notebook.settings import Settings
from tests.calls import call, images_of, refused, run, status, structured, text_of, value
from tests.conftest import ERAS

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS, indirect=True)

PICTURE = """\
from IPython.display import Image, display
import base64
print("before")
display(Image(base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M/wHwAEBgIApD5fRAAAAABJRU5ErkJggg==")))
print("after")"""


@both_eras
async def test_variables_stay_between_cells(client: Client) -> None:
    """The first call opens a session by itself; the second one sees what the first one left."""
    first = await run(client, "x = 20 + 1")
    assert status(first) == "ok"
    assert first.count("\n") == 0
    second = await run(client, "x * 2")
    assert second.splitlines()[1] == "42"
    assert second.startswith("[2] ok ")


@both_eras
async def test_text_and_images_come_in_order(client: Client) -> None:
    """An image is a block of its own between the texts around it."""
    result = await client.call_tool("execute_cell", {"source": PICTURE})
    assert [block.type for block in result.content] == ["text", "image", "text"]
    assert images_of(result)[0].mime_type == "image/png"
    assert text_of(result).endswith("after")
    assert result.structured_content is None


async def test_an_exception_is_an_ordinary_result(client: Client) -> None:
    """Five failing cells in a row are no failed calls, and the next one works."""
    for _ in range(5):
        text = await run(client, "1 / 0")
        assert status(text) == "error"
        assert "ZeroDivisionError" in text
    assert status(await run(client, "1")) == "ok"


async def test_a_cell_is_corrected_in_its_place(client: Client) -> None:
    """Source and cell_id together edit the cell and run it; cell_id alone runs it again."""
    cell_id = value(await run(client, "print('wrnog')"), "cell")
    corrected = await run(client, "print('right')", cell_id=cell_id)
    assert corrected.endswith("right")
    assert value(corrected, "cell") == cell_id
    assert (await call(client, "execute_cell", cell_id=cell_id)).endswith("right")
    assert "1 cell," in await call(client, "read_notebook")


async def test_a_changed_cell_is_not_run_by_mistake(client: Client) -> None:
    """With the revision that was read, an edit by somebody else is noticed."""
    first = await run(client, "a = 1")
    cell_id, seen = value(first, "cell"), value(first, "rev")
    edited = await call(client, "edit_cell", cell_id=cell_id, source="a = 2")
    assert value(edited, "rev") != seen
    assert value(edited, "rev") in await refused(client, "execute_cell", cell_id=cell_id, revision=seen)


async def test_a_new_cell_goes_where_it_is_wanted(client: Client) -> None:
    """``after`` is a cell's id, "start", or the end when it is left out."""
    first = value(await run(client, "'first'"), "cell")
    last = value(await run(client, "'last'"), "cell")
    middle = value(await run(client, "'middle'", after=first), "cell")
    top = value(await run(client, "'top'", after="start"), "cell")
    text = await call(client, "read_notebook", outputs="none")
    places = [text.index(f"cell={cell}") for cell in (top, first, middle, last)]
    assert places == sorted(places)


async def test_neither_source_nor_cell_runs_nothing(client: Client) -> None:
    """The refusal says what is needed, and no session is opened for it."""
    assert "needs source" in await refused(client, "execute_cell")
    assert (await structured(client, "list_sessions"))["sessions"] == []


async def test_an_unknown_cell_is_named(client: Client) -> None:
    """The text of the refusal is the product's own, without a prefix of the SDK."""
    await run(client, "1")
    text = await refused(client, "execute_cell", cell_id="deadbeef")
    assert "deadbeef" in text
    assert not text.startswith("Error executing")


async def test_cells_are_edited_without_running(client: Client) -> None:
    """Insert, replace a part, move and delete; each answer tells the cell's place."""
    heading = await call(client, "edit_cell", edit_mode="insert", source="# Title", cell_type="markdown")
    assert heading.endswith("at #0 (markdown)")
    code = value(await run(client, "rate = 0.10\nprint(rate)"), "cell")
    part = await call(client, "edit_cell", cell_id=code, old_source="0.10", source="0.25")
    assert value(part, "cell") == code
    absent = await refused(client, "edit_cell", cell_id=code, old_source="0.99", source="1")
    assert "old_source is not in cell" in absent
    text = await call(client, "read_notebook")
    assert "rate = 0.25" in text
    assert "stale" in text
    assert "at #0" in await call(client, "edit_cell", cell_id=code, edit_mode="move", after="start")
    assert "1 cell left" in await call(client, "edit_cell", cell_id=code, edit_mode="delete")


async def test_the_pair_is_saved_and_read_again(client: Client, settings: Settings) -> None:
    """Both files are where the answer says, valid, and can be read without a session."""
    await run(client, "print('kept')")
    saved = await call(client, "save_notebook", path="kept.ipynb")
    paths = [Path(line.removeprefix("Saved ")) for line in saved.splitlines() if line.startswith("Saved ")]
    assert settings.workspace / "kept.ipynb" in paths
    node = nbformat.read(settings.workspace / "kept.ipynb", as_version=4)  # type: ignore[no-untyped-call] # nbformat's own
    nbformat.validate(node)
    text = await call(client, "read_notebook", path="kept.ipynb")
    assert "kept.ipynb: 1 cell" in text
    assert "print('kept')" in text


@pytest.mark.parametrize("path", ["../outside.ipynb", "/etc/passwd", "notes.txt"])
async def test_only_notebooks_of_the_workspace_are_touched(client: Client, path: str) -> None:
    """A path outside the workspace, or of no notebook, is refused for reading and for writing."""
    assert path.split("/")[-1] in await refused(client, "read_notebook", path=path)
    await run(client, "1")
    assert path.split("/")[-1] in await refused(client, "save_notebook", path=path)


@pytest.fixture
def elsewhere(settings: Settings, tmp_path: Path) -> Path:
    """A directory outside the workspace to which ``link`` in the workspace leads."""
    (settings.workspace / "link").symlink_to(tmp_path)
    return tmp_path


async def test_a_link_does_not_lead_out_of_the_workspace(client: Client, elsewhere: Path) -> None:
    """Real paths count, not names."""
    await run(client, "1")
    assert "link" in await refused(client, "save_notebook", path="link/stolen.ipynb")
    assert "stolen.ipynb" not in await run(client, f"import os; os.listdir({str(elsewhere)!r})")


async def test_a_long_notebook_comes_as_an_outline(client: Client) -> None:
    """Parts of it can be read by a heading, by positions and by ids."""
    await call(client, "edit_cell", edit_mode="insert", source="# Part one", cell_type="markdown")
    for number in range(12):
        source = f"value_{number} = 0\n" + "# filler\n" * 300
        inserted = await call(client, "edit_cell", edit_mode="insert", source=source)
    await call(client, "edit_cell", edit_mode="insert", source="# Part two", cell_type="markdown")
    outline = await call(client, "read_notebook")
    assert "Part two" in outline
    assert len(outline) < 22_000
    assert "value_3" in await call(client, "read_notebook", cells="3-4")
    assert "value_11" in await call(client, "read_notebook", cells=value(inserted, "cell"))
    assert "value_0" in await call(client, "read_notebook", cells="Part one")


@both_eras
async def test_variables_are_told(client: Client) -> None:
    """All of them in short, one of them in depth."""
    await run(client, "numbers = list(range(1000)); name = 'x'")
    assert "numbers" in str(await structured(client, "inspect_variables"))
    assert "1000" in str(await structured(client, "inspect_variables", name="numbers"))


@both_eras
async def test_each_agent_has_its_own_session(client: Client) -> None:
    """With two sessions on a connection, a call must say which; their variables are apart."""
    first = (await structured(client, "open_session", name="first"))["session"]
    second = (await structured(client, "open_session", name="second"))["session"]
    await run(client, "who = 1", session=first)
    await run(client, "who = 2", session=second)
    text = await refused(client, "execute_cell", source="who")
    assert first in text
    assert second in text
    assert (await run(client, "who", session=first)).endswith("1")
    listed = await structured(client, "list_sessions")
    assert [each["session"] for each in listed["sessions"]] == [first, second]


async def test_a_forged_handle_is_answered_like_an_unknown_one(client: Client) -> None:
    """Nothing can be learned from the answer, except what to call."""
    handle = (await structured(client, "open_session", name="mine"))["session"]
    forged = handle[:-1] + ("a" if handle[-1] != "a" else "b")
    texts = {
        (await refused(client, "execute_cell", source="1", session=each)).replace(each, "HANDLE")
        for each in (forged, "never-existed")
    }
    assert len(texts) == 1


@both_eras
async def test_a_long_cell_hands_back_an_execution(client: Client) -> None:
    """After wait_s the call returns; the cell goes on, and its end can be waited for."""
    source = "import time\nprint('begun')\ntime.sleep(0.5)\nprint('ended')"
    text = await run(client, source, wait_s=0)
    assert status(text) in ("running", "queued")
    execution_id = value(text, "execution_id")
    end = await call(client, "get_output", execution_id=execution_id, wait_s=30)
    assert status(end) == "ok"
    assert end.endswith("ended")


@both_eras
async def test_progress_tells_the_latest_line(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a call waits its client hears of it, with seconds that only grow."""
    monkeypatch.setattr("mcp_notebook.tools.waiting.PROGRESS_EVERY_S", 0.05)
    heard: list[tuple[float, str | None]] = []
    enough = anyio.Event()

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))
        if len(heard) >= 3 and message == "working":
            enough.set()

    source = "import time, pathlib\nprint('working')\nwhile not pathlib.Path('enough').exists(): time.sleep(0.01)"
    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                await client.call_tool("execute_cell", {"source": source}, progress_callback=listen)

            tasks.start_soon(ask)
            await enough.wait()
            await call(client, "control_kernel", action="interrupt")
    seconds = [progress for progress, _ in heard]
    assert seconds == sorted(set(seconds))


async def test_progress_tells_that_a_kernel_starts(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first call of a connection may take a while before its cell begins."""
    monkeypatch.setattr("mcp_notebook.tools.waiting.PROGRESS_EVERY_S", 0.01)
    heard: list[str | None] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    await client.call_tool("open_session", {}, progress_callback=listen)
    assert "starting a kernel" in heard


@both_eras
async def test_cancelling_a_call_stops_its_cell(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cell of the cancelled call is interrupted, the kernel and its variables stay."""
    monkeypatch.setattr("mcp_notebook.tools.waiting.PROGRESS_EVERY_S", 0.05)
    await run(client, "kept = 7\nimport time")
    running = anyio.Event()

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        running.set()

    with anyio.fail_after(60):
        async with anyio.create_task_group() as tasks:

            async def ask() -> None:
                await client.call_tool(
                    "execute_cell", {"source": "while True: time.sleep(0.01)"}, progress_callback=listen
                )

            tasks.start_soon(ask)
            await running.wait()
            tasks.cancel_scope.cancel()
        assert (await run(client, "kept")).endswith("7")
    assert "interrupted" in await call(client, "get_output", cell_id=await _cell_at(client, 1))


async def _cell_at(client: Client, position: int) -> str:
    return value(await call(client, "read_notebook", cells=str(position), outputs="none"), "cell")
