"""File calls made by a program of their own, so that a test can choose the disk and the powers that it has.

Run as a module with the workspace and, on its input, a JSON list of [name, arguments]; prints the answers.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio

from mcp_notebook.runtime.files import Files
from tests.environments import REPOSITORY
from tests.runtime.hosts import PlainHost

Named = tuple[str, dict[str, Any]]


async def _answers(workspace: Path, calls: list[Named]) -> list[dict[str, Any]]:
    files = Files(PlainHost(workspace, workspace), lambda: workspace)
    return [await getattr(files, name)(**arguments) for name, arguments in calls]


def called(before: tuple[str, ...], workspace: Path, *calls: Named) -> list[dict[str, Any]]:
    """The answers of a program that the command ``before`` starts."""
    done = subprocess.run(
        [*before, sys.executable, "-m", "tests.runtime.calling", str(workspace.resolve())],
        cwd=REPOSITORY,
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


if __name__ == "__main__":
    print(json.dumps(anyio.run(_answers, Path(sys.argv[1]), json.load(sys.stdin))))  # noqa: T201
