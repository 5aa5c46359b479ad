"""Who uses which session: connections, and the leases that they hold.

A lease ends with its connection. After the server's own restart those of living clients wait for them: a client
that comes back presents its token and gets exactly its sessions. Clients that died meanwhile are not waited for, nor
those over HTTP, which have no token.
"""

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from mcp_notebook.errors import FileRefused
from mcp_notebook.files import Pair
from mcp_notebook.identity import ProcessId
from mcp_notebook.options import LOCAL
from mcp_notebook.session import Session


class Connection:
    """One client's connection, made by whoever accepted it.

    ``closed`` is set before the stream ends: only then can a lost client be told from a cancelled call.
    """

    def __init__(
        self,
        *,
        client_name: str = "",
        agent: str | None = None,
        workspace: Path | None = None,
        environment: Mapping[str, str] | None = None,
        lease: str | None = None,
        resent: Iterable[object] = (),
        wait_s: float | None = None,
        comes_again: bool = False,
        process: ProcessId | None = None,
        principal: str | None = None,
        handles_only: bool = False,
        roots: Sequence[Path] = (),
    ) -> None:
        self.client_name = client_name
        self.agent = agent
        self.workspace = workspace
        self.environment = environment
        self.lease = lease or secrets.token_urlsafe(16)
        """What the client shows to a server that is started after this one."""
        self.resent = {str(request) for request in resent}
        """Requests that an earlier server got and may have begun, by their JSON-RPC ids."""
        self.wait_s = wait_s
        """How long its calls wait for a cell by default; None as the settings say."""
        self.comes_again = comes_again
        """Whether it connects to the next server and sends again what was not answered."""
        self.process = process
        """The relay, where that is known: it comes again as long as it lives."""
        self.begun: set[object] = set()
        """The JSON-RPC ids of requests that were taken in and not answered yet."""
        self.say_last: Callable[[bytes], None] = _say_nothing
        """Puts a line behind everything that was sent to it."""
        self.paused = False
        """Nothing more is taken in."""
        self.principal = principal
        """Who authenticated; None on the private socket or pipe of the user himself."""
        self.handles_only = handles_only
        """It is over with its request: it has no session but those that a handle names, and holds none."""
        self.roots = tuple(roots)
        """Where ``open_session(workspace=...)`` may lie; none: below ``workspace``."""
        self.candidates = ""
        """What is to be said with its first session: which others might have been meant."""
        self.closed = False
        self.opening = anyio.Lock()
        """One at a time, so that two first calls share one session."""

    @property
    def user(self) -> str:
        """The principal that stands behind it."""
        return self.principal or LOCAL


def held_elsewhere(pair: Pair, session: Session, principal: str) -> FileRefused:
    """Why a file that ``session`` has cannot be opened; of another principal's session nothing is told."""
    if session.principal != principal:
        return FileRefused(f"{pair.name} cannot be opened or written here: work on a copy.")
    return FileRefused(f"{pair.name} is open in another session, {session.name!r}: work on a copy.")


def _say_nothing(_line: bytes) -> None:
    return


@dataclass(frozen=True)
class _Awaited:
    token: str
    until: float
    process: ProcessId | None
    """None: not known."""

    def may_come(self) -> bool:
        return anyio.current_time() < self.until and (self.process is None or self.process.may_live())


class Leases:
    """Of the sessions of one server."""

    def __init__(self, client_wait_s: float) -> None:
        self._client_wait_s = client_wait_s
        self._holders: dict[str, Connection] = {}
        self._waiting: dict[str, _Awaited] = {}
        """By handle."""

    def hold(self, session: Session, connection: Connection) -> None:
        """From now on ``connection`` uses the session."""
        if self._holders.get(session.handle) is not connection and not connection.handles_only:
            self._holders[session.handle] = connection
            self._waiting.pop(session.handle, None)
            token = connection.lease if connection.comes_again else None  # over HTTP it cannot be shown
            session.leased(token, connection.client_name, connection.agent, connection.process)

    def end(self, connection: Connection, sessions: Iterable[Session]) -> None:
        """The client has gone by itself: its token is not kept."""
        for session in self.of(connection, sessions):
            session.leased(None, session.client_name, session.agent, None)

    def drop(self, session: Session) -> None:
        """The session is gone."""
        self._holders.pop(session.handle, None)
        self._waiting.pop(session.handle, None)

    def wait_for(self, session: Session, token: str, process: ProcessId | None) -> None:
        """The session was leased to a client of an earlier server, which may come back as long as ``process`` lives."""
        self._waiting[session.handle] = _Awaited(token, anyio.current_time() + self._client_wait_s, process)

    def claim(self, connection: Connection, sessions: Iterable[Session]) -> None:
        """Give a client that comes back what it had."""
        for session in sessions:
            awaited = self._waiting.get(session.handle)
            if awaited is not None and awaited.token == connection.lease:
                connection.client_name = connection.client_name or session.client_name
                self.hold(session, connection)

    def connection_of(self, session: Session) -> Connection | None:
        """Whose it is or was last, of this server's connections."""
        return self._holders.get(session.handle)

    def is_free(self, session: Session) -> bool:
        """Whether nobody uses it, and nobody is waited for."""
        holder = self._holders.get(session.handle)
        if holder is not None and not holder.closed:
            return False
        awaited = self._waiting.get(session.handle)
        return awaited is None or not awaited.may_come()

    def left_by(self, connection: Connection, root: Path, sessions: Iterable[Session]) -> list[Session]:
        """Those that are free and that its client, or its agent, had; none in which a notebook is executed."""
        return [
            session
            for session in sessions
            if self.is_free(session)
            and not session.is_run
            and (session.principal, session.root, session.agent) == (connection.user, root, connection.agent)
            and (connection.agent is not None or session.client_name == connection.client_name)
        ]

    def is_held(self, session: Session) -> bool:
        """Whether a living connection uses it."""
        holder = self._holders.get(session.handle)
        return holder is not None and not holder.closed

    def of(self, connection: Connection, sessions: Iterable[Session]) -> list[Session]:
        """Those that it uses."""
        return [session for session in sessions if self._holders.get(session.handle) is connection]
