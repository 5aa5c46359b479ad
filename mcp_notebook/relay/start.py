"""Find the daemon of this user, start one, make an older one hand over.

The standard library only, and little of it: every client starts one of these. Whoever can write into the socket
directory can pretend to be the daemon, so it is checked before anything in it is used.
"""

import fcntl
import json
import os
import socket
import sys
import time

from mcp_notebook.relay.places import Unavailable, check

TYPE_CHECKING = False  # importing typing would take longer than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Wait = Callable[[float], None]
    """Lets some seconds pass, in which the client is listened to."""

POLL_S = 0.01
START_WITHIN_S = 60.0
ANOTHER_WITHIN_S = 2.0
ANSWER_WITHIN_S = 10.0
MOST_STARTS = 5
STARTS_WITHIN_S = 10.0
LOG_TAIL_BYTES = 4096
LOG_BYTES = 10 << 20
"""A longer log is put aside when a daemon is started, in place of the one before."""
KEPT = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TMPDIR", "TZ", "PYTHONPATH")
KEPT_PREFIXES = ("LC_", "XDG_")


class Place:
    """Where the daemon listens and logs, and what this relay has started there."""

    def __init__(self, directory: str, home: str, environment: "Mapping[str, str]") -> None:
        self._directory = directory
        self._home = home
        self._environment = environment
        self._starts: list[float] = []
        self._running: list[int] = []
        self._codes: dict[int, int] = {}
        self._log_start = 0
        self.log = os.path.join(home, "daemon.log")

    def connect(self) -> socket.socket | None:
        """A connection to the daemon, None if none listens.

        Raises:
            Unavailable: the directory, or who listens there, cannot be trusted.
        """
        check(self._directory)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(self._path("daemon.sock"))
        except OSError:  # none is there, or too many connect at this moment
            connection.close()
            return None
        if hasattr(socket, "SO_PEERCRED"):
            credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            if int.from_bytes(credentials[4:8], sys.byteorder) != os.getuid():
                connection.close()
                raise Unavailable(f"The server that listens in {self._directory} belongs to another user: end it.")
        return connection

    def find_or_start(self, wait: "Wait") -> socket.socket:
        """A connection to the daemon, which is started if there is none.

        Of many relays one starts it and the others wait for the same one.

        Raises:
            Unavailable: it cannot be trusted or started.
        """
        deadline = time.monotonic() + START_WITHIN_S
        turn, started = -1, None
        try:
            while (connection := self.connect()) is None:
                if turn < 0:
                    turn = _locked(self._path("start.lock"))
                elif started is None and self._lock_is_free():
                    started = self._start()
                    deadline = time.monotonic() + START_WITHIN_S
                self.reap()
                if started in self._codes:
                    break
                if time.monotonic() > deadline:
                    raise Unavailable(
                        f"The notebook server did not answer within {START_WITHIN_S:.0f} s. See {self.log}, and run "
                        "`mcp-notebook doctor`."
                    )
                wait(POLL_S)
        finally:
            if turn >= 0:
                os.close(turn)
        return connection or self._another(wait, self._codes[started or 0])

    def hand_over(self, wait: "Wait", version: str, life: object) -> None:
        """Have the daemon of this ``life`` end for a newer one, and wait; gives up when it does not end."""
        before = _identity(self._path("daemon.sock"))
        connection = self.connect()
        if connection is None:
            return
        hello = {"mcp_notebook": 1, "kind": "control", "version": version, "command": "hand_over", "life": life}
        with connection:
            try:
                connection.sendall(json.dumps(hello).encode() + b"\n")
            except OSError:  # it has just ended
                return
            _wait_for_line(connection, wait)
        deadline = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            listening = self.connect()
            if listening is None and self._lock_is_free():
                return
            if listening is not None:
                listening.close()
                if _identity(self._path("daemon.sock")) != before:  # of the one that another relay has started
                    return
            wait(POLL_S)

    def reap(self) -> None:
        """Let daemons that we started and that have ended go."""
        for pid in list(self._running):
            try:
                ended, status = os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                ended, status = pid, 0
            if ended:
                self._running.remove(pid)
                self._codes[pid] = os.waitstatus_to_exitcode(status)

    def _start(self) -> int:
        """Start a daemon and return its process id.

        Raises:
            Unavailable: too many have ended lately, or nothing can be written.
        """
        now = time.monotonic()
        self._starts = [start for start in self._starts if now - start < STARTS_WITHIN_S]
        if len(self._starts) >= MOST_STARTS:
            raise Unavailable(
                f"The notebook server ended {MOST_STARTS} times within {STARTS_WITHIN_S:.0f} s and is not started "
                f"again for now. Run `mcp-notebook doctor`, and see {self.log}."
            )
        self._starts.append(now)
        try:
            os.makedirs(self._home, 0o700, exist_ok=True)
            if os.path.exists(self.log) and os.path.getsize(self.log) > LOG_BYTES:
                os.replace(self.log, f"{self.log}.1")
            log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        except OSError as exc:
            raise Unavailable(
                f"{exc.filename} cannot be written ({exc.strerror}): mend that, or set MCP_NOTEBOOK_HOME to another "
                "directory."
            ) from exc
        self._log_start = os.fstat(log).st_size
        try:
            pid = _spawn([sys.executable, "-m", "mcp_notebook", "serve", "--on-demand"], self._clean(), log)
        except OSError as exc:
            raise Unavailable(f"No process can be started ({exc.strerror}): end some.") from exc
        finally:
            os.close(log)
        self._running.append(pid)
        self._codes.pop(pid, None)
        return pid

    def _clean(self) -> dict[str, str]:
        """The daemon's environment: nothing of the client that happened to start it."""
        kept = {k: v for k, v in self._environment.items() if k in KEPT or k.startswith(KEPT_PREFIXES)}
        if self._environment.get("MCP_NOTEBOOK_HOME"):
            kept["MCP_NOTEBOOK_HOME"] = self._home
        return kept

    def _path(self, name: str) -> str:
        return os.path.join(self._directory, name)

    def _another(self, wait: "Wait", code: int) -> socket.socket:
        """The connection to the daemon that was first; what we started has ended with ``code``."""
        deadline = time.monotonic() + ANOTHER_WITHIN_S
        latest = time.monotonic() + START_WITHIN_S
        while time.monotonic() < deadline:
            if (connection := self.connect()) is not None:
                return connection
            wait(POLL_S)
            if time.monotonic() > deadline and time.monotonic() < latest and not self._lock_is_free():
                deadline = time.monotonic() + ANOTHER_WITHIN_S
        raise Unavailable(
            f"The notebook server ended with exit code {code} when it was started: "
            f"{_last_line(self.log, self._log_start) or 'its log is empty'} (the log is {self.log}). Run "
            "`mcp-notebook doctor`."
        )

    def _lock_is_free(self) -> bool:
        try:
            lock = os.open(self._path("daemon.lock"), os.O_RDWR | os.O_NOFOLLOW)
        except OSError:
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        finally:
            os.close(lock)
        return True


