"""The parent of a user's kernels: it starts them, waits for them, and writes down how each one ended.

Not a module but a script, ``python -I -S keeper.py SOCKET_DIRECTORY LOG_FILE [IDLE_S]``, which returns when the
keeper listens, in a process of its own. It stays as long as the kernels do, so it imports little, and nothing of
ours. Whoever connects to ``keeper.sock`` sends requests and gets answers, one JSON object a line:

    {"hello": 1}         {"version": 1, "pid", "start_time", "boot_id", "kernels": [{"pid", "start_time", "record"}]}
    {"start": {...}}     {"pid", "start_time"}: argv, environment, cwd, log, record, and perhaps owner: a file to
                         which the new process writes its identity and record before it becomes the program
    {"stop": 1}          {"stopped": true}, when no kernel lives

A request that cannot be carried out is answered by {"error": "a sentence"}. Ask one thing after the other: a start
is answered when the program runs.
"""

import errno
import fcntl
import json
import os
import selectors
import signal
import socket
import stat
import struct
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

VERSION = 1
IDLE_S = 5.0
LONGEST_REQUEST = 64 << 20
CHUNK = 1 << 18
LONGEST_REASON = 2000
PRIVATE = 0o600
NOT_STARTED = 127
"""The exit code of a child that could not become the program."""


class Connection:
    """One client, and what it has sent that is no whole line yet."""

    def __init__(self, keeper: "Keeper", client: socket.socket) -> None:
        self._keeper = keeper
        self._client = client
        self._received = bytearray()
        client.setblocking(False)
        keeper.selector.register(client, selectors.EVENT_READ, self._on_ready)

    def answer(self, answer: "dict[str, Any]") -> None:
        """Answers are short: a client that leaves so many that they do not fit is closed."""
        line = json.dumps(answer).encode() + b"\n"
        try:
            sent = self._client.send(line)
        except OSError:
            sent = 0
        if sent < len(line):
            self.close()

    def close(self) -> None:
        """Forget the client; kernels that it started live on."""
        if self in self._keeper.connections:
            self._keeper.connections.remove(self)
            self._keeper.selector.unregister(self._client)
            self._client.close()

    def _on_ready(self) -> None:
        try:
            data = self._client.recv(CHUNK)
        except OSError:
            data = b""
        whole = b"\n" in data
        self._received += data
        if not data or len(self._received) > LONGEST_REQUEST:
            self.close()
        elif whole:
            *lines, self._received = self._received.split(b"\n")
            for line in lines:
                self._keeper.obey(line, self)


