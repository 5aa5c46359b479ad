"""What a cell can call of its host, and the kernel's own half.

Everything here runs inside the kernel, sent in as source; nothing here may import ``mcp_notebook``.
"""
