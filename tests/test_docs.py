"""What the documentation shows is what happens."""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import yaml

from tests.environments import REPOSITORY
from tests.transcripts import differences, steps_of

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
WITH_TRANSCRIPTS = [REPOSITORY / "README.md", REPOSITORY / "docs" / "quickstart.md"]
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
CONFIGURATION = re.compile(r"^```(json|toml|yaml)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", ["tools", "settings"])
def test_generated_pages_are_what_the_code_says(page: str) -> None:
    """docs/tools.md and docs/settings.md are those that the code would write."""
    command = [sys.executable, f"docs/generate_{page}.py", "--check"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page: Path) -> None:
    """Every link to a file of the repository has a file at its end."""
    prose = FENCE.sub("", page.read_text())
    targets = [target for target in LINK.findall(prose) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_configurations_can_be_read_by_their_clients() -> None:
    """Each configuration in the README is valid JSON, TOML or YAML and starts our command, by its whole path."""
    blocks = CONFIGURATION.findall((REPOSITORY / "README.md").read_text())
    readers: dict[str, Callable[[str], Any]] = {"json": json.loads, "toml": tomllib.loads, "yaml": yaml.safe_load}
    assert [language for language, _ in blocks] == ["json", "json", "toml", "yaml"]
    for language, text in blocks:
        [servers] = readers[language](text).values()
        assert servers["notebook"]["command"].startswith("/")
        assert servers["notebook"]["command"].endswith("/bin/mcp-notebook")


@pytest.mark.parametrize("page", WITH_TRANSCRIPTS, ids=lambda page: page.name)
def test_transcripts_come_out_as_shown(page: Path, tmp_path: Path) -> None:
    """Every call that a page shows is made, in order, and answers what the page says it does."""
    steps = steps_of(page.read_text())
    assert steps != []
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    assert anyio.run(differences, steps, workspace, tmp_path / "home") == []
