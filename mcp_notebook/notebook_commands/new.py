"""``mcp-notebook new``: a notebook for a task, from a template, in a terminal."""

import argparse
import sys
from typing import Any

DESCRIPTION = """\
Makes a .py notebook with a title, a cell for the parameters of its runs, and sections to fill in. Nothing is ever
overwritten.
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Its options."""
    new = commands.add_parser("new", help="make a notebook for a task", parents=[common])
    new.description = DESCRIPTION
    new.add_argument("task", metavar="TASK", help="what it is for, in a sentence or more")
    new.add_argument("path", nargs="?", metavar="PATH", help="a .py in the workspace (default: below notebooks/)")
    new.add_argument(
        "-p",
        "--parameters",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter of its runs, with its default",
    )


def run(options: argparse.Namespace, settings: Any) -> int:
    """Make it, and say where; returns the exit code."""
    from mcp_notebook.notebook_commands.values import typed
    from mcp_notebook.workflow.create import create

    values = {name: typed(text) for name, text in options.parameters}
    made = create(options.task, options.path, values, settings.workspace)
    sys.stdout.write(f"{made.told(settings.workspace)}\n")
    return 0
