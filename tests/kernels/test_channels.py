"""The ZMQ client against sockets that jupyter_client's own ``Session`` writes to: an independent signer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import zmq
from jupyter_client.session import Session

from mcp_notebook.kernels.channels import CHANNELS, Channel, Channels
from mcp_notebook.outputs import Message

pytestmark = pytest.mark.anyio

KEY = "a key of this test"
WITHIN_S = 20.0


class FarEnd:
    """The sockets a kernel would bind, and a signer."""

    def __init__(self, directory: Path, key: str = KEY) -> None:
        self.connection: dict[str, Any] = {"transport": "ipc", "ip": str(directory / "k"), "key": key}
        self.session = Session(key=key.encode(), signature_scheme="hmac-sha256")
        self.context = zmq.Context()
        self.sockets: dict[Channel, zmq.Socket[bytes]] = {}
        for number, channel in enumerate(CHANNELS, start=1):
            self.connection[f"{channel}_port"] = number
            socket = self.context.socket(zmq.XPUB if channel == "iopub" else zmq.ROUTER)
            socket.set(zmq.SNDHWM, 0)
            socket.bind(f"ipc://{directory}/k-{number}")
            self.sockets[channel] = socket

    async def subscribed(self) -> None:
        """Return when the client's subscription is here."""
        await anyio.to_thread.run_sync(self.sockets["iopub"].recv)

    def publish(self, number: int, session: Session | None = None, **content: Any) -> None:
        """One stream message with its number in the topic."""
        (session or self.session).send(
            self.sockets["iopub"], "stream", content, ident=b"stream#%d" % number, buffers=[b"raw"]
        )

    def close(self) -> None:
        self.context.destroy(linger=0)


class Received:
    """What the client handed out."""

    def __init__(self) -> None:
        self.frames: list[tuple[Channel, Message, int | None]] = []
        self.wanted = 0
        self.enough = anyio.Event()

    def take(self, channel: Channel, message: Message, number: int | None) -> None:
        self.frames.append((channel, message, number))
        if len(self.frames) >= self.wanted:
            self.enough.set()

    async def until(self, count: int) -> None:
        self.wanted, self.enough = count, anyio.Event()
        if len(self.frames) < count:
            with anyio.fail_after(WITHIN_S):
                await self.enough.wait()

    def texts(self) -> list[str]:
        return [message["content"]["text"] for _, message, _ in self.frames]


@pytest.fixture
def far_end(tmp_path: Path) -> Iterator[FarEnd]:
    end = FarEnd(tmp_path)
    yield end
    end.close()


async def test_a_signed_message_is_handed_out_whole(far_end: FarEnd) -> None:
    """Channel, header, content, buffers and the number in the topic arrive as they were sent."""
    received = Received()
    channels = Channels(far_end.connection, received.take)
    await far_end.subscribed()
    far_end.publish(7, text="hello")
    await received.until(1)
    channel, message, number = received.frames[0]
    assert (channel, number) == ("iopub", 7)
    assert message["header"]["msg_type"] == "stream"
    assert message["content"] == {"text": "hello"}
    assert [bytes(part) for part in message["buffers"]] == [b"raw"]
    channels.close()


async def test_a_message_signed_with_another_key_is_refused(far_end: FarEnd) -> None:
    """It is never handed out, and what comes after it is."""
    received = Received()
    channels = Channels(far_end.connection, received.take)
    await far_end.subscribed()
    far_end.publish(1, Session(key=b"another key", signature_scheme="hmac-sha256"), text="forged")
    far_end.publish(2, Session(key=b""), text="unsigned")
    far_end.publish(3, text="true")
    await received.until(1)
    assert received.texts() == ["true"]
    channels.close()


@pytest.mark.parametrize(
    "frames",
    [
        [b"topic"],
        [b"topic", b"<IDS|MSG>"],
        [b"topic", b"<IDS|MSG>", b"", b"{}", b"{}"],
        [b"topic#notanumber", b"<IDS|MSG>", b"\xff\xfe", b"{", b"}", b"\x00", b"]"],
    ],
)
async def test_what_is_no_message_is_passed_over(far_end: FarEnd, frames: list[bytes]) -> None:
    """Frames that follow no protocol neither stop the client nor reach anybody."""
    received = Received()
    channels = Channels(far_end.connection, received.take)
    await far_end.subscribed()
    far_end.sockets["iopub"].send_multipart(frames)
    far_end.publish(1, text="next")
    await received.until(1)
    assert received.texts() == ["next"]
    channels.close()


