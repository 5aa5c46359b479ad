"""Lines of bytes and what they become."""

import json
import random

import pytest
from mcp_types import JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from mcp_notebook.framing import MAX_LINE_BYTES, LineSplitter, NotAMessage, decode, encode

PARSE_ERROR, INVALID_REQUEST = -32700, -32600

NO_MESSAGES = {
    "broken JSON": (b'{"jsonrpc": "2.0", "id": 7, "method": "ping"', PARSE_ERROR, 7),
    "id behind the break": (b'{"method": "ping", "params": {,}, "id": 8}', PARSE_ERROR, 8),
    "an inner id is not the message's": (b'{"params": {"id": 5}, "method": ', PARSE_ERROR, None),
    "an id inside a text": (b'{"method": "\\"id\\": 3", "x": ', PARSE_ERROR, None),
    "a text without end": (b'{"jsonrpc": "2.0", "id": "a-1", "method": "pi', PARSE_ERROR, "a-1"),
    "no JSON at all": (b"GET / HTTP/1.1", PARSE_ERROR, None),
    "invalid UTF-8": (b'{"jsonrpc": "2.0", "id": 9, "method": "\xff\xfe"}', PARSE_ERROR, 9),
    "lone surrogate": (
        b'{"jsonrpc": "2.0", "id": 4, "method": "x", "params": {"s": "\\ud800"}}',
        PARSE_ERROR,
        4,
    ),
    "lone surrogate in the id": (b'{"jsonrpc": "2.0", "id": "\\udfff", "method": "x"}', PARSE_ERROR, None),
    "a batch": (b'[{"jsonrpc": "2.0", "id": 1, "method": "ping"}]', INVALID_REQUEST, None),
    "a number": (b"17", INVALID_REQUEST, None),
    "no version": (b'{"id": 3, "method": "ping"}', INVALID_REQUEST, 3),
    "method is no text": (b'{"jsonrpc": "2.0", "id": 3, "method": 5}', INVALID_REQUEST, 3),
    "a true id": (b'{"jsonrpc": "2.0", "id": true, "method": 5}', INVALID_REQUEST, None),
    "very deep": (b'{"jsonrpc": "2.0", "id": 2, "method": "x", "params": ' + b"[" * 100_000, PARSE_ERROR, 2),
}


@pytest.mark.parametrize(("line", "code", "request_id"), NO_MESSAGES.values(), ids=NO_MESSAGES.keys())
def test_a_line_that_is_no_message_has_an_answer(line: bytes, code: int, request_id: int | str | None) -> None:
    """It is a JSON-RPC error, with the id that the line's author waits for wherever that can be told."""
    with pytest.raises(NotAMessage) as refused:
        decode(line)
    answer = json.loads(encode(refused.value.answer))
    assert answer["error"]["code"] == code
    assert answer["id"] == request_id
    assert answer["jsonrpc"] == "2.0"


def test_messages_are_told_apart() -> None:
    """A request, a notification and a response are read as such."""
    assert isinstance(decode(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}'), JSONRPCRequest)
    assert isinstance(decode(b'{"jsonrpc": "2.0", "method": "ping"}'), JSONRPCNotification)
    assert isinstance(decode(b'{"jsonrpc": "2.0", "id": 1, "result": {}}'), JSONRPCResponse)


def test_what_no_json_can_carry_does_not_stop_an_answer() -> None:
    """A lone surrogate in a result is sent as a question mark."""
    line = encode(JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": "a\ud800b"}))
    assert json.loads(line)["result"]["text"] == "a?b"


def test_lines_are_the_same_however_the_bytes_arrive() -> None:
    """Cut anywhere, the same lines come out, empty ones too."""
    data = b"one\n\ntwo and more\n" + b"x" * 5000 + b"\nrest"
    chance = random.Random(1)
    for _ in range(200):
        splitter, lines, at = LineSplitter(), [], 0
        while at < len(data):
            step = chance.randint(1, 700)
            lines += splitter.feed(data[at : at + step])
            at += step
        assert [*lines, *splitter.feed(b"\n")] == data.split(b"\n")


def test_an_endless_line_does_not_fill_the_memory() -> None:
    """Beyond the limit nothing more is kept, the line is refused, and the next one is read."""
    splitter = LineSplitter()
    for _ in range(70):
        assert splitter.feed(b"x" * (1 << 20)) == []
    long, following = splitter.feed(b'\n{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
    assert len(long) == MAX_LINE_BYTES + 1
    with pytest.raises(NotAMessage, match="bytes"):
        decode(long)
    assert isinstance(decode(following), JSONRPCRequest)


@pytest.mark.parametrize("odd", ["null", "1.5", "[1]", "{}", "true"])
def test_a_request_whose_id_is_none_is_answered(odd: str) -> None:
    """It looks like a notification to whoever ignores the id, and its sender would wait for ever."""
    with pytest.raises(NotAMessage) as refused:
        decode(f'{{"jsonrpc": "2.0", "id": {odd}, "method": "ping"}}'.encode())
    assert refused.value.answer.error.code == INVALID_REQUEST


def test_an_id_that_is_a_whole_number_is_one() -> None:
    """Some clients have no other numbers than floating ones."""
    request = decode(b'{"jsonrpc": "2.0", "id": 7.0, "method": "ping"}')
    assert isinstance(request, JSONRPCRequest)
    assert request.id == 7


def test_an_id_inside_of_a_notification_is_its_own_matter() -> None:
    """Only that of the message counts."""
    notification = decode(b'{"jsonrpc": "2.0", "method": "x", "params": {"id": 5}}')
    assert isinstance(notification, JSONRPCNotification)


def test_a_line_that_is_too_long_is_answered_with_its_id() -> None:
    """The id stands at its beginning."""
    line = b'{"jsonrpc": "2.0", "id": 5, "method": "x", "params": "' + b"x" * MAX_LINE_BYTES
    with pytest.raises(NotAMessage) as refused:
        decode(line)
    assert refused.value.answer.id == 5
