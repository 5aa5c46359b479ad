"""``python -m mcp_notebook``: the same as ``mcp-notebook``."""

import sys

from mcp_notebook.cli import main

if __name__ == "__main__":
    sys.exit(main())