class Keeper:
    """The loop, and what it waits for."""

    def __init__(self, directory: str, idle_s: float, listener: socket.socket) -> None:
        self.connections: set[Connection] = set()
        self._directory = directory
        self._idle_s = idle_s
        self._children: dict[int, dict[str, Any]] = {}
        self._starting: dict[int, Callable[[], None]] = {}
        """Those that have not become a program yet, and how to tell that one has, or has not."""
        self._leaving = False
        self.selector = selectors.DefaultSelector()
        self._listener = listener

    def run(self) -> None:
        """Until nobody needs it."""
        self._await_signals()
        self.selector.register(self._listener, selectors.EVENT_READ, self._accept)
        quiet_since = time.monotonic()
        while not self._leaving:
            ready = self.selector.select(None if self._children else self._idle_s)
            for key, _events in ready:
                try:
                    key.data()
                except Exception as exc:  # whatever it is, the kernels' ends must be written
                    log(repr(exc))
            if ready or self._children or self.connections:
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since >= self._idle_s:
                break
            if not ready and not self._children and not is_in_place(self._directory, LOCK):
                break
        if is_in_place(self._directory, LOCK):
            os.unlink(f"{self._directory}/keeper.sock")
            os.unlink(f"{self._directory}/keeper.lock")

    def obey(self, line: bytearray, connection: Connection) -> None:
        """One request."""
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            connection.answer({"error": "This is no JSON object."})
        elif "hello" in request:
            kernels = list(self._children.values())
            connection.answer({"version": VERSION, **identity(), "kernels": kernels})
        elif "start" in request:
            try:
                self._start(request["start"], connection)
            except OSError as exc:
                connection.answer({"error": f"The keeper cannot start a process: {exc}"})
        elif "stop" in request and self._children:
            connection.answer({"error": f"{len(self._children)} kernels live."})
        elif "stop" in request:
            connection.answer({"stopped": True})
            self._leaving = True
        else:
            connection.answer({"error": "No such request: hello, start or stop."})

    def _start(self, asked: "Any", connection: Connection) -> None:
        if why := faults(asked):
            connection.answer({"error": why})
            return
        said, saying = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(said)
            os.close(saying)
            raise
        if pid == 0:
            become(asked, saying)
        os.close(saying)
        child = self._children[pid] = {"pid": pid, "start_time": start_time(pid), "record": asked["record"]}

        def tell() -> None:
            if self._starting.pop(pid, None):
                self.selector.unregister(said)
                failure = os.read(said, LONGEST_REASON).decode()
                os.close(said)
                if failure:
                    child["record"] = None  # it never was a kernel
                connection.answer({"error": failure} if failure else child)

        self._starting[pid] = tell
        self.selector.register(said, selectors.EVENT_READ, tell)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:
            time.sleep(0.05)  # no descriptor is left: it stays readable
            return
        if is_ours(client):
            self.connections.add(Connection(self, client))
        else:
            client.close()

    def _await_signals(self) -> None:
        wakes, woken = socket.socketpair()
        for each in (wakes, woken):
            each.setblocking(False)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, lambda number, frame: None)

        def on_signals() -> None:
            if set(wakes.recv(CHUNK)) - {signal.SIGCHLD} and not self._children:
                self._leaving = True
            self._reap()

        self.selector.register(wakes, selectors.EVENT_READ, on_signals)
        self._woken = woken

    def _reap(self) -> None:
        while self._children:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid in self._starting:
                self._starting[pid]()
            child = self._children.pop(pid)
            if child["record"]:
                write_end(child, os.waitstatus_to_exitcode(status), usage.ru_maxrss)


def faults(asked: "Any") -> str | None:
    """What is wrong with a request to start."""
    if not isinstance(asked, dict):
        return "start wants an object."
    argv, environment = asked.get("argv"), asked.get("environment")
    if not isinstance(argv, list) or not argv or not all(isinstance(each, str) for each in argv):
        return "argv is not a list of strings."
    if not isinstance(environment, dict) or not all(isinstance(each, str) for each in environment.values()):
        return "environment is not an object of strings."
    for path in (asked.get("cwd"), asked.get("log"), asked.get("record"), asked.get("owner", "/")):
        if not isinstance(path, str) or not path.startswith("/"):
            return "cwd, log, record and owner are absolute paths."
    return None


def become(asked: "dict[str, Any]", saying: int) -> None:
    """In the child: become the program, or say why not and end."""
    try:
        os.setsid()
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if "owner" in asked:
            write_whole(encoded(asked["owner"]), {**identity(), "record": asked["record"]})
        path = encoded(asked["log"])
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        output = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(encoded(asked["cwd"]))
        environment = {encoded(name): encoded(value) for name, value in asked["environment"].items()}
        argv = [encoded(each) for each in asked["argv"]]
        os.execvpe(argv[0], argv, environment)
    except OSError as exc:
        name = f": {os.fsdecode(exc.filename)!r}" if exc.filename is not None else ""
        why = f"[Errno {exc.errno}] {exc.strerror}{name}"
    except BaseException as exc:
        why = f"{type(exc).__name__}: {exc}"
    finally:
        os.write(saying, why.encode(errors="replace")[:LONGEST_REASON])
        os._exit(NOT_STARTED)


def encoded(text: str) -> bytes:
    """Text as it was before the client's Python, whatever its locale, had decoded it."""
    return text.encode("utf-8", "surrogateescape")


def write_end(child: "dict[str, Any]", code: int, peak: int) -> None:
    """What is known of a kernel that has ended; a disk that is full costs that knowledge and no more."""
    end = {
        "pid": child["pid"],
        "start_time": child["start_time"],
        "boot_id": BOOT_ID,
        "code": code if code >= 0 else None,
        "signal": -code if code < 0 else None,
        "peak_memory_bytes": peak if sys.platform == "darwin" else peak * 1024,
        "ended": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime()),
    }
    try:
        write_whole(encoded(child["record"]), end)
    except (OSError, ValueError) as exc:
        log(f"{child['record']}: {exc}; it was to say {end}")


def log(text: str) -> None:
    """One line, where the disk takes it."""
    try:
        os.write(2, f"{text}\n".encode(errors="backslashreplace"))
    except OSError:
        return


def write_whole(path: bytes, data: "dict[str, Any]") -> None:
    """JSON that is read as a whole or not at all. Raises OSError."""
    part = path + b".part"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE)
    text = json.dumps(data).encode()
    try:
        if os.write(descriptor, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.replace(part, path)
    except OSError:
        os.unlink(part)
        raise
    finally:
        os.close(descriptor)


def identity() -> "dict[str, Any]":
    """This process, as identity.ProcessId has it."""
    return {"boot_id": BOOT_ID, "pid": os.getpid(), "start_time": start_time(os.getpid())}


def find_boot_id() -> str:
    """As identity.boot_id has it."""
    if sys.platform == "darwin":
        return said_by("sysctl", "-n", "kern.bootsessionuuid")
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            boot = file.read().strip()
        return f"{boot}:{os.readlink('/proc/self/ns/pid').strip('pid:[]')}"
    except OSError:
        return "unknown"


def start_time(pid: int) -> str:
    """As identity.ProcessId has it."""
    if sys.platform == "darwin":
        return said_by("ps", "-o", "stat=,lstart=", "-p", str(pid)).partition(" ")[2].strip()
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return ""


def said_by(*command: str) -> str:
    """Its output."""
    import subprocess  # on macOS only: it costs memory

    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "TZ": "UTC"}
    return subprocess.run(command, env=environment, capture_output=True, text=True).stdout.strip()


def lock(directory: str) -> int | None:
    """The descriptor of the lock, or None where another keeper has it. Raises OSError."""
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    found = os.fstat(place)
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(errno.EPERM, "not a private directory of this user", directory)
    # Held as long as the keeper lives: systemd-tmpfiles removes nothing old from a locked directory.
    fcntl.flock(place, fcntl.LOCK_SH)
    while True:
        descriptor = os.open("keeper.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, PRIVATE, dir_fd=place)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if is_in_place(directory, descriptor):  # a keeper that ends removes it
            return descriptor


def is_in_place(directory: str, descriptor: int) -> bool:
    """Whether the lock that others would take is the one that is held."""
    path = f"{directory}/keeper.lock"
    return os.path.exists(path) and os.path.samestat(os.stat(path), os.fstat(descriptor))


def listen(directory: str) -> socket.socket:
    """The socket, for this user alone; what lies in its place was left by a keeper that was killed."""
    path = f"{directory}/keeper.sock"
    if os.path.lexists(path):
        os.unlink(path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    os.chmod(path, PRIVATE)
    listener.listen(128)
    listener.setblocking(False)
    return listener


def is_ours(client: socket.socket) -> bool:
    """Whether the other side is of this user, as far as the system tells."""
    if not hasattr(socket, "SO_PEERCRED"):
        return True
    credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return bool(struct.unpack("3i", credentials)[1] == os.getuid())


if __name__ == "__main__":
    os.closerange(3, 65536)
    log_file = os.open(sys.argv[2], os.O_WRONLY | os.O_APPEND | os.O_CREAT, PRIVATE)
    for standard, descriptor in ((0, os.open(os.devnull, os.O_RDONLY)), (1, log_file), (2, log_file)):
        os.dup2(descriptor, standard)
    os.closerange(3, 65536)
    BOOT_ID = find_boot_id()
    held = lock(sys.argv[1])
    if held is None:
        sys.exit()
    LOCK = held
    listening = listen(sys.argv[1])
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    Keeper(sys.argv[1], float(sys.argv[3]) if len(sys.argv) > 3 else IDLE_S, listening).run()
