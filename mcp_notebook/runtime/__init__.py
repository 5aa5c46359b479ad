"""The server's half of hermes_runtime: what code in cells asks of its host, answered."""

from mcp_notebook.runtime.answering import Runtime
from mcp_notebook.runtime.host import Cells, Host, Made

__all__ = ["Cells", "Host", "Made", "Runtime"]
