"""The server process of one user: what lives as long as it does, and what ends it.

Kernels and sessions outlive it: the next one goes on with them. It ends on SIGTERM, SIGINT and SIGHUP, when a newer
version asks it to, and when it had neither a session nor a client for a while.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
from anyio.abc import TaskStatus
from mcp.server import Server

from mcp_notebook import __version__
from mcp_notebook.control import LOCK, SOCKET
from mcp_notebook.doors import Address, Doors
from mcp_notebook.errors import BadRequest, NotebookError
from mcp_notebook.kernels.keeping import Keeper
from mcp_notebook.kernels.launch import private_directory
from mcp_notebook.listening import Listener, bind
from mcp_notebook.lock import Lock
from mcp_notebook.prompts import Prompts
from mcp_notebook.server import lowlevel, open_server
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.upkeep import collect_less_garbage, leave_at_last, log_to_stderr, raise_descriptor_limit

ANSWERS_WITHIN_S = 2.0
"""At the end: time for running calls to be answered."""
LOCK_AGAIN_S = 0.1

logger = logging.getLogger(__name__)


async def serve(
    settings: Settings,
    *,
    http: Address | None = None,
    on_demand: bool = False,
    on_ready: Callable[[], None] = lambda: None,
) -> str | None:
    """Serve everybody of this user until it is time to end; returns why not, when another process does so already.

    ``on_ready`` is called once clients can connect.

    Raises:
        ListenerRefused: HTTP cannot be served at this address.
    """
    log_to_stderr()
    directory = private_directory(settings.sockets, settings.sockets)
    lock = Lock.take(directory / LOCK)
    if lock is None:  # relays probe it for a moment
        await anyio.sleep(LOCK_AGAIN_S)
        lock = Lock.take(directory / LOCK)
    if lock is None:
        return f"A server runs already, at {directory / SOCKET}: `mcp-notebook sessions` shows what is alive."
    try:
        raise_descriptor_limit()
        collect_less_garbage()
        await _Daemon(settings, directory / SOCKET, http, on_ready, on_demand=on_demand).run()
    finally:
        lock.release()
    return None


class _Daemon:
    def __init__(
        self, settings: Settings, path: Path, http: Address | None, on_ready: Callable[[], None], *, on_demand: bool
    ) -> None:
        self._settings = settings
        self._path = path
        self._http = http
        self._on_ready = on_ready
        self._successor: str | None = None
        """The version that this server hands over to."""
        self._on_demand = on_demand
        self._doors: Doors
        self._ending = anyio.Event()
        self._sessions: Sessions
        self._listener: Listener

    async def run(self) -> None:
        failed: NotebookError | None = None
        async with anyio.create_task_group() as watching:
            await watching.start(self._end_on_signal)
            try:
                await self._serve()
            except NotebookError as exc:  # out of the group, which would wrap it
                failed = exc
            watching.cancel_scope.cancel()
        if failed is not None:
            raise failed

    async def _serve(self) -> None:
        keeper = Keeper(self._settings.sockets, self._settings.home / "keeper.log")
        async with (
            Sessions(self._settings, keeper) as self._sessions,
            open_server(self._settings, self._sessions) as server,
            anyio.create_task_group() as tasks,
        ):
            self._doors = Doors(server, self._settings, self._path.with_name("http.json"), tasks)
            failed = None
            try:
                await self._work(lowlevel(server), tasks)
            except NotebookError as exc:  # out of the group, which would wrap it
                failed = exc
            tasks.cancel_scope.cancel()
        keeper.close()
        if failed is not None:
            raise failed

    async def _work(self, server: Server[Any], tasks: anyio.abc.TaskGroup) -> None:
        if self._http is not None:
            await self._doors.open(self._http)
        await self._doors.open_again()
        prompts = Prompts(self._sessions)
        commands = {
            "status": self._status,
            "stop": self._stop,
            "hand_over": self._hand_over,
            "http": self._open_http,
            "waiting": prompts.waiting,
            "answer": prompts.answer,
        }
        self._listener = Listener(server, self._sessions, bind(self._path), commands)  # last: whoever sees it may ask
        tasks.start_soon(self._listener.serve)
        if self._on_demand:
            tasks.start_soon(self._end_when_idle)
        with suppress(OSError):  # the disk of the log is full
            sys.stderr.write("".join(f"{line}\n" for line in (f"Serving at {self._path}", *self._doors.said)))
            sys.stderr.flush()
        self._on_ready()
        await self._ending.wait()
        await self._end()

    async def _end(self) -> None:
        leave_at_last()
        self._listener.close()
        self._path.unlink(missing_ok=True)
        self._path.with_name("start.lock").unlink(missing_ok=True)  # the relays'
        if self._successor is None:
            self._doors.forget()
        self._listener.pause()
        with anyio.move_on_after(ANSWERS_WITHIN_S):
            await self._sessions.calls.answer_all(but_those_that_come_again=self._successor is not None)
        self._listener.take_leave(self._successor)

    async def _end_on_signal(self, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            task_status.started()
            async for received in signals:
                logger.info("%s: ending.", received.name)
                self._ending.set()

    async def _end_when_idle(self) -> None:
        """Look twice: whoever came and went in between may come again."""
        served = None
        while True:
            while self._sessions.all():
                await self._sessions.changed()
            with anyio.move_on_after(self._settings.idle_exit_s):
                await self._sessions.changed()
                served = None
                continue
            listener = self._listener
            idle = not (self._doors.said or self._sessions.all() or listener.connections or listener.commands)
            if idle and served == self._listener.served:
                break
            served = self._listener.served if idle else None
        self._ending.set()

    # Commands

    async def _status(self, _: dict[str, Any]) -> dict[str, Any]:
        sessions = [
            session.status()
            | {"client": session.client_name, "agent": session.agent, "in_use": self._sessions.is_held(session)}
            | {"principal": session.principal}
            for session in self._sessions.all()
        ]
        return {
            "pid": os.getpid(),
            "home": str(self._settings.home),
            "listening": self._doors.said,
            "sessions": sessions,
            "clients": len(self._listener.connections),
        }

    async def _stop(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Save and end sessions: ``name`` one by its name or handle, or "all"."""
        name = str(asked.get("name", ""))
        chosen = self._called(name)
        stopped, kept = [], []
        for session in chosen:
            lost = None
            try:
                saved = await session.save() if session.notebook.cells and not session.is_run else None
            except NotebookError as exc:
                if not asked.get("force"):
                    kept.append({"session": session.handle, "why": str(exc)})
                    continue
                saved, lost = None, str(exc)
            await self._sessions.end(session)
            paths = [str(path) for path in saved.paths] if saved else []
            stopped.append({"session": session.handle, "saved": paths, "lost": lost})
        if not self._sessions.all() and not self._listener.connections:
            self._ending.set()
        return {"stopped": stopped, "kept": kept}

    def _called(self, name: str) -> list[Session]:
        """By handle or by name, which those of several principals may share. Raises BadRequest."""
        chosen = [each for each in self._sessions.all() if name in ("all", each.name, each.handle)]
        if name == "all" or len(chosen) == 1:
            return chosen
        if not chosen:
            raise BadRequest(f"No session is called {name!r}: `mcp-notebook sessions` lists them.")
        handles = ", ".join(each.handle for each in chosen)
        raise BadRequest(f"Several sessions are called {name!r}: name one of {handles}.")

    async def _open_http(self, asked: dict[str, Any]) -> dict[str, Any]:
        hosts = tuple(str(each) for each in asked.get("allowed_hosts", ()))
        address = Address(str(asked["host"]), int(asked["port"]), bool(asked.get("allow_remote")), hosts)
        return {"listening": await self._doors.open(address)}

    async def _hand_over(self, asked: dict[str, Any]) -> dict[str, Any]:
        logger.info("Version %s takes over from %s.", asked.get("version"), __version__)
        if asked.get("life") not in (None, self._listener.life):
            raise BadRequest("The server that was to hand over has ended already.")
        self._successor = str(asked.get("version"))
        self._ending.set()
        return {"pid": os.getpid()}