def _identity(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_ino, status.st_ctime_ns


def _locked(path: str) -> int:
    """A descriptor that holds the lock until it is closed, -1 if another process has it."""
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise Unavailable(f"{path} cannot be made ({exc.strerror}).") from exc
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return -1
    return lock


def _spawn(command: list[str], environment: dict[str, str], log: int) -> int:
    """Start a process in a session of its own. By hand, since importing subprocess costs a third of our memory."""
    sys.stderr.flush()
    if pid := os.fork():
        return pid
    try:
        os.setsid()
        os.chdir("/")
        null = os.open(os.devnull, os.O_RDWR)
        for source, target in ((null, 0), (null, 1), (log, 2)):
            os.dup2(source, target)
        os.closerange(3, min(os.sysconf("SC_OPEN_MAX"), 1 << 16))
        os.execve(command[0], command, environment)
    except BaseException as exc:
        os.write(2, f"{command[0]} cannot be started: {exc}\n".encode())
    finally:
        os._exit(127)


def _wait_for_line(connection: socket.socket, wait: "Wait") -> None:
    deadline = time.monotonic() + ANSWER_WITHIN_S
    while time.monotonic() < deadline:
        try:
            chunk = connection.recv(4096)
        except BlockingIOError:
            wait(POLL_S)
            continue
        except OSError:
            return
        if not chunk or b"\n" in chunk:
            return


def _last_line(path: str, start: int) -> str:
    try:
        with open(path, "rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(start, size - LOG_TAIL_BYTES))
            lines = log.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
