"""`mcp-notebook token`: who may come in over HTTP with a token of his own."""

import sys

from mcp_notebook import named_tokens
from mcp_notebook.settings import Settings


def add(settings: Settings, name: str) -> int:
    """Make a token and show it, which happens once; returns the exit code."""
    token = named_tokens.add(settings.home, name)
    _say(token)
    sys.stderr.write(
        f"This is the token of {name}, who has to send it as `Authorization: Bearer TOKEN`. It is not kept, and cannot"
        " be shown again.\n"
    )
    return 0


def show(settings: Settings) -> int:
    """Write whose tokens there are; returns the exit code."""
    tokens = named_tokens.listed(settings.home)
    if not tokens:
        _say("Nobody has a token of his own: `mcp-notebook token add NAME` makes one.")
    for each in tokens:
        _say(f"{each.name}  since {each.made}")
    return 0


def revoke(settings: Settings, name: str) -> int:
    """Let nobody in by it any more; returns the exit code."""
    named_tokens.revoke(settings.home, name)
    _say(
        f"The token of {name} is valid no more. The sessions of {name} live on, for whoever gets a new token of that"
        " name: `mcp-notebook sessions` shows them, `mcp-notebook sessions stop` ends them."
    )
    return 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
