"""``mcp-notebook ci-setup``: the forge's CI runs the notebooks that a pull request changes."""

import argparse
import sys
from typing import Any

DESCRIPTION = """\
Writes .gitea/workflows/notebook-ci.yml (Gitea, Forgejo) and .github/workflows/notebook-ci.yml (GitHub) into the
repository of the workspace. For each pull request they run the notebooks that it changes, verify them, and keep the
executed copies. A file that somebody has changed is left alone. Commit them yourself.
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Its options."""
    command = commands.add_parser("ci-setup", help="write the CI workflow that runs notebooks", parents=[common])
    command.description = DESCRIPTION


def run(options: argparse.Namespace, settings: Any) -> int:
    """Returns the exit code: 1 if a file was left as somebody has changed it."""
    import anyio

    from mcp_notebook.workflow.ci_setup import set_up

    report = anyio.run(set_up, settings.workspace, settings.environment)
    sys.stdout.write("".join(f"{line}\n" for line in report.lines))
    return 0 if report.is_good else 1
