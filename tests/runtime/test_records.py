"""What is kept of calls: in the notebook, in the journal, across servers; and the notebook as its own cells see it."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest

from mcp_notebook.policy import Policy
from mcp_notebook.render.bundles import bundle_text
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.daemons import User
from tests.live import alone, opened, ran, text_of
from tests.relays import Relays

pytestmark = pytest.mark.anyio


@pytest.fixture
async def session(sessions: Sessions) -> AsyncIterator[Session]:
    """A session with a kernel of its own."""
    async with opened(sessions) as session:
        await ran(session, "from hermes_runtime import *")
        yield session


def calls_of(session: Session) -> list[dict[str, Any]]:
    """What the last cell's metadata tells."""
    calls: list[dict[str, Any]] = session.notebook.cells[-1]["metadata"]["mcp_notebook"].get("calls", [])
    return calls


async def test_every_call_is_in_its_cells_metadata(session: Session) -> None:
    """Name, seconds and whether it went well; nothing of what was asked or answered."""
    await ran(session, "terminal('true'); terminal('exit 3'); read_file('missing'); web_search('')")
    calls = calls_of(session)
    assert [(call["name"], call["ok"]) for call in calls] == [
        ("terminal", True),
        ("terminal", True),  # the command failed, the call did not
        ("read_file", False),
        ("web_search", False),
    ]
    assert all(set(call) == {"name", "seconds", "ok"} and call["seconds"] >= 0 for call in calls)
    await ran(session, "this_notebook(); 1")
    assert calls_of(session) == []


async def test_saved_and_run_again(session: Session) -> None:
    """They are in the .ipynb, in no .py, and those of the latest run only."""
    execution = await ran(session, "terminal('true')")
    await session.execute_cell(cell_id=execution.cell_id)
    while session.pending:
        await session.pending[0].changed()
    saved = await session.save("calls.py")
    text, notebook = (path.read_text() for path in saved.paths)
    assert "seconds" not in text
    assert [len(cell["metadata"]["mcp_notebook"].get("calls", [])) for cell in json.loads(notebook)["cells"]] == [0, 1]


async def test_arguments_and_answers_when_asked_for(settings: Settings) -> None:
    """By a setting, also of calls that failed."""
    async with alone(replace(settings, runtime=Policy(record_arguments=True))) as session:
        await ran(session, "from hermes_runtime import *; terminal('echo hi'); read_file('missing')")
        first, second = calls_of(session)
        assert first["args"]["command"] == "echo hi"
        assert first["answer"]["output"] == "hi"
        assert second["args"]["path"] == "missing"
        assert "not found" in second["answer"]["error"].lower()
        await ran(session, "write_file('big.txt', 'x' * 1_000_000)")
        assert calls_of(session)[0]["args"].endswith(" more characters]")
        assert len(calls_of(session)[0]["args"]) < 51_000


async def test_a_call_that_outlasts_its_cell(session: Session, tmp_path: Path) -> None:
    """Made by a thread: it is in the cell that made it, when it ends."""
    os.mkfifo(tmp_path / "end")
    command = f"cd {tmp_path}; echo >begun; cat end"
    source = f"import os, threading; t = threading.Thread(target=lambda: terminal({command!r})); t.start()\n"
    execution = await ran(session, f"{source}while not os.path.exists({str(tmp_path / 'begun')!r}): pass")
    cell = session.notebook.cell(execution.cell_id)
    assert "calls" not in cell["metadata"]["mcp_notebook"]
    await anyio.to_thread.run_sync((tmp_path / "end").write_text, "")
    await ran(session, "t.join()")
    assert [call["name"] for call in cell["metadata"]["mcp_notebook"]["calls"]] == ["terminal"]


async def test_a_notebook_sees_itself(session: Session) -> None:
    """With its cells and their outputs, and where it is."""
    await ran(session, "print('before')")
    await ran(session, "me = this_notebook()")
    said = text_of(await ran(session, "print(me['session'], me['path'], me['workspace'])"))
    assert said.strip() == f"{session.handle} None {session.workspace}"
    seen = text_of(await ran(session, "print([(c['source'], c['outputs']) for c in me['notebook']['cells'][1:]])"))
    assert "'name': 'stdout', 'text': 'before\\n'" in seen
    assert "('me = this_notebook()', [])" in seen


async def test_glued_values_are_scraps(session: Session) -> None:
    """In scrapbook's format: data beside the display."""
    source = "glue('answer', {'a': [1, 2.5, None]}); glue('text', 'héllo', display=True)\nimport sys\n"
    execution = await ran(session, source)
    scraps = [output for output in execution.outputs if "scrapbook" in output["metadata"]]
    kinds = [next(iter(output["data"])) for output in scraps]
    assert kinds == ["application/scrapbook.scrap.json+json", "application/scrapbook.scrap.text+json", "text/plain"]
    assert scraps[0]["data"][kinds[0]] == {
        "name": "answer",
        "data": {"a": [1, 2.5, None]},
        "encoder": "json",
        "version": 1,
    }
    assert scraps[0]["metadata"]["scrapbook"] == {"name": "answer", "data": True, "display": False}
    assert scraps[2]["metadata"]["scrapbook"] == {"name": "text", "data": False, "display": True}
    assert bundle_text(scraps[0]["data"]) == "[kept in the notebook as the scrap 'answer']"
    failed = await ran(session, "glue('x', object())")
    assert "not object: convert it first" in text_of(failed)


def test_the_budget_outlives_the_server(me: User, started: Relays) -> None:
    """A cell that has made 30 calls has 20 left under the next server."""
    client = started.start()
    for name in ("begun", "go"):
        os.mkfifo(me.workspace / name)
    source = """
from hermes_runtime import terminal
before = [terminal("true")["error"] for _ in range(30)]
open("begun", "w").close(); open("go").read()
after = [terminal("true")["error"] for _ in range(21)]
print(set(before), set(after[:20]), after[20][:23])
"""
    request = client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": source}})
    (me.workspace / "begun").read_text()
    me.kill_running_server()
    (me.workspace / "go").write_text("")
    text = client.answer(request)["result"]["content"][-1]["text"]
    assert "{None} {None} Tool call limit reached" in text
