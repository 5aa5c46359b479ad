"""Plain papermill and our engine give the same: cells, tags, metadata, statuses, outputs, errors."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
import scrapbook

from mcp_notebook.terminal import TerminalText, plain
from tests.batch.notebooks import CASES
from tests.conftest import environment_of
from tests.environments import REPOSITORY

OF_A_PROCESS = re.compile(r"(?<=ipykernel_)\d+/\d+")
MADE = ("injected-parameters", "papermill-error-cell-tag")
"""Tags of cells that papermill makes, with ids by chance."""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case, run by both."""
    base = tmp_path_factory.mktemp("both")
    user = tmp_path_factory.mktemp("user")
    done = subprocess.run(
        [sys.executable, "-m", "tests.batch.both_engines", str(base)],
        cwd=REPOSITORY,
        env=environment_of(user),
        capture_output=True,
        text=True,
        timeout=115,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return base


@pytest.mark.parametrize("name", CASES)
def test_both_give_the_same_notebook(executed: Path, name: str) -> None:
    """But for times and chance, and streams joined as a terminal shows them."""
    theirs, ours = (_normal(executed / engine / f"{name}.ipynb") for engine in ("papermill", "ours"))
    assert ours["metadata"] == theirs["metadata"]
    for mine, other in zip(ours["cells"], theirs["cells"], strict=True):
        assert mine == other


def test_both_end_in_the_same_way(executed: Path) -> None:
    """The same error, of the same cell, or none."""
    theirs, ours = (json.loads((executed / engine / "ended.json").read_text()) for engine in ("papermill", "ours"))
    assert ours == theirs
    assert ours["failing"] == ["ValueError", "no", 2, 1]
    assert ours["exits well"] == []


@pytest.mark.parametrize("name", CASES)
def test_our_copies_are_valid_and_read_by_papermill_and_scrapbook(executed: Path, name: str) -> None:
    """nbformat finds no fault, papermill its parameters, scrapbook its times."""
    path = executed / "ours" / f"{name}.ipynb"
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    nbformat.validate(notebook)
    assert papermill.inspect_notebook(path) == papermill.inspect_notebook(executed / "papermill" / path.name)
    read = scrapbook.read_notebook(str(path))
    assert read.parameters == CASES[name].parameters
    assert len(read.metrics) == sum(cell.get("execution_count") is not None for cell in notebook["cells"])


def _normal(path: Path) -> dict[str, Any]:
    notebook = json.loads(path.read_text("utf-8"))
    about = notebook["metadata"]["papermill"]
    for name in ("start_time", "end_time", "duration", "output_path"):
        about[name] = about[name] is not None
    for cell in notebook["cells"]:
        if set(MADE).intersection(cell["metadata"].get("tags", [])):
            del cell["id"]
        times = cell["metadata"].get("papermill", {})
        cell["metadata"]["papermill"] = times | {
            name: times[name] is not None for name in ("start_time", "end_time", "duration") if name in times
        }
        if "execution" in cell["metadata"]:
            cell["metadata"]["execution"] = sorted(cell["metadata"]["execution"])
        cell["source"] = "".join(cell["source"])
        if "outputs" in cell:
            cell["outputs"] = list(_joined(cell["outputs"]))
    return dict(notebook)


def _joined(outputs: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Streams of one name that follow each other are one; tracebacks are compared without colours."""
    current: dict[str, Any] | None = None
    for output in [*outputs, None]:
        stream = output is not None and output["output_type"] == "stream"
        text = "".join(output["text"]) if output is not None and stream else ""
        if output is not None and stream and current is not None and current["name"] == output["name"]:
            current["text"] += text
            continue
        if current is not None:
            yield current | {"text": _as_shown(current["text"])}
            current = None
        if output is not None and stream:
            current = {**output, "text": text}
        elif output is not None:
            yield {**output, "traceback": [plain(line) for line in output.get("traceback", [])]}


def _as_shown(text: str) -> str:
    terminal = TerminalText()
    return OF_A_PROCESS.sub("", terminal.feed(text) + terminal.current)
