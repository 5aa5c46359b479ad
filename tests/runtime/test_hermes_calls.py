"""The same calls, made to Hermes and to us in equal workspaces, have the same answers."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_notebook.policy import Policy
from mcp_notebook.runtime.files import Files
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.live import ran, text_of
from tests.runtime import compared
from tests.runtime.differences import MEANT
from tests.runtime.hermes import answered
from tests.runtime.hermes_calls import GROUPS, make_workspace
from tests.runtime.hosts import host, with_ripgrep

TOOLS = ("read_file", "write_file", "search_files", "patch")
ALL = (*TOOLS, "terminal", "web_search", "web_extract")
GROUPS_OF_FILES = ("reading", "writing", "searching", "patching", "v4a")


@pytest.mark.anyio
@pytest.mark.parametrize("group", GROUPS_OF_FILES)
async def test_answers_are_those_of_hermes(tmp_path: Path, group: str) -> None:
    """Keys and values are equal in every call of the group, but where they are meant to differ and do."""
    path = with_ripgrep()
    for name in ("hermes", "ours"):
        (tmp_path / name).mkdir()
    theirs, mine = tmp_path / "hermes" / "workspace", host(tmp_path / "ours", PATH=path)
    theirs.mkdir()
    for workspace in (theirs, mine.workspace):
        make_workspace(workspace)
    files = Files(mine, lambda: mine.workspace)

    async def answer(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        returned: dict[str, Any] = await getattr(files, tool)(**arguments)
        return returned

    calls = [call for call in GROUPS[group] if call[1] in TOOLS]
    expected = compared.hermes(answered(group, TOOLS, theirs, tmp_path / "home", path), theirs)
    found = await compared.ours(calls, answer, mine.workspace)
    assert list(expected) == list(found)
    wrong = {
        call: (sorted(differing), expected[call], found[call])
        for call in found
        if (differing := compared.differing(expected[call], found[call])) != compared.meant(group, call)
    }
    assert wrong == {}, json.dumps(wrong, indent=1)


@pytest.mark.anyio
@pytest.mark.parametrize("group", GROUPS)
async def test_answers_in_a_cell_are_those_of_hermes(tmp_path: Path, settings: Settings, group: str) -> None:
    """The same, of every call that there is, made by code in a real kernel through a real server."""
    path = with_ripgrep()
    theirs, mine = tmp_path / "theirs", tmp_path / "ours"
    for workspace in (theirs, mine):
        workspace.mkdir()
        make_workspace(workspace)
    expected = compared.hermes(answered(group, ALL, theirs, tmp_path / "home", path), theirs)
    client = Connection(workspace=mine, environment={**os.environ, "PATH": path})
    policy = Policy(budget=1000, search=())
    async with Sessions(replace(settings, runtime=policy)) as sessions:
        session = (await sessions.open(client)).session

        async def answer(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
            source = f"import hermes_tools, json; print(json.dumps(hermes_tools.{tool}(**{arguments!r})))"
            returned: dict[str, Any] = json.loads(text_of(await ran(session, source)))
            return returned

        found = await compared.ours(GROUPS[group], answer, mine)
    wrong = {
        call: (sorted(differing), expected[call], found[call])
        for call in found
        if (differing := compared.differing(expected[call], found[call])) != compared.meant(group, call)
    }
    assert wrong == {}, json.dumps(wrong, indent=1)


def test_differences_are_of_calls_that_are_made() -> None:
    """No difference is kept for a call that is gone."""
    made = {(group, call) for group, calls in GROUPS.items() for call, _, _ in calls}
    assert {call for each in MEANT for call in each.calls} - made == set()


def test_every_call_has_a_name_of_its_own() -> None:
    """Within a group, so that answers are told apart."""
    assert {group: len(calls) for group, calls in GROUPS.items()} == {
        group: len({call for call, _, _ in calls}) for group, calls in GROUPS.items()
    }
