"""``mcp-notebook git-setup``: git learns what notebooks are, for one repository of this machine."""

import argparse
import sys
from typing import Any

DESCRIPTION = """\
For the git repository of the workspace, on this machine only: `git diff` and `git merge` see notebooks by cell, and
`git add` takes no outputs in. Nothing is committed for it. --undo takes away exactly what was brought.
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Its options."""
    command = commands.add_parser("git-setup", help="make git treat notebooks well", parents=[common])
    command.description = DESCRIPTION
    command.add_argument("--undo", action="store_true", help="take it away again")


def run(options: argparse.Namespace, settings: Any) -> int:
    """Returns the exit code."""
    import anyio

    from mcp_notebook.workflow.git_setup import set_up, undo

    report = anyio.run(undo if options.undo else set_up, settings.workspace, settings.environment)
    sys.stdout.write("".join(f"{line}\n" for line in report.lines))
    return 0 if report.is_good else 1
