"""``mcp-notebook doctor`` on the runtime: which calls code in cells may make, and what answers them, in one line."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_notebook.finding import Finding
from mcp_notebook.policy import Policy
from mcp_notebook.provisions import finding
from mcp_notebook.settings import Settings, load
from tests.conftest import environment_of
from tests.daemons import User, user
from tests.environments import python_of
from tests.runtime.hermes_home import make_home, running

pytestmark = pytest.mark.anyio

SERVERS = (
    """{"mcpServers": {"good": {"command": "x"}, "bad": {"command": 5}, "off": {"command": "x", "disabled": true}}}"""
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of somebody with a workspace and one key."""
    (tmp_path / "workspace").mkdir()
    return load(environment_of(tmp_path) | {"TAVILY_API_KEY": "k"}, workspace=tmp_path / "workspace")


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    """Who has a Hermes."""
    with user(tmp_path, HERMES_HOME=str(make_home(tmp_path))) as found:
        yield found


async def found(settings: Settings, **policy: Any) -> Finding:
    return await finding(replace(settings, runtime=Policy(**policy)))


async def test_all_is_well(settings: Settings) -> None:
    """By default: everything is allowed, what can search is named, nothing else answers."""
    expected = "runtime: all calls, 50 in a cell; web_search by tavily, ddgs; no MCP servers; without Hermes"
    assert await found(settings) == Finding("ok", expected)


async def test_what_is_chosen_is_named(settings: Settings) -> None:
    """Calls, budget, providers in their order."""
    text = (await found(settings, calls=("terminal", "servers"), budget=7, search=("ddgs", "tavily", "exa"))).text
    assert "the calls terminal, servers, 7 in a cell; web_search by ddgs, tavily;" in text
    text = (await found(settings, calls=("terminal",), without=("terminal",), search=("exa",))).text
    assert "no call, 50 in a cell; web_search by nobody;" in text


async def test_mcp_servers(settings: Settings) -> None:
    """Those of the file by name; entries that cannot be used are a warning, a file that cannot be read a failure."""
    path = settings.workspace / "mcp.json"
    missing = await found(settings, mcp_servers="mcp.json")
    assert (missing.level, f"MCP servers of {path}, which cannot be read" in missing.text) == ("FAIL", True)
    assert "Mend the file" in missing.remedy
    path.write_text(SERVERS)
    some = await found(settings, mcp_servers="mcp.json")
    assert (some.level, f"MCP servers of {path}: good, bad;" in some.text) == ("warn", True)
    assert some.remedy.startswith("bad: ")
    path.write_text('{"mcpServers": {}}')
    assert f"MCP servers of {path}: none;" in (await found(settings, mcp_servers="mcp.json")).text


async def test_a_python_without_hermes(settings: Settings) -> None:
    """Is told, and what to do."""
    failed = await found(settings, hermes="here")
    assert failed.level == "FAIL"
    assert failed.text.endswith("which does not start")
    assert "No module named 'model_tools'" in failed.remedy
    assert "Install hermes-agent there" in failed.remedy


def test_doctor_starts_hermes_and_ends_it(somebody: User) -> None:
    """So that it knows; its version is in the line, and nothing is left."""
    somebody.settings.home.mkdir(parents=True)
    (somebody.settings.home / "settings.toml").write_text(f'[runtime]\nhermes = "{python_of("hermes")}"\n')
    done = somebody.command("doctor")
    assert done.returncode == 0, done.stdout
    assert "web_search as Hermes is configured; no MCP servers; Hermes 0." in done.stdout
    assert running(Path(somebody.environment["HERMES_HOME"])) == []
