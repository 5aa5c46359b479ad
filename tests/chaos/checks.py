"""What must be true when everything has come to rest: cells, outputs, executions, kernels, files, processes."""

import json
from typing import TYPE_CHECKING, Any

import psutil

from tests.chaos.actors import OWNER
from tests.chaos.documents import check_document
from tests.chaos.executions import check_execution
from tests.chaos.files import Files
from tests.chaos.refusals import check_refusals
from tests.daemons import wait_until
from tests.reliability.victims import is_gone

if TYPE_CHECKING:
    from tests.chaos.world import World

GONE_WITHIN_S = 20.0


class Checks:
    """Of one world."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._kernels: dict[str, tuple[psutil.Process, int]] = {}
        """By session, and the moment at which it was seen to be the session's."""
        self._files = Files(world.place, world.book)

    def everything(self) -> None:
        """All of it; what is wrong is in the book."""
        world, book = self._world, self._world.book
        for session in OWNER:
            check_document(world, session)
        for ran in book.ran.values():
            check_execution(world, ran)
        check_refusals(book)
        self._check_lives()
        self._check_processes()
        self._files.check(world)

    def status(self, session: str) -> dict[str, Any]:
        """What the daemon says of the session."""
        found: dict[str, Any] = json.loads(
            self._world.call(session, "control_kernel", action="status").partition("\n}")[0] + "\n}"
        )
        if found["session"] != self._world.handles[session]:
            self._world.book.fault(f"asked for {self._world.handles[session]}, got {found['session']}")
        return found

    def kernel_of(self, session: str) -> psutil.Process | None:
        """The kernel of the session, as far as is known."""
        found = self._kernels.get(session)
        return found[0] if found is not None and found[0].is_running() else None

    def kernels_are_known(self) -> None:
        """Note which process is whose kernel, if the daemon tells; another one needs a reason."""
        book = self._world.book
        if book.met("pause:daemon", book.tick()) or self._world.find("daemon") is None:
            return
        states = self._world.place.status()
        for session, handle in self._world.handles.items():
            pid = ((states.get(handle) or {}).get("kernel") or {}).get("pid")  # type: ignore[attr-defined]
            if pid is None or not psutil.pid_exists(pid):
                continue
            before = self._kernels.get(session)
            if before is not None and before[0].pid == pid:
                self._kernels[session] = (before[0], book.tick())
                continue
            if before is not None and not self._may_be_another(session, before[1]):
                book.fault(f"session {session} has kernel {pid} instead of {before[0].pid}, and nobody started it")
            self._kernels[session] = (psutil.Process(pid), book.tick())

    def _may_be_another(self, session: str, since: int) -> bool:
        return self._world.book.met(f"restart:{session}", since)

    def _check_lives(self) -> None:
        witness = self._world.witness
        for pid in witness.torn_lives():
            self._world.book.fault(f"kernel {pid} forgot what it had begun")

    def _check_processes(self) -> None:
        """A daemon, a keeper, the clients' relays and the living kernels, and nobody else."""
        world, book = self._world, self._world.book
        relays = {relay.pid for actor in world.actors.values() if (relay := actor.relay()) is not None}
        states = world.place.status()
        kernels = {(state.get("kernel") or {}).get("pid") for state in states.values()}  # type: ignore[attr-defined]
        daemons = {process.pid for process in [world.find("daemon")] if process is not None}
        keepers = []
        for process in world.place.user.processes():
            try:
                words = process.cmdline()
            except psutil.Error:
                continue
            if any("keeper.py" in word for word in words):
                keepers.append(process.pid)
            elif process.pid not in relays | kernels | daemons and not _is_gone_soon(process):
                book.fault(f"process {process.pid} is nobody's: {_told(process)}; the daemon is {daemons}")
        if len(keepers) > 1:
            book.fault(f"there are several keepers: {keepers}")


def _told(process: psutil.Process) -> str:
    try:
        return f"{' '.join(process.cmdline())[:200]}, {process.status()}, child of {process.ppid()}"
    except psutil.Error:
        return "gone by now"


def _is_gone_soon(process: psutil.Process) -> bool:
    """One that is about to end, such as the relay of a client that was killed."""
    try:
        wait_until(lambda: is_gone(process.pid), GONE_WITHIN_S)
    except AssertionError:
        return False
    return True
