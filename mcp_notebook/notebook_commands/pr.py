"""``mcp-notebook pr``: what the tool notebook_pr does, from a terminal."""

import argparse
import sys
from typing import Any

DESCRIPTION = """\
Opens the pull request of a branch on Gitea, Forgejo or GitHub, or finds the one that is open; shows what CI and people
say of it. The token is that of GITEA_TOKEN, FORGEJO_TOKEN or GH_TOKEN, of the settings, or of git's credential helper.
Executed copies of the notebooks as they are proposed, in executions/, are pushed to the branch reports/BRANCH.
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Its options."""
    command = commands.add_parser("pr", help="open or find the pull request of a branch", parents=[common])
    command.description = DESCRIPTION
    command.add_argument("branch", metavar="BRANCH", help="as `mcp-notebook commit` has pushed it")
    command.add_argument("-t", "--title", required=True, metavar="TEXT", help="in one line")
    command.add_argument("-d", "--description", default="", metavar="TEXT", help="what it is for, in Markdown")
    command.add_argument("--base", metavar="BRANCH", help="to merge into (default: the repository's default branch)")


def run(options: argparse.Namespace, settings: Any) -> int:
    """Returns the exit code."""
    import anyio

    from mcp_notebook.starting import secrets_by
    from mcp_notebook.workflow.proposal import Means, Proposal, propose

    masking = secrets_by(settings, settings.environment)
    means = Means(
        workspace=settings.workspace,
        environment=settings.environment,
        find_secrets=masking.spans,
        mask=masking.text,
        forges=settings.forges,
        forge_tokens=settings.forge_tokens,
    )
    wanted = Proposal(options.branch, options.title, options.description, options.base)
    with masking.in_errors():
        done = anyio.run(propose, wanted, settings.workspace, means)
    sys.stdout.write(f"{masking.text(done.summary)}\n")
    return 0
