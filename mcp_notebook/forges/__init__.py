"""Forges: the sites that keep repositories and their pull requests. Gitea, Forgejo and GitHub behind one protocol.

Also the user's own git, by which everything is done that git can do. Nothing here knows of notebooks.
"""

from mcp_notebook.forges.base import Check, Checks, Comment, Draft, Forge, Home, Opened, PullRequest
from mcp_notebook.forges.choice import find_forge
from mcp_notebook.forges.git import Git
from mcp_notebook.forges.remotes import Remote

__all__ = [
    "Check",
    "Checks",
    "Comment",
    "Draft",
    "Forge",
    "Git",
    "Home",
    "Opened",
    "PullRequest",
    "Remote",
    "find_forge",
]
