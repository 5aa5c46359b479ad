"""The official conformance suite, each revision's required scenarios, against our own HTTP server.

What it found is compared, check by check, with a file in ``baseline``: a scenario that is not run, a check
that is skipped and one that becomes a warning all fail here. After an upgrade of the suite look at what
changed, and write the files anew: ``MCP_NOTEBOOK_WRITE_DOCS=1 pytest tests/conformance``.
"""

import json
import os
import re
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from mcp_notebook.server import open_server
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.conformance import inputs, resources, tools
from tests.conformance.suite import run_suite
from tests.environments import environment
from tests.listening import listening

pytestmark = [
    pytest.mark.anyio,
    # The suite for the handshake era wants both; what they say is for those who use them without being asked.
    pytest.mark.filterwarnings("ignore:The (logging|sampling) capability is deprecated"),
]

HERE = Path(__file__).parent
WITHIN_S = 110
PASSED = ("SUCCESS", "INFO")
VOLUNTARY = {
    "2025-11-25": {"json-schema-2020-12", "server-session-lifecycle"},
    "2026-07-28": {"json-schema-2020-12", "http-header-validation", "http-custom-header-server-validation"},
}
"""What the revision does not require and we keep. The suite runs these in any case."""

Check = tuple[str, str, str]
"""Scenario, check and status."""


@pytest.mark.parametrize("revision", sorted(VOLUNTARY))
async def test_the_scenarios_pass(settings: Settings, sessions: Sessions, revision: str, tmp_path: Path) -> None:
    """Every check of every scenario that the revision requires is made, and passes."""
    async with open_server(settings, sessions) as server:
        for module in (tools, inputs, resources):
            module.register(server)
        async with listening(server, settings) as http:
            said = await anyio.to_thread.run_sync(suite, http.url, revision, tmp_path)
    wanted = required(revision) | VOLUNTARY[revision]
    found = checks(tmp_path, wanted)
    baseline = HERE / "baseline" / f"{revision}.txt"
    if os.environ.get("MCP_NOTEBOOK_WRITE_DOCS"):
        baseline.write_text("".join(f"{' '.join(each)}\n" for each in found))
    assert wanted == {scenario for scenario, _, _ in found}, said
    assert [each for each in found if each[2] not in PASSED] == [], said
    assert [" ".join(each) for each in found] == baseline.read_text().splitlines()


def suite(url: str, revision: str, results: Path) -> str:
    """Run it; returns what it printed."""
    done = run_suite(url, "--requirements", revision, results=results, within_s=WITHIN_S)
    return done.stdout + done.stderr


def checks(results: Path, wanted: set[str]) -> list[Check]:
    """What these scenarios checked, sorted: not all of it is done in the same order each time."""
    return sorted(
        (scenario, each["id"], each["status"])
        for file in results.rglob("checks.json")
        if (scenario := scenario_of(file)) in wanted
        for each in json.loads(file.read_text())
    )


def required(revision: str) -> set[str]:
    """What the suite's own list says a server must pass."""
    lists = environment("node") / "node_modules/@modelcontextprotocol/conformance/requirements"
    text = (lists / f"{revision}.yaml").read_text()
    server = text.partition("\nserver:\n")[2].partition("\n\n")[0]
    return {line.strip().removeprefix("- ") for line in server.splitlines()}


def scenario_of(file: Path) -> str:
    """Its directory is called ``server-``, the scenario, and the time."""
    return re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\dZ-]+$", "", file.parent.name)
