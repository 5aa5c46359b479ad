"""Answers about much output: none is too long, nothing of it is lost, and the server keeps little of it.

Through real clients; how a single answer is cut is in test_render.py, what a page is in test_output_pages.py.
"""

import os
import re
from pathlib import Path

import pytest
from mcp import Client

from tests.bench.mcp_client import size_of
from tests.bench.processes import children, command_line, rss_bytes
from tests.calls import call, run, status, text_of, value
from tests.programs import program
from tests.test_output_pages import every_page, execution_of

pytestmark = pytest.mark.anyio
wide = pytest.mark.parametrize(
    "character", ["\N{GRINNING FACE}", "\N{CJK UNIFIED IDEOGRAPH-6F22}"], ids=["emoji", "CJK"]
)

MOST_BYTES = 60_000
"""Of UTF-8 in the text of one result."""
LINES = 200_000
PRINT_LINES = f"for n in range({LINES}): print('line', n)"
SOUGHT = 123_456
LONG_LINES = 20_000
PRINT_LONG_LINES = f"for n in range({LONG_LINES}): print('line', n, '.' * 100)"
"""As much text as ``PRINT_LINES``, in a tenth of the time."""
LONG_LINES_BYTES = sum(len(f"line {n} {'.' * 100}\n") for n in range(LONG_LINES))


def longest_bytes(texts: list[str]) -> int:
    """Bytes of UTF-8 in the longest of the texts."""
    return max(len(text.encode()) for text in texts)


async def test_every_one_of_many_lines_can_be_had(client: Client) -> None:
    """The answer is short; the pages hold each line once and in order, and a search finds the one that is sought."""
    result = await client.call_tool("execute_cell", {"source": PRINT_LINES})
    text = text_of(result)
    assert status(text) == "ok"
    assert size_of(result) < MOST_BYTES
    pages = await every_page(client, text)
    assert longest_bytes(pages) <= MOST_BYTES
    numbers = [int(n) for page in pages for n in re.findall(r"^line (\d+)$", page, re.MULTILINE)]
    assert len(numbers) == LINES
    assert next((pair for pair in enumerate(numbers) if pair[0] != pair[1]), None) is None
    found = await call(client, "get_output", execution_id=execution_of(text), search=f" {SOUGHT}$")
    assert found.splitlines()[1:] == [f"{SOUGHT + 1}: line {SOUGHT}"]


async def test_the_server_keeps_little_of_what_cells_print(tmp_path: Path) -> None:
    """Ten cells of 2 MB make its process grow by less than five times the text of one."""
    async with program(tmp_path) as client:
        for _ in range(2):
            await run(client, PRINT_LONG_LINES)
        (server,) = (child for child in children(os.getpid()) if "mcp_notebook" in command_line(child))
        before = rss_bytes(server)
        for _ in range(10):
            assert status(await run(client, PRINT_LONG_LINES)) == "ok"
        grown = rss_bytes(server) - before
    assert grown < 5 * LONG_LINES_BYTES


@wide
async def test_wide_characters_in_an_output(client: Client, character: str) -> None:
    """Neither the answer nor a page is too long, and the pages hold every character once."""
    text = await run(client, f"print('{character}' * 30_000)")
    pages = await every_page(client, text)
    assert longest_bytes([text, *pages]) <= MOST_BYTES
    assert sum(page.count(character) for page in pages) == 30_000


@wide
@pytest.mark.parametrize(
    ("source", "count"),
    [("print('{thousand}')", 40), ("print('{character}' * 1000)", 40), ("print('" + "{thousand}" * 20 + "')", 1)],
    ids=["sources", "outputs", "one cell"],
)
async def test_wide_characters_in_cells(client: Client, character: str, source: str, count: int) -> None:
    """Neither the notebook nor its cells, asked for with their outputs, are too long."""
    for _ in range(count):
        await run(client, source.format(character=character, thousand=character * 1000))
    notebook = await call(client, "read_notebook", outputs="full")
    cells = await call(client, "read_notebook", outputs="full", cells=f"0-{count - 1}")
    assert character * 1000 in cells
    assert longest_bytes([notebook, cells]) <= MOST_BYTES


@wide
async def test_wide_characters_in_lines_that_are_found(client: Client, character: str) -> None:
    """No answer of the search is too long, and all of them together hold every line once."""
    execution_id = value(await run(client, f"for _ in range(2000): print('{character}' * 60)"), "execution_id")
    answers = await every_page(client, f'get_output(execution_id="{execution_id}", search=".")')
    assert longest_bytes(answers) <= MOST_BYTES
    numbers = [int(n) for answer in answers for n in re.findall(rf"^(\d+): {character * 60}$", answer, re.MULTILINE)]
    assert numbers == list(range(1, 2001))


async def test_a_cut_says_how_much_it_leaves_out(client: Client) -> None:
    """Also of an output that is kept outside the document: all of it, not of what the document has of it."""
    whole = "".join(f"line {n}\n" for n in range(LINES))
    text = await run(client, f"for n in range({LINES}): print('line', n)")
    match = re.search(r"\[\.\.\. ([\d,]+) characters left out", text)
    assert match is not None, text
    left_out = int(match[1].replace(",", ""))
    shown = "".join(line + "\n" for line in text.splitlines() if line.startswith("line "))
    assert left_out == len(whole) - len(shown)


async def test_a_notebook_is_read_through_by_the_calls_that_it_names(client: Client) -> None:
    """Each answer names the cells that it had no room for."""
    for number in range(60):
        await call(client, "edit_cell", edit_mode="insert", source=f"cell_{number} = '{'x' * 1000}'")
    text = await call(client, "read_notebook", cells="0-59")
    seen = re.findall(r"^cell_(\d+) = ", text, re.MULTILINE)
    while match := re.search(r'read_notebook\(cells="([^"]+)"\)$', text):
        text = await call(client, "read_notebook", cells=match[1])
        seen += re.findall(r"^cell_(\d+) = ", text, re.MULTILINE)
    assert seen == [str(number) for number in range(60)]


async def test_variables_with_wide_names_stay_within_an_answer(client: Client) -> None:
    """As text and as structured content together."""
    await run(client, "for n in range(500): globals()['變' * 50 + str(n)] = '\N{GRINNING FACE}' * 500")
    result = await client.call_tool("inspect_variables", {})
    assert 0 < len(result.model_dump_json(by_alias=True).encode()) < MOST_BYTES
    one = await client.call_tool("inspect_variables", {"name": "變" * 50 + "7"})
    assert 0 < len(one.model_dump_json(by_alias=True).encode()) < MOST_BYTES
