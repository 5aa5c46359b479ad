"""Where the server process serves HTTP; the next one does so too, unless this one was told to end."""

import json
import logging
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import anyio.abc
import anyio.to_thread
from mcp.server import MCPServer

from mcp_notebook.errors import NotebookError
from mcp_notebook.leases import Connection
from mcp_notebook.settings import Settings
from mcp_notebook.tokens import FILE

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Address:
    """Where HTTP is served."""

    host: str
    port: int
    allow_remote: bool = False
    """Whether it may be reached from other machines."""
    allowed_hosts: tuple[str, ...] = ()
    """Names that clients reach it by, besides its own."""


class Doors:
    """Opened in the server's task group; ``path`` is the file that remembers them."""

    def __init__(
        self, server: MCPServer[Connection], settings: Settings, path: Path, tasks: anyio.abc.TaskGroup
    ) -> None:
        self._server = server
        self._settings = settings
        self._path = path
        self._tasks = tasks
        self._open: dict[Address, str] = {}

    @property
    def said(self) -> list[str]:
        """A line about each."""
        return list(self._open.values())

    async def open(self, address: Address) -> str:
        """Serve there from now on; returns what is to be said of it. Raises ListenerRefused."""
        if address not in self._open:
            port = await self._listen(address)
            host = f"[{address.host}]" if ":" in address.host else address.host
            where = f"HTTP: http://{host}:{port}/mcp, with the token in {self._settings.home / FILE}{self._others()}"
            address = replace(address, port=port)  # 0 left it to the system; the next server takes the same one
            self._open[address] = where
            self._remember()
        return self._open[address]

    async def open_again(self) -> None:
        """Where an earlier server that was killed, or that handed over, served."""
        try:
            kept = json.loads(self._path.read_bytes())
            addresses = [Address(**{**each, "allowed_hosts": tuple(each["allowed_hosts"])}) for each in kept]
        except (OSError, ValueError, TypeError, KeyError):
            return
        for address in addresses:
            try:
                await self.open(address)
            except NotebookError as exc:
                logger.warning("HTTP is no longer served at %s:%d: %s", address.host, address.port, exc)

    def forget(self) -> None:
        """This server ends because somebody wanted it: the next one opens only what it is told to."""
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    async def _listen(self, address: Address) -> int:
        from mcp_notebook.http import serve_http  # takes 0.2 s to import, which few servers need
        from mcp_notebook.verifying import verifier

        verify = await anyio.to_thread.run_sync(verifier, self._settings)
        start = partial(
            serve_http,
            self._server,
            self._settings,
            address.host,
            address.port,
            verify=verify,
            allow_remote=address.allow_remote,
            allowed_hosts=address.allowed_hosts,
        )
        port: int = await self._tasks.start(start)
        return port

    def _others(self) -> str:
        return ", or one of [auth]" if self._settings.auth.is_on else ""

    def _remember(self) -> None:
        data = json.dumps([asdict(address) for address in self._open]).encode()
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
            os.write(descriptor, data)
            os.close(descriptor)
        except OSError as exc:
            logger.warning("The next server will not know where HTTP is served (%s).", exc)
