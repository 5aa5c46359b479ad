"""Outputs and cells as text and content blocks, within a budget. Pure.

``blocks`` makes results of a tool, ``page`` the notebook as a page; the other rooms are theirs.
"""

from mcp_notebook.render.blocks import MOST_BYTES, header_line, output_text, outputs_text, render, shortened
from mcp_notebook.render.page import cell_markdown, outline

__all__ = [
    "MOST_BYTES",
    "cell_markdown",
    "header_line",
    "outline",
    "output_text",
    "outputs_text",
    "render",
    "shortened",
]
