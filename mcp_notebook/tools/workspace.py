"""Where the notebook_ tools find files, and what they know of whoever calls them; no session is opened for it."""

from collections.abc import Mapping
from pathlib import Path

from mcp_notebook import files
from mcp_notebook.masking import Masking
from mcp_notebook.session import Session
from mcp_notebook.starting import masking_by
from mcp_notebook.tools.tool import Call
from mcp_notebook.tools.waiting import live_session


async def workspace_of(call: Call, handle: str | None) -> Path:
    """The session's, if one is named, else that of the client."""
    if handle is not None:
        return (await live_session(call, handle)).workspace
    return call.connection.workspace or call.settings.workspace


def environment_of(call: Call) -> Mapping[str, str]:
    """The client's; the server's own, if the client sent none."""
    return call.connection.environment or call.settings.environment


def masking_of(call: Call) -> Masking:
    """Of the secrets that the client's environment has."""
    masking = masking_by(call.settings)
    masking.learn(environment_of(call))
    return masking


def session_with(call: Call, pair: files.Pair) -> Session | None:
    """The caller's session that has one of the files open."""
    return next((session for session in call.sessions.usable_by(call.connection) if session.has(pair)), None)
