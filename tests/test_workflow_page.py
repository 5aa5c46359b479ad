"""docs/NOTEBOOK_WORKFLOW.md: every command that it shows is run, in order, and says what the page says it does.

A block ``console`` holds commands behind the name of who types them, ``ada$`` or ``bob$``; lines with ``> `` go on with
a command, all others are its output. ``...`` stands for anything. Commits, times and addresses are the reader's own.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.environments import REPOSITORY
from tests.publishing import Site, site, store_token
from tests.repositories import Work, user
from tests.standins.git_server import serving

PAGE = REPOSITORY / "docs" / "NOTEBOOK_WORKFLOW.md"
_STEP = re.compile(r"^```console\n(?P<block>.*?)^```$|^<!-- (?P<event>.*?) -->$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^(?P<who>\w+)\$ (?P<command>.*\n(?:>.*\n)*)(?P<output>(?:^(?!\w+\$ ).*\n)*)", re.MULTILINE)
_OWN = (
    (re.compile(r"http://127\.0\.0\.1:\d+/ada/[\w-]+"), "https://git.example.org/ada/project"),
    (re.compile(r"\b[0-9a-f]{10}\b"), "1a2b3c4d5e"),
    (re.compile(r"-\d{8}-\d{6}"), "-20260101-120000"),
    (re.compile(r"\b\d+(\.\d+)? s\b"), "1.2 s"),
    (re.compile(r"T\d\d:\d\d:\d\dZ"), "T00:00:00Z"),
)

pytestmark = pytest.mark.timeout(400)  # each git on a notebook starts Python


@dataclass(frozen=True)
class Step:
    """A command of somebody's with what it says, or something that happens."""

    who: str
    command: str
    output: str
    event: str = ""


def steps(page: str) -> Iterator[Step]:
    """All of the page, in order."""
    for found in _STEP.finditer(page):
        if found["event"]:
            yield Step("", "", "", found["event"])
            continue
        for each in _COMMAND.finditer(found["block"]):
            lines = each["command"].splitlines()
            more = [line.removeprefix(">").removeprefix(" ") for line in lines[1:]]
            yield Step(each["who"], "\n".join([lines[0], *more]), each["output"])


@pytest.fixture
def forge(tmp_path: Path) -> Iterator[Site]:
    """A Gitea with a repository."""
    with serving(tmp_path / "server") as server, site(tmp_path / "project", server, "gitea") as made:
        yield made


def test_every_command_does_what_the_page_says(forge: Site, tmp_path: Path) -> None:
    """In clones of two people; what happens at the forge in between happens too."""
    people = {"ada": forge.work, "bob": clone(forge, tmp_path)}
    done = 0
    for step in steps(PAGE.read_text()):
        if step.event:
            happens(step.event, forge)
            continue
        work = people[step.who]
        said = run(work, step.command)
        shown, real = own(step.output), own(said.replace(str(work.path), "/path/to/project"))
        assert pattern(shown).fullmatch(real), f"{step.command}\nsaid\n{real}\nand not\n{shown}"
        done += 1
    assert done >= 20
    assert forge.project.merge(forge.project.pulls[0])
    text = forge.project.git("show", "main:notebooks/health.py")
    assert "load = 0.07  # measured" in text
    assert '"busy: look at it"' in text


def clone(forge: Site, base: Path) -> Work:
    """Bob's."""
    bob = Work(base / "bob", user(base, "bob"))
    bob.path.mkdir()
    store_token(bob, forge.server)
    bob.git("clone", "--quiet", forge.work.git("remote", "get-url", "origin"), ".")
    return bob


def happens(event: str, forge: Site) -> None:
    """What the page tells in a comment."""
    assert event == "bob writes a review, and CI is content"
    forge.review("changes requested", "Nearly", line="For which host?")
    forge.status("success")


def run(work: Work, command: str) -> str:
    """What a command prints in a shell; it may fail to push, and at nothing else."""
    programs = f"{Path(sys.executable).parent}{os.pathsep}{work.environment['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=work.path,
        env=work.environment | {"PATH": programs, "MCP_NOTEBOOK_HOME": str(work.path.parent / "state")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0 or "Not pushed" in done.stdout, done.stdout + done.stderr
    return done.stdout


def pattern(shown: str) -> re.Pattern[str]:
    """A line ``...`` is any lines, or none; within a line it is any text."""
    lines = (r"(?:.*\n)*" if line == "..." else f"{re.escape(line)}\n" for line in shown.splitlines())
    return re.compile("".join(lines).replace(r"\.\.\.", ".*"))


def own(text: str) -> str:
    """Without what differs for each reader."""
    for pattern, shown in _OWN:
        text = pattern.sub(shown, text)
    return text