async def test_a_signed_message_that_is_no_json_is_passed_over(
    far_end: FarEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the next one is handed out."""
    received = Received()
    channels = Channels(far_end.connection, received.take)
    await far_end.subscribed()
    parts = [b"not json"] * 4
    far_end.sockets["iopub"].send_multipart([b"t", b"<IDS|MSG>", far_end.session.sign(parts), *parts])
    far_end.publish(1, text="next")
    await received.until(1)
    assert received.texts() == ["next"]
    assert "cannot be read" in caplog.text
    channels.close()


async def test_5000_messages_at_once_all_arrive_in_order(far_end: FarEnd) -> None:
    """One wake-up of the edge-triggered descriptor is enough for all that lies in the socket."""
    received = Received()
    channels = Channels(far_end.connection, received.take)
    await far_end.subscribed()
    for number in range(1, 5001):
        far_end.publish(number, text="x")
    await received.until(5000)
    assert [number for _, _, number in received.frames] == list(range(1, 5001))
    channels.close()


async def test_a_request_does_not_swallow_the_arrival_of_a_reply(far_end: FarEnd) -> None:
    """Sending consumes the edge of a socket's descriptor: replies that came meanwhile are found still."""
    received = Received()
    channels = Channels(far_end.connection, received.take)
    shell = far_end.sockets["shell"]

    def reply_once() -> None:
        identities, parts = far_end.session.feed_identities(shell.recv_multipart())
        request = far_end.session.deserialize(parts)
        far_end.session.send(shell, "kernel_info_reply", {}, parent=request, ident=identities)

    for count in range(1, 201):
        wanted = channels.request("shell", "kernel_info_request", {})
        await anyio.to_thread.run_sync(reply_once)
        channels.request("control", "kernel_info_request", {})
        await received.until(count)
        assert received.frames[-1][1]["parent_header"]["msg_id"] == wanted
    channels.close()


async def test_requests_are_signed_as_jupyter_client_signs(far_end: FarEnd) -> None:
    """A kernel takes them: header, parent, metadata and content under one signature."""
    channels = Channels(far_end.connection, Received().take)
    content = {"code": "\ud83d and é"}
    msg_id = channels.request("shell", "execute_request", content, metadata={"cellId": "c"}, parent={"msg_id": "p"})
    with anyio.fail_after(WITHIN_S):
        frames = await anyio.to_thread.run_sync(far_end.sockets["shell"].recv_multipart)
    message = far_end.session.deserialize(far_end.session.feed_identities(frames)[1])
    assert message["header"]["msg_id"] == msg_id
    assert message["content"] == content
    assert message["metadata"] == {"cellId": "c"}
    assert message["parent_header"]["msg_id"] == "p"
    channels.close()


async def test_an_error_in_who_listens_does_not_stop_the_channel(
    far_end: FarEnd, caplog: pytest.LogCaptureFixture
) -> None:
    """The error is logged, and the next message is handed out."""
    received = Received()

    def fails_once(channel: Channel, message: Message, number: int | None) -> None:
        if number == 1:
            raise ValueError("a listener's mistake")
        received.take(channel, message, number)

    channels = Channels(far_end.connection, fails_once)
    await far_end.subscribed()
    far_end.publish(1, text="first")
    far_end.publish(2, text="second")
    await received.until(1)
    assert received.texts() == ["second"]
    assert "a listener's mistake" in caplog.text
    channels.close()


async def test_nothing_is_handed_out_after_close(far_end: FarEnd) -> None:
    """Closing in the middle of a batch ends it there; closing twice does nothing."""
    received = Received()

    def close_at_ten(channel: Channel, message: Message, number: int | None) -> None:
        received.take(channel, message, number)
        if number == 10:
            channels.close()

    channels = Channels(far_end.connection, close_at_ten)
    await far_end.subscribed()
    for number in range(1, 1001):
        far_end.publish(number, text="x")
    await received.until(10)
    channels.close()
    await anyio.wait_all_tasks_blocked()
    assert len(received.frames) == 10
