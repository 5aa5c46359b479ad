"""The channels of one kernel: a small asynchronous ZMQ client of the Jupyter messaging protocol.

It signs, sends, receives and hands out messages by the id of their parent. It knows nothing of processes.
Dates stay strings, and a message is parsed once: that is where general clients spend their time. The
protocol is https://jupyter-client.readthedocs.io/en/stable/messaging.html.
"""

import asyncio
import hmac
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import zmq

from mcp_notebook.outputs import Message
from mcp_notebook.packing import pack, unpack

logger = logging.getLogger(__name__)

DELIMITER = b"<IDS|MSG>"
BATCH = 200
"""Messages taken from one socket before other kernels have their turn."""
RECONNECT_MS = 5

Channel = Literal["shell", "control", "stdin", "iopub"]
CHANNELS: tuple[Channel, ...] = ("shell", "control", "stdin", "iopub")
OnFrame = Callable[[Channel, Message, int | None], None]
"""Called with each message, and for IOPub with its number in the kernel's life where it has one."""


class Channels:
    """The four sockets of a kernel, in the event loop that made them.

    ``connection`` is the content of a Jupyter connection file. The sockets may be connected before the
    kernel exists. Who makes it, closes it. With the ``identity`` of earlier channels, whose process is gone, the
    kernel's answers to what those had asked arrive here.
    """

    def __init__(self, connection: Mapping[str, Any], on_frame: OnFrame, identity: str | None = None) -> None:
        key = str(connection["key"]).encode()
        self._keyed = hmac.new(key, digestmod="sha256") if key else None
        self._on_frame = on_frame
        self._loop = asyncio.get_running_loop()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
        self.session_id = os.urandom(8).hex()
        self._sent = 0
        self._latest_parent: tuple[bytes, dict[str, Any]] = (b"", {})
        self.identity = identity or self.session_id
        self._sockets: dict[Channel, zmq.Socket[bytes]] = {
            channel: self._connect(channel, connection, self.identity.encode()) for channel in CHANNELS
        }
        for channel, socket in self._sockets.items():
            self._loop.add_reader(socket.fileno(), self._drain, channel)

    def request(
        self,
        channel: Channel,
        msg_type: str,
        content: Mapping[str, Any],
        *,
        metadata: Mapping[str, Any] | None = None,
        parent: Mapping[str, Any] | None = None,
        msg_id: str | None = None,
    ) -> str:
        """Send a message; returns its id, which is ``msg_id`` if one was made with ``new_id``."""
        msg_id = msg_id or self.new_id()
        header = {
            "msg_id": msg_id,
            "msg_type": msg_type,
            "username": "mcp-notebook",
            "session": self.session_id,
            "date": datetime.now(UTC).isoformat(),
            "version": "5.3",
        }
        parts = [pack(part) for part in (header, parent or {}, metadata or {}, content)]
        self._sockets[channel].send_multipart([DELIMITER, self._sign(parts), *parts], zmq.NOBLOCK)
        # Sending can consume the edge that announces a message: look for one.
        self._loop.call_soon(self._drain, channel)
        return msg_id

    def new_id(self) -> str:
        """The id of a message that is yet to be sent."""
        self._sent += 1
        return f"{self.session_id}_{self._sent}"

    def unpacked(self, frames: Sequence[bytes]) -> Message | None:
        """The message in the frames of one, or None where the signature is not the kernel's, or nobody can read it."""
        try:
            start = frames.index(DELIMITER) + 1
            signature, *parts = frames[start : start + 5]
        except ValueError:
            return None
        if len(parts) != 4 or not hmac.compare_digest(signature, self._sign(parts)):
            return None
        try:
            return self._parsed(parts, list(frames[start + 5 :]))
        except (ValueError, RecursionError) as exc:  # nested too deeply: for its reader it is lost
            logger.warning("A message of a kernel cannot be read: %s", exc)
            return None

    def _parsed(self, parts: Sequence[bytes], buffers: list[bytes]) -> Message:
        header, parent, metadata, content = parts
        if parent != self._latest_parent[0]:  # all messages of one request have the same
            self._latest_parent = (parent, unpack(parent))
        return Message(
            header=unpack(header),
            parent_header=self._latest_parent[1],
            metadata={} if metadata == b"{}" else unpack(metadata),
            content=unpack(content),
            buffers=buffers,
        )

    def later(self, delay_s: float, call: Callable[[], None]) -> None:
        """Run ``call`` in the sockets' event loop after ``delay_s`` seconds."""
        self._loop.call_later(delay_s, call)

    def close(self) -> None:
        """Close the sockets; nothing is handed out afterwards."""
        for socket in self._sockets.values():
            if not socket.closed:
                self._loop.remove_reader(socket.fileno())
                socket.close(linger=0)

    def _connect(self, channel: Channel, connection: Mapping[str, Any], identity: bytes) -> "zmq.Socket[bytes]":
        socket: zmq.Socket[bytes] = self._context.socket(zmq.SUB if channel == "iopub" else zmq.DEALER)
        socket.linger = 0
        socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 0)
        if channel == "iopub":
            socket.setsockopt(zmq.RCVHWM, 0)
            socket.setsockopt(zmq.SUBSCRIBE, b"")
        else:
            socket.setsockopt(zmq.SNDHWM, 0)
            socket.setsockopt(zmq.IDENTITY, identity)
        if connection.get("curve_publickey"):
            socket.curve_publickey, socket.curve_secretkey = zmq.curve_keypair()
            socket.curve_serverkey = str(connection["curve_publickey"]).encode()
        socket.connect(_address(channel, connection))
        return socket

    def _drain(self, channel: Channel) -> None:
        """Hand out what has arrived. The descriptor of a ZMQ socket is edge-triggered: read to the end."""
        socket = self._sockets[channel]
        for _ in range(BATCH):
            if socket.closed:
                return
            try:
                frames = _received(socket)
            except zmq.Again:
                return
            try:
                message = self.unpacked(frames)
                if message is not None:
                    self._on_frame(channel, message, number_of(frames) if channel == "iopub" else None)
            except Exception:
                logger.exception("A message on the %s channel could not be read", channel)
        self._loop.call_soon(self._drain, channel)

    def _sign(self, parts: Sequence[bytes]) -> bytes:
        if self._keyed is None:
            return b""
        signing = self._keyed.copy()
        signing.update(b"".join(parts))
        return signing.hexdigest().encode()


def _received(socket: "zmq.Socket[bytes]") -> list[bytes]:
    """What ``recv_multipart`` gives, without asking the socket after each frame. Raises zmq.Again."""
    frame = socket.recv(zmq.NOBLOCK, copy=False)
    frames = [frame.bytes]
    while frame.more:
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        frames.append(frame.bytes)
    return frames


def number_of(frames: Sequence[bytes]) -> int | None:
    """An IOPub message's number in its kernel's life, where the kernel has our half."""
    _, mark, number = frames[0].rpartition(b"#")
    return int(number) if mark and number.isdigit() else None


def _address(channel: Channel, connection: Mapping[str, Any]) -> str:
    port = connection[f"{channel}_port"]
    if connection["transport"] == "ipc":
        return f"ipc://{connection['ip']}-{port}"
    return f"{connection['transport']}://{connection['ip']}:{port}"
