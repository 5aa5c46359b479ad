"""get_output: every line can be had, by page and by search."""

import re

import pytest
from mcp import Client

from mcp_notebook.settings import Settings
from tests.calls import call, images_of, refused, run, status, text_of, value
from tests.live import code, write_notebook
from tests.test_tools import PICTURE

pytestmark = pytest.mark.anyio


async def every_page(client: Client, text: str) -> list[str]:
    """The pages from the call on that ``text`` ends with."""
    pages = []
    arguments = _next(text)
    while arguments:
        pages.append(await call(client, "get_output", **arguments))
        arguments = _next(pages[-1].splitlines()[-1])
    return pages


async def test_pages_hold_every_line_once(client: Client) -> None:
    """What an answer had no room for comes in order, and nothing comes twice."""
    text = await run(client, "for n in range(8000): print('line', n)")
    assert len(text) <= 20_500
    pages = await every_page(client, text)
    assert len(pages) > 3
    assert max(len(page) for page in pages) <= 20_000
    numbers = [int(n) for page in pages for n in re.findall(r"^line (\d+)$", page, re.MULTILINE)]
    assert numbers == list(range(8000))
    assert pages[-1].endswith("This is the end of the output.")


async def test_output_that_was_spilled_is_paged_and_searched(client: Client) -> None:
    """Beyond what the document keeps, the text comes from the state directory."""
    text = await run(client, "for n in range(60000): print(f'{n:06d} ' + 'x' * 30)")
    cell_id = value(text, "cell")
    found = await call(client, "get_output", cell_id=cell_id, search=r"^03\d\d07 ")
    assert "100 of 60,000 lines match" in found
    assert "30108: 030107 xxx" in found
    middle = await call(client, "get_output", cursor=f"{execution_of(text)}@1140000")
    assert "030000 xxx" in middle


async def test_a_search_goes_on_where_it_stopped(client: Client) -> None:
    """More matches than fit come in several answers, each line once."""
    text = await run(client, "for n in range(3000): print('match', n, '.' * 20)")
    arguments: dict[str, str] = {"execution_id": execution_of(text), "search": "match [0-9]+"}
    numbers: list[int] = []
    while arguments:
        found = await call(client, "get_output", **arguments)
        numbers += [int(n) for n in re.findall(r"match (\d+) \.", found)]
        arguments = _next(found.splitlines()[-1])
    assert numbers == list(range(3000))


async def test_a_bad_pattern_is_refused(client: Client) -> None:
    """The refusal says what is wrong with it."""
    text = await run(client, "print('a(b')")
    cell_id = value(text, "cell")
    assert "regular expression" in await refused(client, "get_output", cell_id=cell_id, search="a(b")
    assert "1: a(b" in await call(client, "get_output", cell_id=cell_id, search=r"a\(b")


async def test_a_pattern_that_takes_for_ever_is_stopped(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other calls are answered meanwhile, and the refusal says what to change."""
    monkeypatch.setattr("mcp_notebook.tools.searching.SEARCH_WITHIN_S", 1.0)
    cell_id = value(await run(client, "print('a' * 60 + 'b')"), "cell")
    assert "simpler pattern" in await refused(client, "get_output", cell_id=cell_id, search="^(a+)+$")
    assert (await run(client, "6 * 7")).endswith("42")


async def test_images_come_with_the_first_page(client: Client) -> None:
    """Also where the text around them is longer than a page."""
    text = await run(client, PICTURE + "\nprint('x' * 50_000)")
    first = await client.call_tool("get_output", {"cell_id": value(text, "cell")})
    assert len(images_of(first)) == 1
    second = await client.call_tool("get_output", _next(text_of(first).splitlines()[-1]))
    assert images_of(second) == []


async def test_what_a_running_cell_printed_can_be_followed(client: Client) -> None:
    """A cursor goes on with what was printed after the page before."""
    source = "import time\nprint('one', flush=True)\ninput()\nprint('two')"
    text = await run(client, source)
    execution_id = value(text, "execution_id")
    while "one" not in text:
        text = await call(client, "get_output", execution_id=execution_id)
    await call(client, "control_kernel", action="answer", text="go", execution_id=execution_id)
    rest = await call(client, "get_output", cursor=f"{execution_id}@4", wait_s=30)
    assert "two" in rest
    assert "one" not in rest


async def test_an_unknown_execution_is_refused(client: Client) -> None:
    """Also one that a cursor names."""
    await run(client, "1")
    assert "e-00000000" in await refused(client, "get_output", execution_id="e-00000000")
    assert "e-00000000" in await refused(client, "get_output", cursor="e-00000000@5")


def _next(line: str) -> dict[str, str]:
    """The arguments of the call that the line names."""
    match = re.search(r"get_output\((.*)\)", line)
    return dict(re.findall(r'(\w+)="([^"]*)"', match[1])) if match else {}


def execution_of(text: str) -> str:
    """The execution's id, out of the call that fetches the rest or of a header."""
    return value(text, "execution_id")


async def test_reading_a_running_cell_takes_nothing_from_it(client: Client) -> None:
    """However often it is looked at: every line and every display is in the notebook once, in order."""
    source = (
        "for n in range(3000):\n    print('line', n)\n"
        "    if n % 10 == 0: display({'text/plain': f'shown {n}'}, raw=True)"
    )
    text = await run(client, source, wait_s=0)
    execution_id = value(text, "execution_id")
    while status(text) in ("queued", "running"):
        text = await call(client, "get_output", execution_id=execution_id)
    assert status(text) == "ok"
    pages = [await call(client, "get_output", cursor=f"{execution_id}@0")]
    pages += await every_page(client, pages[0].splitlines()[-1])
    lines = re.findall(r"^(?:line|shown) \d+$", "\n".join(pages), re.MULTILINE)
    expected = [line for n in range(3000) for line in ([f"line {n}", f"shown {n}"] if n % 10 == 0 else [f"line {n}"])]
    assert lines == expected


async def test_a_search_sees_what_is_shown(client: Client) -> None:
    """Colours neither hide a match nor come with it, also in an output that is kept outside the document."""
    for count in (1, 60_000):
        text = await run(client, f"for n in range({count}): print('\\x1b[31merror\\x1b[0m', n, '.' * 20)")
        found = await call(client, "get_output", cell_id=value(text, "cell"), search="^error 0 ")
        assert f"1 of {count:,} lines match" in found
        assert "1: error 0 ..." in found
        assert "\x1b" not in found


async def test_outputs_that_came_with_the_file_are_fetched_as_well(client: Client, settings: Settings) -> None:
    """The call that read_notebook names for a cut output works, though its cell never ran in this session."""
    long = code("print('long')", count=3)
    long["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "".join(f"row {n}\n" for n in range(5000))}]
    write_notebook(settings.workspace / "with-outputs.ipynb", long, code("1"))
    told = await call(client, "read_notebook", path="with-outputs.ipynb")
    assert f"open_session(notebook='with-outputs.ipynb'), then get_output(cell_id='{long['id']}')" in told
    await call(client, "open_session", notebook="with-outputs.ipynb")
    assert f"get_output(cell_id='{long['id']}')" in await call(client, "read_notebook")
    first = await call(client, "get_output", cell_id=long["id"])
    pages = [first, *await every_page(client, first.splitlines()[-1])]
    assert first.startswith(f"[3] cell={long['id']} ")
    numbers = [int(n) for page in pages for n in re.findall(r"^row (\d+)$", page, re.MULTILINE)]
    assert numbers == list(range(5000))
    assert "1 of 5,000 lines match" in await call(client, "get_output", cell_id=long["id"], search="^row 77$")
