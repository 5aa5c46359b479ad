"""A stand-in for the daemon: python -m tests.standin DIRECTORY RECORD [LIFE] [VERSION]. Killed by the tests.

What it receives it writes to the file RECORD, one JSON a line. It answers every request at once, but for a tool's call
it does as the tool, or the argument ``do``, is named: ``hold`` is never answered, ``stall`` keeps it from reading on
too, ``ask`` asks the client first, ``big`` answers with as many characters as the argument ``size`` says, ``noise``
sends as many notifications before the answer, ``die`` and ``leave`` end the process. SIGTERM ends it in good order.
"""

import fcntl
import json
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

Message = dict[str, Any]


class StandIn:
    """Serves all who connect, a thread each."""

    def __init__(self, directory: Path, record: Path, life: str, version: str) -> None:
        self._path = directory / "daemon.sock"
        self._record = record
        self._me = {"mcp_notebook": 1, "version": version, "life": life, "lease": f"lease-{life}", "pid": os.getpid()}
        self._held: list[tuple[socket.socket, Any]] = []
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Until the process ends."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(self._path))
        os.seteuid(int(os.environ.get("STANDIN_LISTENS_AS", os.geteuid())))  # whose peers see this as its user
        listener.listen(64)
        os.seteuid(os.getuid())
        self.note(listening=os.getpid())
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self._serve_one, args=(connection,), daemon=True).start()

    def note(self, **what: Any) -> None:
        """Write it to the record."""
        with self._lock, self._record.open("a") as file:
            file.write(json.dumps({"life": self._me["life"], **what}) + "\n")

    def end(self) -> None:
        """Say which requests were begun, and go."""
        for connection in {connection for connection, _ in self._held}:
            begun = [request for other, request in self._held if other is connection]
            _send(connection, {"mcp_notebook": 1, "bye": True, "begun": begun})
        self._path.unlink(missing_ok=True)
        os._exit(0)

    def _serve_one(self, connection: socket.socket) -> None:
        try:
            self._converse(connection)
        except OSError:
            pass  # whoever it was is gone
        finally:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _converse(self, connection: socket.socket) -> None:
        lines = connection.makefile("rb")
        first = lines.readline()
        if not first:
            return
        hello = json.loads(first)
        self.note(hello=hello)
        if hello.get("kind") == "control":
            _send(connection, self._me)
            self.end()
        if hello.get("agent") == "nobody":
            _send(connection, {"error": "Nobody is not served."})
            return
        _send(connection, self._me)
        asked: list[Any] = []
        for line in lines:
            self.note(line=line.decode(errors="replace").rstrip("\n") if len(line) < 10_000 else f"{len(line)} bytes")
            try:
                message = json.loads(line)
            except ValueError:
                _send(connection, {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "no JSON"}})
                continue
            if "result" in message:
                _result(connection, asked.pop(0), f"{message['id']!r}: {message['result']['answer']}")
            elif "id" in message and "method" in message:
                self._respond(connection, message, asked)

    def _respond(self, connection: socket.socket, message: Message, asked: list[Any]) -> None:
        parameters = message.get("params", {})
        tool = parameters.get("name") if message["method"] == "tools/call" else None
        arguments = parameters.get("arguments", {})
        match arguments.get("do", tool):
            case "hold":
                self._held.append((connection, message["id"]))
            case "stall":
                self._held.append((connection, message["id"]))
                threading.Event().wait()
            case "ask":
                asked.append(message["id"])
                _send(connection, {"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {}})
            case "die":
                os._exit(1)
            case "leave":
                _send(connection, {"mcp_notebook": 1, "bye": True, "begun": []})
                os._exit(0)
            case "noise":
                for number in range(arguments["size"]):
                    note = {"level": "info", "data": f"{number} " + "x" * 10_000}
                    _send(connection, {"jsonrpc": "2.0", "method": "notifications/message", "params": note})
                _result(connection, message["id"], "done")
            case "big":
                _result(connection, message["id"], "é" * arguments["size"])
            case _:
                _result(connection, message["id"], f"{self._me['life']} {message['method']}")


def _result(connection: socket.socket, request: Any, text: str) -> None:
    content = {"content": [{"type": "text", "text": text}]}
    _send(connection, {"jsonrpc": "2.0", "id": request, "result": content})


def _send(connection: socket.socket, message: Message) -> None:
    connection.sendall(json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")


def main(directory: str, record: str, life: str = "one", version: str = "0.1.0") -> None:
    """Serve, or end at once when another one has the lock."""
    os.makedirs(directory, 0o700, exist_ok=True)  # noqa: PTH103 - the mode of the last one only
    lock = os.open(Path(directory) / "daemon.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("another one has the lock")
    standin = StandIn(Path(directory), Path(record), life, version)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    threading.Thread(target=standin.serve, daemon=True).start()
    signal.sigwait({signal.SIGTERM})
    standin.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
