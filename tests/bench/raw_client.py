"""Floor (a): the Jupyter protocol in a few lines of pyzmq, json and hmac, without any library above them.

Not a client to use: it checks signatures and waits for reply and idle, and that is all.
"""

import hmac
import json
import os
import selectors
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import zmq

DELIMITER = b"<IDS|MSG>"
READY_EVERY_MS = 100
STUCK_AFTER_S = 60


class RawClient:
    """Shell and IOPub of one kernel. ``execute`` blocks; ``begin`` and ``advance`` are for a loop over many."""

    def __init__(self, connection: Mapping[str, Any]) -> None:
        self._key = str(connection["key"]).encode()
        self.shell = _connect(zmq.DEALER, "shell", connection)
        self.iopub = _connect(zmq.SUB, "iopub", connection)
        self._cells_left = 0
        self._replied = self._idle = False
        self._session, self._sent, self._msg_id = os.urandom(8).hex(), 0, ""

    def close(self) -> None:
        """Close both sockets."""
        self.shell.close(linger=0)
        self.iopub.close(linger=0)

    def become_ready(self) -> None:
        """Return when the kernel answers and its IOPub messages arrive."""
        while True:
            self._send("kernel_info_request", {})
            self._receive(self.shell)
            while self.iopub.poll(READY_EVERY_MS):
                if self._is_idle(self._receive(self.iopub)):
                    return

    def execute(self, code: str) -> None:
        """Run ``code`` and wait for its reply and for idle."""
        self._request(code)
        while not self._is_reply(self._receive(self.shell)):
            pass
        while not self._is_idle(self._receive(self.iopub)):
            pass

    def begin(self, code: str, cells: int) -> None:
        """Send the first of ``cells`` equal cells."""
        self._code, self._cells_left = code, cells
        self._request(code)

    def advance(self) -> bool:
        """Take in what has arrived and send the next cell when one is complete; True after the last."""
        arrived = True
        while arrived:
            arrived = False
            with suppress(zmq.Again):
                while not self._replied:
                    self._replied = self._is_reply(self._receive(self.shell, zmq.NOBLOCK))
            with suppress(zmq.Again):
                while not self._idle:
                    self._idle = self._is_idle(self._receive(self.iopub, zmq.NOBLOCK))
            if self._replied and self._idle:
                self._cells_left -= 1
                if not self._cells_left:
                    return True
                self._request(self._code)
                arrived = True
        return False

    def _request(self, code: str) -> None:
        self._replied = self._idle = False
        self._send("execute_request", {"code": code, "silent": False, "store_history": True})

    def _send(self, msg_type: str, content: Mapping[str, Any]) -> None:
        self._sent += 1
        self._msg_id = f"{self._session}_{self._sent}"
        header = {"msg_id": self._msg_id, "msg_type": msg_type, "session": self._session, "version": "5.3"}
        parts = [json.dumps(part).encode() for part in (header | {"username": "", "date": ""}, {}, {}, content)]
        self.shell.send_multipart([DELIMITER, self._sign(parts), *parts])

    def _receive(self, socket: "zmq.Socket[bytes]", flags: int = 0) -> list[Any]:
        frames = socket.recv_multipart(flags)
        signature, *parts = frames[frames.index(DELIMITER) + 1 :][:5]
        if not hmac.compare_digest(signature, self._sign(parts)):
            raise RuntimeError("A message is not signed by the kernel.")
        return [json.loads(part) for part in parts]

    def _is_reply(self, message: Sequence[Any]) -> bool:
        header, parent, _, content = message
        if parent.get("msg_id") != self._msg_id or header["msg_type"] != "execute_reply":
            return False
        if content["status"] != "ok":
            raise RuntimeError(f"A cell that should be ok was not: {content}")
        return True

    def _is_idle(self, message: Sequence[Any]) -> bool:
        _, parent, _, content = message
        return bool(parent.get("msg_id") == self._msg_id and content.get("execution_state") == "idle")

    def _sign(self, parts: Sequence[bytes]) -> bytes:
        return hmac.digest(self._key, b"".join(parts), "sha256").hex().encode()


def execute_all(clients: Sequence[RawClient], code: str, cells: int) -> None:
    """Run ``cells`` cells on each kernel, all kernels at once, in one loop over the sockets' descriptors."""
    with selectors.DefaultSelector() as selector:
        for client in clients:
            for socket in (client.shell, client.iopub):
                selector.register(socket.fileno(), selectors.EVENT_READ, client)
            client.begin(code, cells)
        # Sending can consume the edge that announces a message: look at each once.
        running = {client for client in clients if not client.advance()}
        while running:
            ready = {key.data for key, _ in selector.select(STUCK_AFTER_S)}
            if not ready:
                raise RuntimeError(f"{len(running)} kernels did not answer within {STUCK_AFTER_S} s.")
            running -= {client for client in ready & running if client.advance()}


def _connect(kind: int, channel: str, connection: Mapping[str, Any]) -> "zmq.Socket[bytes]":
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(kind)
    socket.rcvhwm = 0
    socket.rcvtimeo = STUCK_AFTER_S * 1000
    if kind == zmq.SUB:
        socket.subscribe(b"")
    if connection.get("curve_publickey"):
        socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
        socket.curve_serverkey = str(connection["curve_publickey"]).encode()
    mark = "-" if connection["transport"] == "ipc" else ":"
    socket.connect(f"{connection['transport']}://{connection['ip']}{mark}{connection[f'{channel}_port']}")
    return socket
