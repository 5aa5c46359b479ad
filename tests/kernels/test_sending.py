"""A kernel's messages on the wire are those of jupyter_client, though they are put together with less work."""

import json
from typing import Any

import pytest
import zmq
from jupyter_client.jsonutil import extract_dates
from jupyter_client.session import Session

from hermes_runtime.sending import DELIMITER, send_quickly
from hermes_runtime.streams import pack_any_text

PARENT = extract_dates({
    "msg_id": "a_1", "msg_type": "execute_request", "username": "x", "session": "a",
    "date": "2026-11-30T07:51:12.123456Z", "version": "5.3",
})  # fmt: skip


class ZMQStream:
    """What is sent to it, by the name of the class that kernels send with."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.copied = False

    def send_multipart(self, frames: list[bytes], copy: bool = True) -> None:
        """Keep them."""
        self.frames, self.copied = list(frames), copy


@pytest.fixture
def stream() -> ZMQStream:
    return ZMQStream()


def session(quick: bool) -> Any:
    made = Session(key=b"key", session="of-both", username="me")
    made.metadata = {"always": 1}
    if quick:
        send_quickly(made)
    pack_any_text(made)
    return made


CASES: dict[str, dict[str, Any]] = {
    "a status": {"msg_or_type": "status", "content": {"execution_state": "busy"}, "parent": {"header": PARENT}},
    "a header as its parent": {"msg_or_type": "stream", "content": {"text": "é"}, "parent": PARENT, "ident": b"topic"},
    "several identities": {"msg_or_type": "x", "content": {"a": [1]}, "ident": [b"a", b"b"], "metadata": {"m": 2}},
    "no parent": {"msg_or_type": "status", "content": {"execution_state": "starting"}},
    "no content": {"msg_or_type": "status", "parent": PARENT},
    "buffers": {"msg_or_type": "comm_msg", "content": {"data": {}}, "buffers": [b"1", memoryview(b"22")]},
    "a lone surrogate": {"msg_or_type": "stream", "content": {"text": "\ud83d"}, "parent": PARENT},
    "a large text": {"msg_or_type": "stream", "content": {"text": "x" * 100_000}, "parent": PARENT},
    "a header of its own": {"msg_or_type": None, "content": {}, "header": PARENT},
    "a whole message": {"msg_or_type": {"header": PARENT, "parent_header": {}, "metadata": {}, "content": {"a": 1},
                                        "msg_id": "a_1", "msg_type": "status"}},
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_message_is_the_same(stream: ZMQStream, name: str) -> None:
    """But for its id and its time; it is signed, and what is returned tells the same."""
    arguments = CASES[name]
    usual, quick = session(quick=False), session(quick=True)
    for each in (usual, quick):  # two, of which the second finds its parent packed
        each.send(stream, **arguments)
    expected, was = usual.send(stream, **arguments), stream.frames
    copied = stream.copied
    given, is_ = quick.send(stream, **arguments), stream.frames
    assert plain(is_) == plain(was)
    assert stream.copied == copied
    at = is_.index(DELIMITER) + 1
    assert is_[at] == quick.sign(is_[at + 1 : at + 5])
    for key in ("msg_type", "parent_header", "metadata", "content"):
        assert given[key] == expected[key]
    _, fed = quick.feed_identities(is_)
    assert {**quick.deserialize(fed)["header"], "date": ""} == {**given["header"], "date": ""}


def plain(frames: list[bytes]) -> list[Any]:
    """Without what no two messages share."""
    at = frames.index(DELIMITER) + 1
    header = json.loads(frames[at + 1])
    header["msg_id"] = header["date"] = "its own"
    return [*frames[:at], header, *map(json.loads, frames[at + 2 : at + 5]), *map(bytes, frames[at + 5 :])]


def test_a_parent_that_changed_is_sent_as_it_is(stream: ZMQStream) -> None:
    """It may be the same object."""
    quick, parent = session(quick=True), dict(PARENT)
    quick.send(stream, "status", {}, parent=parent)
    parent["msg_id"] = "other"
    quick.send(stream, "status", {}, parent=parent)
    assert json.loads(stream.frames[3])["msg_id"] == "other"


def test_another_kind_of_socket_is_left_to_the_library() -> None:
    """It may be asked to track what it sends."""
    quick = session(quick=True)
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.PULL) as pull:
        push.bind("inproc://here")
        pull.connect("inproc://here")
        sent = quick.send(push, "status", {"a": 1}, buffers=[b"x" * 100_000], track=True)
        assert pull.recv_multipart()[-1] == b"x" * 100_000
        sent["tracker"].wait(10)
