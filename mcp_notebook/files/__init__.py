"""Notebooks on disk: found, read, told apart from what was read last, written without clobbering.

``store`` does the work that others ask for, ``pairs`` says which files a notebook is; the other rooms are theirs.
"""

from mcp_notebook.files.ipynb import empty
from mcp_notebook.files.pairs import Pair, locate
from mcp_notebook.files.store import OnDisk, changed, read, read_contents, write

__all__ = ["OnDisk", "Pair", "changed", "empty", "locate", "read", "read_contents", "write"]
