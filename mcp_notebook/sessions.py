"""Sessions: which there are, whose they are, and which one a call means.

A connection is not an agent: one connection may carry many agents, each in a session of its own. The rules
are those of the design's section on sessions. It knows no transport: who accepts connections makes them.
"""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
import anyio.abc
import anyio.to_thread
from nbformat import NotebookNode

from mcp_notebook import files, state
from mcp_notebook.calls import Calls
from mcp_notebook.errors import BadRequest, NotebookError
from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.adopt import adopt, known
from mcp_notebook.kernels.base import Tasks
from mcp_notebook.kernels.keeping import Keeper
from mcp_notebook.kernels.launch import sweep
from mcp_notebook.leases import Connection, Leases, held_elsewhere
from mcp_notebook.left import Left, Unreadable, find_left, nothing_left
from mcp_notebook.life import StartKernel
from mcp_notebook.naming import free_name, make_workspace, new_handle, workspace_in
from mcp_notebook.options import LOCAL, OnChange, SessionOptions, Wanted
from mcp_notebook.quotas import Quotas
from mcp_notebook.session import Session
from mcp_notebook.settings import Settings
from mcp_notebook.starting import options_by, starter
from mcp_notebook.tasks import GuardedTasks

__all__ = ["LOCAL", "Connection", "Opened", "Sessions"]

UNUSED_LOOK_S = 600.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Opened:
    """A session, whether it is a new one, and what is to be said of how it came about."""

    session: Session
    created: bool
    notes: list[str]


