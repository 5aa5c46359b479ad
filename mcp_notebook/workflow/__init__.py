"""Notebooks as reviewed work: commits without outputs, pushed, and described for a pull request.

Functions over files and the user's own git; sessions and tools are no business of theirs.
"""

from mcp_notebook.workflow.commit import Committed, Wanted, commit
from mcp_notebook.workflow.description import Change, Run, describe

__all__ = ["Change", "Committed", "Run", "Wanted", "commit", "describe"]
