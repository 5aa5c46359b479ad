"""Outputs that no reader could bear: each gives an answer of a bearable length that says what was left out."""

import json

import pytest
from mcp import Client
from mcp_types import CallToolResult

from tests.calls import call, images_of, refused, run, status, structured, text_of, value

pytestmark = pytest.mark.anyio

MOST_BYTES = 60_000
MOST_ON_THE_WIRE = 900_000
PIXELS = """\
import base64, io
from IPython.display import Image, display
from PIL import Image as Picture
def show(size, times=1):
    file = io.BytesIO()
    picture = Picture.effect_noise((size, size), 50) if size < 9000 else Picture.new("1", (size, size))
    picture.save(file, "PNG")
    for _ in range(times):
        display(Image(file.getvalue()))
"""


async def ran(client: Client, source: str) -> CallToolResult:
    """The result of a cell that ends well, which is never too long."""
    result = await client.call_tool("execute_cell", {"source": source})
    text = text_of(result)
    assert status(text) == "ok", text
    assert len(text.encode()) < MOST_BYTES
    assert len(result.model_dump_json()) < MOST_ON_THE_WIRE
    return result


@pytest.mark.parametrize(
    "source",
    [
        "print('y' * 50_000_000)",
        "print('line\\n' * 500_000)",
        "display({'text/html': '<b>' + 'h' * 20_000_000 + '</b>'}, raw=True)",
        "display({'text/markdown': '# ' + 'm' * 20_000_000}, raw=True)",
        "print('\\U0001F600' * 1_000_000)",
        "print('\\x1b[31m\\0' * 1_000_000)",
    ],
)
async def test_long_texts_are_cut_and_their_rest_is_named(client: Client, source: str) -> None:
    """The last line is the call that fetches the rest, and it does."""
    text = text_of(await ran(client, source))
    if "left out" in text:
        last = text.splitlines()[-1]
        assert last.startswith("The rest: get_output(")
        page = await call(client, "get_output", execution_id=value(last, "execution_id"))
        assert len(page.encode()) < MOST_BYTES


async def saved(client: Client) -> str:
    """The notebook, saved and read from disk."""
    path = (await call(client, "save_notebook")).splitlines()[0].removeprefix("Saved ")
    return await call(client, "read_notebook", path=path)


async def test_images_too_many_and_too_large(client: Client) -> None:
    """Eight of 500 are shown and the others counted; 30 MB are shown smaller; 400 million pixels are not decoded."""
    await run(client, PIXELS)
    many = await ran(client, "show(60, 500)")
    assert len(images_of(many)) == 8
    assert text_of(many).count("\n") == 1
    assert "[492 more images are in the notebook and not shown here" in text_of(many)
    assert len(images_of(await ran(client, "show(5500)"))) == 1
    assert "of too many pixels to be shown" in text_of(await ran(client, "show(20_000)"))


@pytest.mark.parametrize("payload", ["'no base64!'", "'aGVsbG8='", "5", "None", "['a', 5]", "{'a': 1}"])
async def test_images_that_are_none(client: Client, payload: str) -> None:
    """They are named, and the notebook is saved without what no notebook can hold."""
    result = await ran(client, f"display({{'image/png': {payload}}}, raw=True)")
    assert "[image/png, " in text_of(result)
    assert images_of(result) == []
    assert "1 cell" in await saved(client)


@pytest.mark.parametrize("levels", [90, 101, 400, 900])
async def test_json_that_is_nested_deeply(client: Client, levels: int) -> None:
    """It is shown, or left out and named; the cell ends well, and the notebook can be saved."""
    source = f"deep = []\nfor _ in range({levels}): deep = [deep]\ndisplay({{'application/json': deep}}, raw=True)"
    text = text_of(await ran(client, source))
    assert ("application/json: nested too deeply" in text) == (levels > 99)
    assert "[" in (await saved(client)).split("raw=True", 1)[1]


async def test_a_question_of_a_megabyte(client: Client) -> None:
    """Its end is shown, and so it is answered."""
    text = await run(client, "answer = input('x' * 1_000_000 + ' sure? ')")
    assert status(text) == "waiting_for_input"
    assert "sure?" in text
    assert len(text) < 2000
    assert status(await call(client, "control_kernel", action="answer", text="yes")) == "ok"


async def test_a_cell_behind_a_question_says_who_must_answer(client: Client) -> None:
    """Whoever waits in the queue is told what it waits for, and a run as well."""
    asking = value(await run(client, "name = input('name? ')"), "cell")
    behind = await run(client, "name", wait_s=0)
    assert status(behind) == "queued"
    assert f"Cell {asking} waits for input: 'name?'" in behind
    assert 'control_kernel(action="answer"' in behind
    every = await call(client, "control_kernel", action="run_all", wait_s=0)
    assert f"Cell {asking} waits for input" in every
    await call(client, "control_kernel", action="answer", text="Ada")
    execution_id = value(behind, "execution_id")
    assert (await call(client, "get_output", execution_id=execution_id, wait_s=60)).endswith("'Ada'")
    await call(client, "control_kernel", action="kill")


async def test_a_cursor_beyond_the_end(client: Client) -> None:
    """It is the end, and says so."""
    execution_id = value(await run(client, "print('x' * 50_000)"), "execution_id")
    text = await call(client, "get_output", cursor=f"{execution_id}@999999999")
    assert "of 50,001" in text
    assert "999,999" not in text
    assert text.endswith("This is the end of the output.")


async def test_status_names_stale_cells(client: Client) -> None:
    """With the reason, the first of them only where they are many."""
    cell_id = value(await run(client, "1"), "cell")
    await call(client, "control_kernel", action="restart")
    found = json.loads(await call(client, "control_kernel", action="status"))
    assert (found["stale_cells"], list(found["stale"])) == (1, [cell_id])


async def test_a_run_that_stopped_names_the_call_that_shows_why(client: Client) -> None:
    """The traceback is one call away."""
    await run(client, "1 / 0")
    text = await call(client, "control_kernel", action="run_all")
    assert "stopped at cell" in text
    why = await call(client, "get_output", execution_id=value(text, "execution_id"))
    assert "ZeroDivisionError" in why


async def test_thousands_of_variables(client: Client) -> None:
    """The list is cut and says how many there are."""
    await run(client, "globals().update({'v' * 50 + str(n): 'x' * 10_000 for n in range(3000)})")
    found = await structured(client, "inspect_variables")
    assert found["total"] >= 3000
    assert len(json.dumps(found)) < MOST_BYTES
    assert len(await refused(client, "inspect_variables", name="no" * 100)) < 4000
