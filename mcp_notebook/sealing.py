"""The seal on what clients carry from one call to the next, which every server of this user can open.

Its key is a file of the state directory, so that an answer finds its cell also after the server was killed.
"""

import logging
from pathlib import Path

from mcp.server.request_state import RequestStateSecurity

from mcp_notebook.errors import ListenerRefused
from mcp_notebook.tokens import token

FILE = "request-state-key"
GOOD_FOR_S = 24 * 3600.0
"""A person may take as long over an answer."""

logger = logging.getLogger(__name__)


def sealing(home: Path) -> RequestStateSecurity:
    """The policy for this state directory; where no key can be kept it is one of this process. Blocks."""
    try:
        return RequestStateSecurity(keys=[token(home, FILE, "The key for what clients bring back")], ttl=GOOD_FOR_S)
    except ListenerRefused as exc:
        logger.warning("%s Until then an answer that comes after a restart of the server is asked for again.", exc)
        return RequestStateSecurity.ephemeral(ttl=GOOD_FOR_S)
