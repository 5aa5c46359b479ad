"""``mcp-notebook new``: a notebook for a task, from a template, in a terminal."""

import argparse
import sys
from typing import Any

NEW = """\
Makes a .py notebook with a title, a cell for the parameters of its runs, and sections to fill in. Nothing is ever
overwritten.
"""
_WORDS = {"True": True, "False": False, "None": None}


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """The command to a parser's, with the options that it shares."""
    new = commands.add_parser("new", help="make a notebook for a task", parents=[common])
    new.description = NEW
    new.add_argument("task", metavar="TASK", help="what it is for, in a sentence or more")
    new.add_argument("path", nargs="?", metavar="PATH", help="a .py in the workspace (default: below notebooks/)")
    new.add_argument(
        "-p",
        "--parameter",
        dest="parameters",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter of its runs, with its default",
    )


def run(settings: Any, options: argparse.Namespace) -> int:
    """Make it, and say where."""
    from mcp_notebook.workflow.create import create

    values = {name: value_of(text) for name, text in options.parameters}
    made = create(options.task, options.path, values, settings.workspace)
    sys.stdout.write(f"{made.told(settings.workspace)}\n")
    return 0


def value_of(text: str) -> Any:
    """A word of the command line as papermill understands it: a number, True, False or None, else text."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
