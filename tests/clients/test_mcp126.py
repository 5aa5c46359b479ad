"""A client of the Python SDK's version 1.26, which Hermes and many others still carry."""

import json
from pathlib import Path

from tests.clients.conftest import Server, outcome
from tests.environments import python_of

RUNNER = Path(__file__).with_name("run_mcp126.py")


def test_runs_cells_over_stdio(server: Server) -> None:
    """The handshake, the list of tools, a cell, one that uses its variable, and one that fails."""
    cells = ["x = 6 * 7", "print('x is', x)", "1 / 0"]
    told = outcome([python_of("mcp126"), RUNNER, server.as_json(), json.dumps(cells)])
    assert told["protocol"] == "2025-11-25"
    assert "execute_cell" in told["tools"]
    first, second, third = told["answers"]
    assert first["text"].startswith("[1] ok")
    assert "x is 42" in second["text"]
    assert third["text"].startswith("[3] error")
    assert "ZeroDivisionError" in third["text"]
    assert not third["is_error"]
