"""Hermes, the agent that this server was first made for, with its own client and its own rules."""

import io
import json
import os
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.clients.conftest import Server, finished, outcome
from tests.environments import environment, python_of

RUNNER = Path(__file__).with_name("run_hermes.py")
CONVERSATIONS = RUNNER.with_name("run_hermes_conversations.py")
SLEEP = "import time; mine = 1; open({!r}, 'w').close(); time.sleep(60)"
relay_only = pytest.mark.parametrize("server", [()], ids=["relay"], indirect=True)
PLOT = """
import matplotlib.pyplot as plt
plt.plot([1, 4, 9])
plt.show()
"""


@pytest.fixture
def hermes(server: Server, tmp_path: Path) -> Path:
    """A home of Hermes whose configuration names our server, as its documentation says."""
    return home_of_hermes(tmp_path, server)


def home_of_hermes(base: Path, server: Server, **variables: str) -> Path:
    """The directory; ``variables`` are for the server."""
    home = base / "hermes"
    home.mkdir()
    environment = server.environment | variables
    entry = {"command": server.command, "args": server.args, "env": environment, "timeout": 300}
    # JSON is YAML.
    (home / "config.yaml").write_text(json.dumps({"mcp_servers": {"notebook": entry}}))
    return home


def runs(home: Path, *sources: str) -> Any:
    """What Hermes has of the tools and of these cells."""
    return outcome([python_of("hermes"), RUNNER, json.dumps(sources)], HERMES_HOME=str(home))


def test_lists_every_tool_and_keeps_state(hermes: Path) -> None:
    """Hermes registers our tools under its own names, and two cells share a kernel."""
    told = runs(hermes, "x = 6 * 7", "print('x is', x)")
    assert {f"mcp__notebook__{name}" for name in ("open_session", "execute_cell", "read_notebook")} <= set(
        told["tools"]
    )
    assert "x is 42" in told["answers"][1]["result"]


def test_failing_cells_never_cut_the_server_off(hermes: Path) -> None:
    """Five failing cells in a row are ordinary results: three refusals would open the circuit breaker."""
    failing = [f"raise ValueError('attempt {n}')" for n in range(5)]
    *failed, good = runs(hermes, *failing, "print('still here')")["answers"]
    for n, answer in enumerate(failed):
        assert f"attempt {n}" in answer["result"]
        assert "error" not in answer
    assert "still here" in good["result"]


def test_sees_a_plot(hermes: Path) -> None:
    """A figure reaches Hermes as an image that it keeps as a file and hands on by its path."""
    [answer] = runs(hermes, PLOT)["answers"]
    [path] = [line[len("MEDIA:") :] for line in answer["result"].splitlines() if line.startswith("MEDIA:")]
    with Image.open(io.BytesIO(Path(path).read_bytes())) as image:
        assert image.format == "PNG"
        assert min(image.size) > 200


def test_its_own_check_of_the_server_passes(hermes: Path) -> None:
    """``hermes mcp test`` connects and finds the tools."""
    command = environment("hermes") / "bin" / "hermes"
    done = finished([command, "mcp", "test", "notebook"], HERMES_HOME=str(hermes))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "execute_cell" in done.stdout


@relay_only
def test_a_conversation_is_answered_while_the_cell_of_another_runs(server: Server, tmp_path: Path) -> None:
    """Hermes makes one call of a server at a time, for all its conversations: a long cell hands its turn on."""
    home = home_of_hermes(tmp_path, server, MCP_NOTEBOOK_WAIT_S="5")
    begun = tmp_path / "begun"
    os.mkfifo(begun)
    command = [python_of("hermes"), CONVERSATIONS, SLEEP.format(str(begun)), begun, "'mine' in globals(), 6 * 7"]
    told = outcome(command, HERMES_HOME=str(home))
    one, two = (told["handles"][name] for name in ("one", "two"))
    took = f"The answer took {told['seconds']:.1f} s: {told}"
    assert "(False, 42)" in told["second"], took
    assert told["first"].startswith("[1] running"), took
    assert told["states"] == {one: "busy", two: "idle"}, took
