"""One process that serves one client on stdin and stdout, for containers and tests; its kernels end with it."""

import logging
import signal

import anyio
from anyio.abc import TaskStatus

from mcp_notebook.errors import StateUnusable
from mcp_notebook.server import lowlevel, open_server
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.stdio import serve_stdio
from mcp_notebook.upkeep import collect_less_garbage, leave_at_last, log_to_stderr, raise_descriptor_limit

logger = logging.getLogger(__name__)


async def serve_embedded(settings: Settings) -> None:
    """Serve one client on stdio until its end of input or SIGTERM, SIGINT or SIGHUP."""
    log_to_stderr()
    raise_descriptor_limit()
    collect_less_garbage()
    connection = Connection(agent=settings.agent, workspace=settings.workspace, environment=settings.environment)
    serving = anyio.CancelScope()
    # Signals are caught to the very end: clients send SIGTERM soon after they closed stdin, and its default
    # action would leave kernels behind.
    unusable: StateUnusable | None = None
    async with anyio.create_task_group() as watching:
        await watching.start(_end_on_signal, connection, serving)
        try:
            async with Sessions(settings) as sessions:
                with serving:
                    async with open_server(settings, sessions) as server:
                        await serve_stdio(lowlevel(server), connection)
                leave_at_last()
        except StateUnusable as exc:  # out of the group, which would wrap it
            unusable = exc
        watching.cancel_scope.cancel()
    if unusable is not None:
        raise unusable


async def _end_on_signal(connection: Connection, serving: anyio.CancelScope, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
        task_status.started()
        async for received in signals:
            logger.info("%s: ending.", received.name)
            connection.closed = True
            serving.cancel()
