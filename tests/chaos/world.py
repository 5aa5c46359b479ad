"""The clients, the place and the book of one run, and what happens to all of them between steps."""

import contextlib
import time
from typing import Any

import psutil

from tests.chaos.actors import OWNER, Actor, session_of
from tests.chaos.asking import Asking
from tests.chaos.book import Book, Trouble
from tests.chaos.checks import Checks
from tests.chaos.place import DISKS, Place
from tests.chaos.sources import Testimonies
from tests.chaos.steps import ACTORS
from tests.reliability.clients import NoAnswer

ANSWERED_WITHIN_S = 100.0
QUIET_WITHIN_S = 100.0
AGAIN_S = 0.1
CALM_LOOKS = 3
"""A rebuild has moments at which none of its cells runs."""


class World:
    """Opened with a session for each client that owns one."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.book = Book()
        self.asking = Asking(self.book)
        self.witness = Testimonies(place.cells)
        log = place.base / "clients.log"
        self.actors = {name: Actor(name, place.user, place.port, log) for name in ACTORS}
        self.handles: dict[str, str] = {}
        self._paused: dict[str, tuple[psutil.Process, int, Trouble]] = {}
        """By whom: the process, after which step it goes on, and the trouble that it is."""
        self._full: dict[str, tuple[int, Trouble]] = {}
        self._tags = 0
        self.checks = Checks(self)

    def open(self) -> None:
        """Everybody is there, and has a session."""
        self.place.serve()
        for session, owner in OWNER.items():
            self.actors[owner].connect()
            self.handles[session] = session_of(self.actors[owner])
        for actor in self.actors.values():
            if actor.must_connect:
                actor.connect()

    def tag(self) -> str:
        """A new one."""
        self._tags += 1
        return f"t{self._tags}"

    def ready(self, name: str) -> Actor:
        """The client, connected. Raises NoAnswer: it cannot be."""
        actor = self.actors[name]
        if actor.must_connect:
            for whom in ("daemon", "keeper", f"relay:{name}", f"client:{name}"):
                self.resume(whom)
            self._connect(actor)
            if not actor.listens:
                self._check_resumed(actor)
        return actor

    def _connect(self, actor: Actor) -> None:
        """Twice, if the daemon that listened ends just then."""
        self.place.serve()
        try:
            actor.connect()
        except NoAnswer:
            self.place.serve()
            actor.connect()

    def find(self, victim: str) -> psutil.Process | None:
        """The process that is meant, if there is one."""
        kind, _, name = victim.partition(":")
        try:
            match kind:
                case "client":
                    return self.actors[name].process()
                case "relay":
                    return self.actors[name].relay()
                case "daemon":
                    return self.place.daemon()
                case "keeper":
                    return self.place.keeper()
            return self.checks.kernel_of(name)
        except psutil.Error:
            return None

    # What happens to processes

    def will_die(self, victim: str) -> None:
        """Who is concerned, from now on."""
        kind, _, name = victim.partition(":")
        match kind:
            case "client":
                self.resume(f"relay:{name}")
                if self.actors[name].cancels_by_its_end:
                    self._cancelled(name)
                self.asking.excuse("its client was killed", actor=name)
            case "relay":
                self.asking.excuse("its relay was killed", actor=name)
            case "daemon":
                self.book.begin("death:daemon")
                self.asking.daemon_died()
            case "keeper":
                self.book.begin("death:keeper")
            case "kernel":
                self.book.begin(f"death:{name}")

    def has_died(self, victim: str) -> None:
        """It is gone."""
        kind, _, name = victim.partition(":")
        if kind == "client":
            self.actors[name].gone()
        elif kind == "relay":
            self.actors[name].must_connect = True
        elif kind == "daemon":
            self.book.end_all("death:daemon")
            self.book.begin("lost:daemon")[0].ended = self.book.tick()
            self.place.reap()
            for actor in self.actors.values():
                actor.must_connect |= actor.listens

    def pause(self, victim: str, steps: int) -> None:
        """Stop it for so many steps."""
        process = self.find(victim)
        if process is not None and victim not in self._paused:
            process.suspend()
            kind = victim.partition(":")[0]
            (trouble,) = self.book.begin(f"pause:{kind}")
            self._paused[victim] = (process, self.book.step + steps, trouble)

    def resume(self, victim: str) -> None:
        """It goes on."""
        if victim in self._paused:
            process, _, trouble = self._paused.pop(victim)
            with contextlib.suppress(psutil.Error):
                process.resume()
            self.book.end([trouble])

    def fill(self, disk: str, steps: int) -> None:
        """No room for so many steps."""
        if disk not in self._full:
            (trouble,) = self.book.begin(f"full:{disk}")
            if disk == "state":
                self.book.begin("unsafe")
            self.place.fill(disk)
            self._full[disk] = (self.book.step + steps, trouble)

    def empty(self, disk: str) -> None:
        """Room again."""
        if disk in self._full:
            _, trouble = self._full.pop(disk)
            self.place.empty(disk)
            self.book.end([trouble])

    # Between steps

    def after_step(self) -> None:
        """Whose time is up, goes on; what has come, is noted."""
        for victim, (_, until, _) in list(self._paused.items()):
            if self.book.step >= until:
                self.resume(victim)
        for disk, (until, _) in list(self._full.items()):
            if self.book.step >= until:
                self.empty(disk)
        for call in self.book.calls:
            self.asking.look(call)
        self.checks.kernels_are_known()

    def settle(self) -> None:
        """All goes on, everything is answered, nothing runs: then everything is checked."""
        for victim in list(self._paused):
            self.resume(victim)
        for disk in DISKS:
            self.empty(disk)
        for tag in self.book.ran:
            (self.place.cells / f"{tag}.go").touch()
        for name in self.actors:
            self.ready(name)
        self._make_safe()
        for session in OWNER:
            self._quiet(session)
        self._all_answered()
        self.witness.read()
        self.checks.everything()
        self._revive()
        for session in OWNER:
            for what in ("interrupt", "restart", "rebuild", "death"):
                self.book.end_all(f"{what}:{session}")

    def close(self) -> None:
        """End the clients and everything else."""
        for victim in list(self._paused):
            self.resume(victim)
        for actor in self.actors.values():
            actor.close()
        self.place.close()

    def call(self, session: str, tool: str, **arguments: Any) -> str:
        """The answer to the owner of the session. Raises NoAnswer."""
        program = self.actors[OWNER[session]].program
        assert program is not None
        return program.call(tool, **arguments, session=self.handles[session])

    def _make_safe(self) -> None:
        """What is written after a disk was full makes good what could not be written meanwhile."""
        if self.book.met("unsafe", self.book.tick()):
            for session in OWNER:
                tag = self.tag()
                arguments = {"edit_mode": "insert", "cell_type": "markdown", "source": f"# room {tag!r}"}
                actor = self.actors[OWNER[session]]
                call = self.asking.begin(actor, self.handles[session], "edit_cell", tag=tag, **arguments)
                self.asking.look(call, ANSWERED_WITHIN_S)
            self.book.end_all("unsafe")

    def _quiet(self, session: str) -> None:
        """Nothing runs or waits in it any more."""
        until, calm = time.monotonic() + QUIET_WITHIN_S, 0
        while time.monotonic() < until:
            state = self.checks.status(session)
            is_calm = not state["pending"] and state["state"] not in ("starting", "busy")
            calm = calm + 1 if is_calm else 0
            if calm == CALM_LOOKS:
                return
            if state["state"] == "waiting_for_input":
                with contextlib.suppress(NoAnswer):
                    self.call(session, "control_kernel", action="answer", text="given", wait_s=1)
            elif state["pending"]:
                self.call(session, "get_output", execution_id=state["pending"][0], wait_s=2)
            else:
                time.sleep(AGAIN_S)
        self.book.fault(f"session {session} does not come to rest: {self.checks.status(session)}")

    def _all_answered(self) -> None:
        until = time.monotonic() + ANSWERED_WITHIN_S
        for call in self.book.open_calls():
            if not self.asking.look(call, max(0.1, until - time.monotonic())):
                self.book.fault(f"{call}, begun in step {call.step}, was never answered")
                call.excused = "reported"

    def _revive(self) -> None:
        """A dead kernel is started again, in one way or the other."""
        for session, owner in OWNER.items():
            if self.checks.status(session)["state"] in ("dead", "shutdown"):
                action = "restart" if len(self.book.ran) % 2 else "rebuild"
                arguments: dict[str, Any] = {"action": action} | ({"wait_s": 60} if action == "rebuild" else {})
                actor = self.actors[owner]
                call = self.asking.begin(actor, self.handles[session], "control_kernel", **arguments)
                self.asking.look(call, ANSWERED_WITHIN_S)
                self._quiet(session)

    def _cancelled(self, name: str) -> None:
        for call in self.book.open_calls():
            if call.actor == name:
                self.book.begin(f"cancel:{call.tag}")

    def _check_resumed(self, actor: Actor) -> None:
        """A client that was started again has its session."""
        assert actor.program is not None
        found = session_of(actor)
        if found != self.handles[actor.session]:
            self.book.fault(f"client {actor.name} came back to {found} instead of {self.handles[actor.session]}")
