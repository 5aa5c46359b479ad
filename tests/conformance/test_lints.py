"""Two lints of other people look at the tools' schemas, hints and descriptions, and at how calls are refused.

What they may complain of is written here, with the reason; whatever else they find fails the test.
"""

import json
import re
import subprocess
from collections.abc import AsyncIterator

import anyio.to_thread
import pytest

from mcp_notebook.server import open_server
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.environments import environment
from tests.listening import TOKEN, Listening, listening

pytestmark = pytest.mark.anyio

WITHIN_S = 90
MCPCHECK_ACCEPTED = {
    "schemas.output_schema_missing",  # results of text and images have no structured copy: decision 0005
}
LIGHTHOUSE_ACCEPTED = {
    "schema-required-fields",  # most arguments have a default, and those of five tools all have
    "bp-description-length",  # 100 to 1500 characters: what happens, what stays, what to call next
    "perf-init-time",  # it counts milliseconds of a machine that runs other tests
    "perf-tools-list-time",
}


@pytest.fixture
async def http(settings: Settings, sessions: Sessions, anyio_backend: str) -> AsyncIterator[Listening]:
    """The server, which nobody has used."""
    async with open_server(settings, sessions) as server, listening(server, settings) as http:
        yield http


async def test_mcpcheck_finds_no_fault(http: Listening) -> None:
    """Discovery, versions, headers, schemas, refusals, cache hints and origins of 2026-07-28."""
    told = await anyio.to_thread.run_sync(_said, "mcpcheck", "--json", "--legacy-probes", "--token", TOKEN, http.url)
    report = json.loads(told)
    assert report["summary"]["total"] >= 8
    assert [check["name"] for check in report["checks"] if check["status"] not in ("pass", "warn")] == []
    found = {each["code"] for check in report["checks"] for each in (*check["failures"], *check["warnings"])}
    assert found <= MCPCHECK_ACCEPTED


async def test_lighthouse_finds_no_fault(http: Listening) -> None:
    """The handshake, schemas, names, titles and hints of the tools, and how what is wrong is refused."""
    token = f"Authorization=Bearer {TOKEN}"
    told = await anyio.to_thread.run_sync(_said, "mcp-lighthouse", "scan", "--http", http.url, "--http-header", token)
    marks = {
        check: mark for mark, check in re.findall(r"^\s*(\S+)\s+((?:proto|schema|robust|bp|perf)-[\w-]+)", told, re.M)
    }
    assert len(marks) >= 25, told
    assert {check for check, mark in marks.items() if not mark.startswith("✅")} <= LIGHTHOUSE_ACCEPTED, told


def _said(program: str, *arguments: str) -> str:
    """Run one of the lints; returns what it printed."""
    done = subprocess.run(
        [environment("lints") / "bin" / program, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout
