"""``mcp-notebook commit``: what the tool notebook_commit does, from a terminal."""

import argparse
import sys
from typing import Any

DESCRIPTION = """\
Makes the .ipynb anew from its .py, and commits both without outputs: on disk they stay. Your own git commits and
pushes; your index, your other changes and the branch that is checked out stay as they are. What a running session has
not saved is not in it.
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Its options."""
    command = commands.add_parser("commit", help="commit a notebook to git and push its branch", parents=[common])
    command.description = DESCRIPTION
    command.add_argument("path", metavar="NOTEBOOK", help="its .py or its .ipynb, relative to the workspace")
    command.add_argument("-m", "--message", required=True, metavar="TEXT", help="what changed, and why")
    command.add_argument("-b", "--branch", metavar="NAME", help="commit there, without checking it out")
    command.add_argument("--no-push", dest="push", action="store_false", help="do not push it")


def run(options: argparse.Namespace, settings: Any) -> int:
    """Returns the exit code: 1 as well if it was committed but not pushed, to a remote that there is."""
    import anyio

    from mcp_notebook import files
    from mcp_notebook.starting import secrets_by
    from mcp_notebook.workflow.notebooks import commit_notebook

    masking = secrets_by(settings, settings.environment)
    pair = files.locate(options.path, settings.workspace)
    with masking.in_errors():
        done = anyio.run(
            lambda: commit_notebook(
                pair,
                options.message,
                environment=settings.environment,
                find_secrets=masking.spans,
                branch=options.branch,
                push=options.push,
            )
        )
    sys.stdout.write(f"{masking.text(done.summary)}\n")
    return 1 if done.remote is not None and not done.is_pushed else 0
