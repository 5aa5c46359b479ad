"""``mcp-notebook diff``: a notebook's file compared cell by cell, in a terminal."""

import argparse
import os
import sys
from collections.abc import Iterator
from typing import Any

DESCRIPTION = """\
Compares a notebook's file with a revision of git, or with another notebook file. A .py and its .ipynb are read
together; images and long outputs are only said to have changed.
"""
_COLOURS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m", "#": "\x1b[1m"}
_END = "\x1b[0m"


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Its options."""
    diff = commands.add_parser("diff", help="what changed in a notebook, cell by cell", parents=[common])
    diff.description = DESCRIPTION
    diff.add_argument("path", metavar="PATH", help="the notebook's file, from the workspace: .py, .ipynb, .md ...")
    diff.add_argument(
        "against", nargs="?", default="HEAD", metavar="AGAINST", help="a revision, or another file (default: HEAD)"
    )


def run(options: argparse.Namespace, settings: Any) -> int:
    """Print it whole; the exit code is 0 whether anything differs or not."""
    import anyio

    from mcp_notebook.workflow.diff import compare

    diff = anyio.run(compare, options.path, options.against, settings.workspace, settings.environment)
    text = diff.text()
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        text = "\n".join(_coloured(text))
    sys.stdout.write(f"{text}\n")
    return 0


def _coloured(text: str) -> Iterator[str]:
    for number, line in enumerate(text.split("\n")):
        colour = _COLOURS.get(line[:1]) if number else None
        yield f"{colour}{line}{_END}" if colour else line
