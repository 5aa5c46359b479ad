"""What arrives is what was sent; what cannot be meant is refused with what to do."""

from typing import Any

import pytest
from mcp import Client

from tests.calls import call, refused, run, status, structured, value
from tests.conftest import ERAS

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS, indirect=True)

LOOKS_LIKE_JSON = ["123", '"null"', "null", "true", "[1, 2]", '{"a": 1}', "-0.5", '"text"', "NaN"]


@both_eras
@pytest.mark.parametrize("source", LOOKS_LIKE_JSON)
async def test_a_source_that_looks_like_json_stays_a_source(client: Client, source: str) -> None:
    """The cell holds exactly the text that was sent."""
    inserted = await call(client, "edit_cell", edit_mode="insert", source=source, cell_type="raw")
    text = await call(client, "read_notebook", cells=value(inserted, "cell"))
    assert source in text.splitlines()


async def test_a_source_that_looks_like_json_runs(client: Client) -> None:
    """Its value is that of the Python expression."""
    assert (await run(client, "[1, 2]")).endswith("[1, 2]")
    assert (await run(client, '"null"')).endswith("'null'")


@pytest.mark.parametrize("line", ["42", "null", '{"a": 1}', "true", ""])
async def test_the_answer_to_an_input_stays_a_line(client: Client, line: str) -> None:
    """``text`` reaches input() as it was sent."""
    asked = await run(client, "print(repr(input('name? ')))")
    assert status(asked) == "waiting_for_input"
    assert "name?" in asked
    answered = await call(client, "control_kernel", action="answer", text=line)
    assert status(answered) == "ok"
    assert repr(line) in answered


@both_eras
async def test_an_unknown_argument_is_refused(client: Client) -> None:
    """The refusal names the parameter that was meant and all there are, and nothing runs."""
    text = await refused(client, "execute_cell", source="1", wait=5)
    assert "no parameter 'wait'" in text
    assert "Did you mean 'wait_s'?" in text
    assert "cell_id" in text
    assert (await structured(client, "list_sessions"))["sessions"] == []


@pytest.mark.parametrize("wait_s", [-1, 3601, "soon", "nan", [1]])
async def test_a_wait_that_cannot_be_meant_is_refused(client: Client, wait_s: Any) -> None:
    """Negative, endless and absurd waits are refused before anything runs."""
    assert "wait_s" in await refused(client, "execute_cell", source="1", wait_s=wait_s)
    assert (await structured(client, "list_sessions"))["sessions"] == []


async def test_a_null_stands_for_nothing(client: Client) -> None:
    """Clients that send null for what they leave out are served."""
    assert status(await run(client, "1", cell_id=None, wait_s=None, session=None)) == "ok"


@pytest.mark.parametrize(
    ("tool", "arguments", "named"),
    [
        ("execute_cell", {"source": 5}, "source"),
        ("execute_cell", {"source": "a\ud800b"}, "source"),
        ("edit_cell", {"edit_mode": "rewrite"}, "edit_mode"),
        ("edit_cell", {"cell_type": "code block"}, "cell_type"),
        ("read_notebook", {"outputs": "some"}, "outputs"),
        ("control_kernel", {}, "action"),
        ("control_kernel", {"action": "explode"}, "action"),
        ("control_kernel", {"action": "answer"}, "text"),
        ("control_kernel", {"action": "restart", "text": "x"}, "text"),
        ("control_kernel", {"action": "status", "dry_run": True}, "dry_run"),
        ("control_kernel", {"action": "kill", "execution_id": "e-1"}, "execution_id"),
        ("control_kernel", {"action": "restart", "request_id": "x"}, "request_id"),
        ("get_output", {}, "execution_id"),
        ("get_output", {"cursor": "e-1@5", "execution_id": "e-2"}, "cursor"),
        ("get_output", {"cell_id": "x", "search": "y" * 1001}, "search"),
        ("get_output", {"cursor": "page 2"}, "cursor"),
        ("list_sessions", {"session": "x"}, "no parameters"),
    ],
)
async def test_wrong_arguments_are_named(client: Client, tool: str, arguments: dict[str, Any], named: str) -> None:
    """The refusal names the argument, and no session is opened for it."""
    assert named in await refused(client, tool, **arguments)
    assert (await structured(client, "list_sessions"))["sessions"] == []


async def test_odd_sources_get_an_answer(client: Client) -> None:
    """A NUL byte, an empty cell and a source of 5 MB each get an answer, and the kernel lives."""
    assert "NUL" in await refused(client, "execute_cell", source="x = 1\0")
    assert status(await run(client, "")) == "ok"
    assert (await run(client, f"len('{'x' * 5_000_000}')")).endswith("5000000")
