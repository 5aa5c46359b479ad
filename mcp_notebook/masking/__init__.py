"""Secrets in outputs: a session's ``Masking`` knows them, and gives texts without them.

Pure: it is told environments and texts, and reads nothing. It prevents accidents, such as a token in a
traceback that is committed with the notebook; it is no wall: code can print a secret in a form that nobody
foresees. Sources are never masked.
"""

from mcp_notebook.masking.masking import Masking
from mcp_notebook.masking.streams import StreamMask
from mcp_notebook.masking.values import looks_secret

__all__ = ["Masking", "StreamMask", "looks_secret"]
