"""The tools as every client sees them: names, parameters, descriptions, hints."""

import re
from dataclasses import replace
from typing import Any

import pytest
from mcp import Client
from mcp.server import MCPServer
from mcp_types import Tool

from mcp_notebook.server import INSTRUCTIONS, lowlevel, open_server
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.conftest import ERAS

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS, indirect=True)

NOTHING = object()
PARAMETERS: dict[str, dict[str, Any]] = {
    "open_session": {"notebook": None, "name": None, "kernel": None, "workspace": None, "server": None},
    "execute_cell": {
        "source": None,
        "cell_id": None,
        "after": None,
        "revision": None,
        "wait_s": 45,
        "request_id": None,
        "session": None,
    },
    "edit_cell": {
        "cell_id": None,
        "source": None,
        "edit_mode": "replace",
        "old_source": None,
        "cell_type": None,
        "after": None,
        "revision": None,
        "session": None,
    },
    "read_notebook": {"cells": None, "outputs": "brief", "path": None, "session": None},
    "get_output": {
        "execution_id": None,
        "cell_id": None,
        "cursor": None,
        "search": None,
        "wait_s": 0,
        "session": None,
    },
    "save_notebook": {"path": None, "session": None},
    "control_kernel": {
        "action": NOTHING,
        "text": None,
        "execution_id": None,
        "dry_run": False,
        "wait_s": 45,
        "request_id": None,
        "session": None,
    },
    "inspect_variables": {"name": None, "session": None},
    "list_sessions": {},
    "notebook_create": {"task_description": NOTHING, "path": None, "parameters": None, "session": None},
    "notebook_edit": {"path": NOTHING, "cell_index": NOTHING, "new_source": NOTHING, "session": None},
    "notebook_execute": {
        "path": NOTHING,
        "parameters": None,
        "output_path": None,
        "verify": False,
        "resume": None,
        "timeout_s": None,
        "wait_s": 45,
        "request_id": None,
        "session": None,
    },
    "notebook_diff": {"path": NOTHING, "against": "HEAD", "session": None},
    "notebook_commit": {"path": NOTHING, "message": NOTHING, "branch": None, "session": None},
    "notebook_pr": {"branch": NOTHING, "title": NOTHING, "description": NOTHING, "base": None, "session": None},
}
CHOICES = {
    ("edit_cell", "edit_mode"): ["replace", "insert", "delete", "move"],
    ("read_notebook", "outputs"): ["none", "brief", "full"],
    ("control_kernel", "action"): [
        "interrupt",
        "kill",
        "restart",
        "rebuild",
        "run_all",
        "run_stale",
        "shutdown",
        "status",
        "answer",
    ],
}
STRUCTURED = {"open_session", "inspect_variables", "list_sessions"}
READ_ONLY = {"read_notebook", "get_output", "inspect_variables", "list_sessions", "notebook_diff"}
RAISES_ALARMS = re.compile(r"import os|exec\(|eval\(|curl http|ignore (all|previous)|<\w+>", re.IGNORECASE)


async def tools_of(client: Client) -> dict[str, Tool]:
    """The listed tools by name."""
    return {tool.name: tool for tool in (await client.list_tools()).tools}


@both_eras
async def test_tools_and_parameters_are_those_of_the_contract(client: Client) -> None:
    """In their order, with their defaults; everything else is refused by the schema."""
    tools = await tools_of(client)
    assert list(tools) == list(PARAMETERS)
    for name, tool in tools.items():
        properties = tool.input_schema["properties"]
        defaults = {key: schema.get("default", NOTHING) for key, schema in properties.items()}
        assert defaults == PARAMETERS[name], name
        required = [key for key, value in PARAMETERS[name].items() if value is NOTHING]
        assert tool.input_schema.get("required", []) == required
        assert tool.input_schema["additionalProperties"] is False


async def test_choices_are_those_of_the_contract(client: Client) -> None:
    """A model sees what it may pass."""
    tools = await tools_of(client)
    for (tool, parameter), choices in CHOICES.items():
        assert tools[tool].input_schema["properties"][parameter]["enum"] == choices


async def test_names_and_descriptions_suit_every_client(client: Client) -> None:
    """Short names, a title, 100 to 1500 characters that no scanner mistakes for an attack."""
    for name, tool in (await tools_of(client)).items():
        assert re.fullmatch(r"[a-z_]{1,30}", name)
        assert tool.title
        assert tool.description is not None
        assert 100 <= len(tool.description) <= 1500, (name, len(tool.description))
        assert not RAISES_ALARMS.search(tool.description), name
        for parameter, schema in tool.input_schema["properties"].items():
            assert 10 <= len(schema["description"]) <= 250, (name, parameter)


async def test_hints_say_what_a_tool_does(client: Client) -> None:
    """Every hint is given; what only reads is never destructive."""
    for name, tool in (await tools_of(client)).items():
        hints = tool.annotations
        assert hints is not None
        assert hints.read_only_hint is (name in READ_ONLY)
        assert None not in (hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint)
        assert not (hints.read_only_hint and hints.destructive_hint)


async def test_only_data_is_structured(client: Client) -> None:
    """Text and images are sent once: several clients show the model nothing else than structured content."""
    tools = await tools_of(client)
    assert {name for name, tool in tools.items() if tool.output_schema is not None} == STRUCTURED


async def test_instructions_fit_where_clients_cut(client: Client) -> None:
    """Under 2 KB, with the tools named as they are."""
    assert len(INSTRUCTIONS.encode()) < 2048
    called = set(re.findall(r"\b([a-z]+_[a-z]+)\(", INSTRUCTIONS))
    assert called <= set(PARAMETERS)
    assert client.instructions == INSTRUCTIONS


async def test_the_default_wait_is_the_setting(settings: Settings) -> None:
    """The schema tells the default that is in force."""
    quick = replace(settings, wait_s=7.0)
    async with (
        Sessions(quick) as sessions,
        open_server(quick, sessions) as server,
        Client(server, mode="auto") as client,
    ):
        schema = (await tools_of(client))["execute_cell"].input_schema
    assert schema["properties"]["wait_s"]["default"] == 7


async def test_what_is_used_of_the_sdk_behind_its_names_is_there(server: MCPServer[Connection]) -> None:
    """The protocol server below ``MCPServer``, whose public name the SDK has yet to give."""
    assert lowlevel(server).get_request_handler("tools/call") is not None
    assert [type(each).__name__ for each in server.middleware] == ["RequestStateBoundary"]
