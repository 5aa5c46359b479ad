"""docs/hermes_runtime.md: its examples run as they stand, and its figures are those that are measured."""

import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_notebook.policy import Policy
from tests.bench.many_files import by_one_cell, by_tool_calls, table, write_modules
from tests.environments import REPOSITORY
from tests.runtime.documented import ADDRESS, WORKSPACE, agrees, blocks_of, filesystem, notebook, prepare, run
from tests.runtime.searxng import searxng
from tests.runtime.web_servers import answer, serving

pytestmark = pytest.mark.anyio

PAGE = (REPOSITORY / "docs" / "hermes_runtime.md").read_text()
MEASURED = "read_multiple_files"
"""Only the measured cell calls it."""
ARTICLE = "<html><head><title>Kernels</title></head><body><article><h1>Kernels</h1><p>{}</p></article></body></html>"
SENTENCES = "A kernel runs the code of a notebook and keeps its variables. " * 5


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[str]:
    """Those of the page, for a search engine that knows two pages of a server of our own."""
    with serving({"/kernels": answer(ARTICLE.format(SENTENCES)), "/other": answer("x")}) as web:
        rows = [("Kernels", web.url("/kernels"), "What kernels are"), ("More", web.url("/other"), "More of kernels")]
        with searxng(tmp_path, rows) as address:
            (shown,) = blocks_of(PAGE, "toml")
            yield shown.text.replace(ADDRESS, address) + "private_addresses = true\n"


def project(base: Path) -> Path:
    """The workspace, with all that the page speaks of."""
    workspace = base / "project"
    (shown,) = blocks_of(PAGE, "json")
    prepare(workspace, shown.text)
    write_modules(workspace)
    return workspace


async def test_examples_run_as_shown(tmp_path: Path, settings: str) -> None:
    """Each block of Python, one after the other in one session, gives what is below it."""
    workspace = project(tmp_path)
    blocks = blocks_of(PAGE, "python")
    assert len(blocks) > 10
    wrong = []
    async with notebook(tmp_path, settings) as client:
        for block in blocks:
            header, real = await run(client, block.text)
            real = real.replace(str(workspace), WORKSPACE)
            if " ok " not in header or not (block.shown is None or agrees(block.shown, real)):
                wrong.append(f"{block.text}\ngave\n{header}\n{real}\nand not\n{block.shown}")
    assert wrong == [], "\n\n".join(wrong)


def test_the_settings_that_it_shows_are_settings() -> None:
    """By their names."""
    (shown,) = blocks_of(PAGE, "toml")
    Policy(**tomllib.loads(shown.text)["runtime"])


async def test_the_measured_example(tmp_path: Path) -> None:
    """Both ways find the same, and the page has the characters of each."""
    workspace = project(tmp_path)
    (block,) = (each for each in blocks_of(PAGE, "python") if MEASURED in each.text)
    (shown,) = blocks_of(PAGE, "toml")
    async with filesystem(workspace) as files:
        without_code = await by_tool_calls(files)
    async with notebook(tmp_path, shown.text) as client:
        with_code = await by_one_cell(client, block.text)
    assert with_code.answer == without_code.answer
    measured = table(without_code, with_code)
    ratio = f"{without_code.characters / with_code.characters:,.0f} times"
    assert (measured in PAGE, ratio in PAGE) == (True, True), f"{measured}\n{ratio}"
