"""Where a call on files works: in which directory, with whose environment, and which secrets are known.

The session that the call means gives them, if there is one; none is opened for it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mcp_notebook.files import Pair
from mcp_notebook.kernels.environment import kernel_environment
from mcp_notebook.masking import Masking
from mcp_notebook.session import Session
from mcp_notebook.sessions import LOCAL
from mcp_notebook.starting import masking_by, secrets_by
from mcp_notebook.tools.tool import Call


@dataclass(frozen=True)
class Workplace:
    """Of one call."""

    workspace: Path
    environment: Mapping[str, str] = field(repr=False)
    """The client's, whole: git and forges need its credentials. Other principals get nothing secret of the server's."""
    masking: Masking = field(repr=False)
    """Of what is shown."""
    secrets: Masking = field(repr=False)
    """Of what is published: always on, since who wants to see secrets in outputs does not want them in commits."""
    forge_tokens: tuple[str, ...] = field(repr=False)
    session: Session | None = None


async def workplace(call: Call, handle: str | None) -> Workplace:
    """For the session of that handle, else the connection's only one, else its workspace. Raises UnknownSession."""
    connection, settings = call.connection, call.settings
    session = await _session(call, handle)
    workspace = call.sessions.workspace_of(connection) if session is None else session.workspace
    environment: Mapping[str, str] = connection.environment or settings.environment
    if session is not None:
        environment = call.sessions.environment_of(session.handle)
    masking = masking_by(settings)
    masking.learn(environment)
    secrets = secrets_by(settings, environment)
    is_own = connection.user == LOCAL
    if not is_own:
        environment, _ = kernel_environment(environment, keep=settings.env_pass, withhold=settings.env_withhold)
    return Workplace(workspace, environment, masking, secrets, settings.forge_tokens if is_own else (), session)


def session_with(call: Call, pair: Pair) -> Session | None:
    """The caller's session that has one of the files open."""
    return next((session for session in call.sessions.usable_by(call.connection) if session.has(pair)), None)


async def _session(call: Call, handle: str | None) -> Session | None:
    if handle is not None:
        return await call.sessions.resolve(call.connection, handle)
    if call.connection.handles_only:
        return None
    mine = [session for session in call.sessions.of(call.connection) if not session.is_run]
    return mine[0] if len(mine) == 1 else None
