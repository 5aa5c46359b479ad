"""The official conformance suite's scenarios on the tasks extension, against our own HTTP server."""

import json
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from mcp_notebook.server import open_server
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.conformance import tasks
from tests.conformance.suite import run_suite
from tests.listening import listening

pytestmark = pytest.mark.anyio

HERE = Path(__file__).parent
WITHIN_S = 60
SCENARIOS = (
    "tasks-lifecycle", "tasks-capability-negotiation", "tasks-wire-fields", "tasks-request-state-removal",
    "tasks-mrtr-input", "tasks-request-headers", "tasks-dispatch-and-envelope", "tasks-required-task-error",
    "tasks-mrtr-composition",
)  # fmt: skip
"""All that check something: ``tasks-status-notifications`` is still to be written."""


async def test_the_scenarios_pass(settings: Settings, sessions: Sessions, tmp_path: Path) -> None:
    """Every check of each is made, and passes."""
    async with anyio.create_task_group() as group:
        jobs = tasks.Jobs(group)
        async with open_server(settings, sessions, [jobs.find]) as server:
            tasks.register(server, jobs)
            async with listening(server, settings) as http, anyio.create_task_group() as running:
                for scenario in SCENARIOS:
                    running.start_soon(_run, scenario, http.url, tmp_path)
        group.cancel_scope.cancel()
    found = _found(tmp_path)
    assert [each for each in found if each[2] != "SUCCESS"] == []
    assert all(any(scenario in name for name, *_ in found) for scenario in SCENARIOS)


async def _run(scenario: str, url: str, results: Path) -> None:
    await anyio.to_thread.run_sync(partial(_suite, scenario, url, results))


def _suite(scenario: str, url: str, results: Path) -> None:
    done = run_suite(url, "--scenario", scenario, results=results, within_s=WITHIN_S)
    assert done.returncode == 0, done.stdout + done.stderr


def _found(results: Path) -> list[tuple[str, str, str, str | None]]:
    """The directory, name, status and fault of each check."""
    return [
        (file.parent.name, each["id"], each["status"], each.get("errorMessage"))
        for file in results.rglob("checks.json")
        for each in json.loads(file.read_text())
    ]