class Sessions:
    """All sessions of this process, an async context manager.

    With a ``keeper`` the kernels outlive it, and it begins with the sessions that an earlier server left. Without
    one it ends them.
    """

    def __init__(self, settings: Settings, keeper: Keeper | None = None) -> None:
        self.settings = settings
        self.keeper = keeper
        self.listeners: list[OnChange] = []
        """Called with a session's handle and the id of a changed cell, None for the whole notebook."""
        self._sessions: dict[str, Session] = {}
        self._unreadable = Unreadable()
        self._leases = Leases(settings.client_wait_s)
        self._quotas = Quotas(settings.limits, self._sessions)
        self._changed = anyio.Event()
        self.calls = Calls()
        self._group: anyio.abc.TaskGroup
        self._tasks: Tasks

    async def __aenter__(self) -> Self:
        await anyio.to_thread.run_sync(state.prepare, self.settings.home)
        find = partial(find_left, self.settings) if self.keeper is not None else nothing_left
        left, self._unreadable = await anyio.to_thread.run_sync(find)
        await anyio.to_thread.run_sync(partial(sweep, self.settings.sockets, kept=self.keeper is not None))
        self._group = await anyio.create_task_group().__aenter__()
        self._tasks = GuardedTasks(self._group)
        if self.keeper is not None:
            for each in left:
                await self._go_on(each)
            self._tasks.start_soon(self._stop_unused)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as ends:
                for session in self._sessions.values():
                    ends.start_soon(session.end if self.keeper is None else session.leave)
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)  # what ended us stays what it is, in no group

    async def open(
        self,
        connection: Connection,
        *,
        notebook: str | None = None,
        name: str | None = None,
        kernel: str | None = None,
        workspace: str | Path | None = None,
        server: str | None = None,
    ) -> Opened:
        """Open or resume a session of ``connection``; a new one's kernel is ready on return.

        Raises:
            BadRequest: arguments that contradict each other.
            FileRefused: no notebook, outside the workspace, or open in another connection's session.
            KernelError: the kernel was not found or did not start; no session is left.
        """
        if server is not None:
            raise BadRequest("Notebooks on a Jupyter server cannot be opened yet: leave `server` out.")
        place = self.workspace_of(connection, workspace)
        async with connection.opening:
            pair = None if notebook is None else await anyio.to_thread.run_sync(files.locate, notebook, place)
            if pair is not None and any(session.shares_ipynb(pair) for session in self._sessions.values()):
                pair = pair.apart()
            known = self._named(connection, name, pair)
            by_name = name is not None and not connection.handles_only
            if known is None and pair is None and (by_name or not self._own(connection)):
                known = self._resumed(connection, place, name)
            if known is not None:
                return Opened(known, False, [*await known.refresh(), *known.take_notes(), *_unused(kernel)])
            session = await self._create(connection, Wanted(place, pair, name, kernel))
            return Opened(session, True, session.take_notes())

    async def open_run(
        self, connection: Connection, notebook: NotebookNode, name: str, kernel: str | None, directory: Path
    ) -> Session:
        """A session that executes ``notebook``, its kernel in ``directory``; raises as ``open``."""
        wanted = Wanted(self.workspace_of(connection), None, name, kernel, notebook, directory)
        return await self._create(connection, wanted)

    async def resolve(self, connection: Connection, handle: str | None) -> Session:
        """The session that a call means; without a handle the connection's only one, or a new default.

        Raises:
            UnknownSession: no such handle.
            BadRequest: no handle, and several sessions, ``require_session``, or a connection of handles only.
        """
        if handle is not None:
            session = self.find(handle, connection)
            if not self._leases.is_held(session):
                self._leases.hold(session, connection)
            return session
        if connection.handles_only:
            raise BadRequest(
                "Nothing is kept between your requests over HTTP, so every call needs `session`: call open_session()"
                f" once and pass the `session` that it returns. {self._listed(connection)}"
            )
        if self.settings.require_session:
            raise BadRequest(f"Pass `session`. {self._listed(connection)}")
        async with connection.opening:
            mine = self._own(connection)
            live = [session for session in mine if session.state != "shutdown"] or mine
            if len(live) > 1:
                raise BadRequest(f"This connection has several sessions: pass `session`. {self._listed(connection)}")
            if live:
                return live[0]
            place = self.workspace_of(connection)
            known = self._resumed(connection, place)
            return known or await self._create(connection, Wanted(place))

    async def resume(self, connection: Connection) -> bool:
        """Whether the connection has a session, or its client goes on with one now; none is made."""
        async with connection.opening:
            return bool(self._own(connection)) or self._resumed(connection, self.workspace_of(connection)) is not None

    def find(self, handle: str, connection: Connection | None = None) -> Session:
        """The session of this handle, if it is one that ``connection`` may use. Raises UnknownSession."""
        session = self._sessions.get(handle)
        if session is None or (connection is not None and session.principal != connection.user):
            raise self._unreadable.unknown(handle, connection.user if connection else LOCAL)
        return session

    def usable_by(self, connection: Connection) -> list[Session]:
        """Those that ``find`` finds for it, oldest first: all of its principal's."""
        return [session for session in self._sessions.values() if session.principal == connection.user]

    def of(self, connection: Connection) -> list[Session]:
        """The connection's sessions, oldest first; all of its principal's, if it can hold none."""
        if connection.handles_only:
            return self.usable_by(connection)
        return self._leases.of(connection, self._sessions.values())

    def _own(self, connection: Connection) -> list[Session]:
        """Those that a call may mean without naming one."""
        return [session for session in self.of(connection) if not session.is_run]

    def all(self) -> list[Session]:
        """Everybody's, oldest first."""
        return list(self._sessions.values())

    def is_held(self, session: Session) -> bool:
        """Whether a living connection uses it."""
        return self._leases.is_held(session)

    def attach(self, connection: Connection) -> None:
        """A client has connected; one that was connected to an earlier server gets its sessions."""
        self._leases.claim(connection, self._sessions.values())

    def detach(self, connection: Connection) -> None:
        """A client has gone, and a later server is not to wait for it."""
        self._leases.end(connection, self._sessions.values())

    async def end(self, session: Session) -> None:
        """Stop its kernel and forget it."""
        self._forget(session)
        await session.end()

    async def changed(self) -> None:
        """Return when the next session has begun, or ended."""
        await self._changed.wait()

    def _forget(self, session: Session) -> None:
        self._sessions.pop(session.handle, None)
        self._leases.drop(session)
        self._count_changed()

    def _count_changed(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def workspace_of(self, connection: Connection, chosen: str | Path | None = None) -> Path:
        """Its directory, or ``chosen`` below it. Raises FileRefused."""
        root = (connection.workspace or self.settings.workspace).resolve()
        return root if chosen is None else workspace_in(root, chosen, connection.roots)

    def _named(self, connection: Connection, name: str | None, pair: files.Pair | None) -> Session | None:
        """The open session that the arguments mean, if there is one."""
        if pair is None:
            # Many agents may stand behind a principal, and two of them choose the same name.
            mine = [
                s for s in self.of(connection) if name == s.handle or (name == s.name and not connection.handles_only)
            ]
            return mine[0] if mine else None
        session = next((session for session in self._sessions.values() if session.has(pair)), None)
        if session is not None:
            free = self._leases.is_free(session) and session.principal == connection.user
            if not free and session not in self.of(connection):
                raise held_elsewhere(pair, session, connection.user)
            self._leases.hold(session, connection)
        return session

    def _resumed(self, connection: Connection, place: Path, name: str | None = None) -> Session | None:
        """The session that a client goes on with when it is started again, if there is no doubt which."""
        root = self.workspace_of(connection)
        free = [
            session
            for session in self._leases.left_by(connection, root, self._sessions.values())
            if session.workspace == place
            and (session.state != "shutdown" if name is None else name in (session.name, session.handle))
        ]
        if connection.agent is not None:
            free = sorted(free, key=lambda session: session.last_used, reverse=True)[:1]
        if len(free) == 1:
            self._leases.hold(free[0], connection)
            free[0].say(f"Resumed the session {free[0].handle}: its kernel is {free[0].state}.")
            return free[0]
        if free:
            names = ", ".join(session.handle for session in free)
            connection.candidates = f"Several are free, and any may be yours: {names}."
        return None

    async def _create(self, connection: Connection, wanted: Wanted) -> Session:
        pair, place = wanted.pair, wanted.place
        on_disk = None if pair is None else await anyio.to_thread.run_sync(files.read, pair)
        await anyio.to_thread.run_sync(make_workspace, place)
        # Somebody may have opened the same file since it was looked for; from here to its entry nothing waits.
        taken = self._named(connection, None, pair) if pair is not None else None
        if taken is not None:
            return taken
        self._quotas.check_session(connection.user)
        mine = {session.name for session in self._sessions.values() if session.principal == connection.user}
        chosen = free_name(wanted.name or (pair.paths[0].stem if pair else "notebook"), mine)
        handle = new_handle(chosen)
        directory = state.session_directory(self.settings.home, handle)
        options = replace(
            self._options(directory),
            handle=handle,
            name=chosen,
            workspace=place,
            root=self.workspace_of(connection),
            principal=connection.user,
            started=datetime.now(UTC).isoformat(timespec="microseconds"),  # the order of a successor
            check_free=partial(self._check_free, handle),
            **wanted.options(),
        )
        session = Session(options, self._starter(options), self._tasks, on_disk)
        session.notebook.node = wanted.notebook or session.notebook.node
        self._sessions[handle] = session
        self._count_changed()
        self._leases.hold(session, connection)
        try:
            await session.start()
        except BaseException:
            self._forget(session)
            with anyio.CancelScope(shield=True):
                await session.end()
            raise
        for note in self._unreadable.notes(connection.user):
            session.say(note)
        if connection.candidates and not session.is_run:
            session.say(f"This session is new. {connection.candidates} Pass `session` to go on with one of them.")
            connection.candidates = ""
        return session

    async def _go_on(self, left: Left) -> None:
        """Take over a session of an earlier server, with its kernel if that lives."""
        try:
            options = self._options(left.directory).of(left.recalled.facts)
            kernel = adopt(known(left.kernel), self._tasks) if left.kernel is not None else None
            start = self._starter(options)
            session = Session(options, start, self._tasks, left.recalled.on_disk, left.recalled)
            await session.go_on(left.recalled, kernel)
            state.take_over(left.directory)
            lease = left.recalled.lease
            session.client_name, session.agent = lease["client_name"], lease["agent"]
            if lease["token"]:
                self._leases.wait_for(session, lease["token"], ProcessId.from_data(lease.get("process")))
        except Exception as exc:
            logger.exception("The session in %s could not be taken over", left.directory)
            self._unreadable.add(left.directory, exc)
            return
        self._sessions[session.handle] = session
        self._count_changed()

    async def _stop_unused(self) -> None:
        """End what nobody has used for long, and what runs nothing, saved first."""
        while True:
            await anyio.sleep(min(UNUSED_LOOK_S, self.settings.limits.idle_s))
            for session in self.all():
                unused = time.time() - session.last_used >= self.settings.limits.idle_s
                if not unused or session.state == "busy" or self.is_held(session):
                    continue
                try:
                    if not session.is_run:  # it has its executed copy
                        await session.save()
                except NotebookError as exc:
                    logger.warning("%s is unused but could not be saved, and is kept: %s", session.handle, exc)
                    continue
                await self.end(session)

    def _check_free(self, handle: str, pair: files.Pair) -> None:
        mine = self._sessions.get(handle)
        for other in self._sessions.values():
            if other is not mine and other.has(pair):
                raise held_elsewhere(pair, other, mine.principal if mine is not None else "")

    def _options(self, directory: Path) -> SessionOptions:
        return replace(
            options_by(self.settings, directory),
            outlives_server=self.keeper is not None,
            on_change=self._tell,
            client_environment=partial(self.environment_of, directory.name),
            check_free=partial(self._check_free, directory.name),
        )

    def _starter(self, options: SessionOptions) -> StartKernel:
        start = starter(self.settings, self.keeper, options)
        return self._quotas.limited(options.handle, options.principal, start)

    def environment_of(self, handle: str) -> Mapping[str, str]:
        """Of the client that uses the session; the server's own where none does, or it sent none."""
        session = self._sessions.get(handle)
        user = self._leases.connection_of(session) if session is not None else None
        return (user and user.environment) or self.settings.environment

    def _listed(self, connection: Connection) -> str:
        mine = ", ".join(f"{session.handle} ({session.state})" for session in self.of(connection))
        return f"Yours: {mine}." if mine else "You have none: open_session opens one."

    def _tell(self, handle: str, cell_id: str | None) -> None:
        for listener in self.listeners:
            try:
                listener(handle, cell_id)
            except Exception:
                logger.exception("A listener failed on a change of %s", handle)


def _unused(kernel: str | None) -> list[str]:
    if kernel is None:
        return []
    return [f"It is open already and keeps its kernel: {kernel!r} was not started."]
