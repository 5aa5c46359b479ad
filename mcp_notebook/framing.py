"""Lines of bytes to JSON-RPC messages and back; what is no message gets its answer here.

Pure: no sockets, no files. The rules are those of JSON-RPC 2.0,
https://www.jsonrpc.org/specification#error_object, and of MCP's stdio transport: one UTF-8 message
a line. A client that waits for an answer to a line that we cannot read would wait for ever, so
every such line is answered, with its id where that can be made out.
"""

import json
import re
from typing import Any

from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    RequestId,
)
from mcp_types import jsonrpc_message_adapter as _adapter
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

MAX_LINE_BYTES = 64 << 20
"""Longer lines are answered with an error and skipped: they would only fill the memory."""

_SEARCH_ID_WITHIN_CHARS = 1 << 20
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*(?:"|\\?$)|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)


class NotAMessage(Exception):
    """A line that cannot be served; ``answer`` is what the client should be told."""

    def __init__(self, code: int, text: str, request_id: RequestId | None = None) -> None:
        super().__init__(text)
        self.answer = JSONRPCError(jsonrpc="2.0", id=request_id, error=ErrorData(code=code, message=text))


class LineSplitter:
    """Cuts chunks as they arrive into lines; a line of many chunks is joined once."""

    def __init__(self) -> None:
        self._begun: list[bytes] = []
        self._begun_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that ``chunk`` completes, without their newline; one too long comes cut short."""
        *ends, rest = chunk.split(b"\n")
        lines = []
        for end in ends:
            self._keep(end)
            lines.append(b"".join(self._begun))
            self._begun, self._begun_bytes = [], 0
        self._keep(rest)
        return lines

    def _keep(self, piece: bytes) -> None:
        room = MAX_LINE_BYTES + 1 - self._begun_bytes
        if piece and room > 0:
            self._begun.append(piece[:room])
            self._begun_bytes += len(self._begun[-1])


def decode(line: bytes) -> JSONRPCMessage:
    """The message of one line.

    Raises:
        NotAMessage: not UTF-8, not JSON, lone surrogates, no JSON-RPC message, or too long.
    """
    if len(line) > MAX_LINE_BYTES:
        found = _id_in(line[:_SEARCH_ID_WITHIN_CHARS].decode("utf-8", "replace"))
        raise NotAMessage(INVALID_REQUEST, f"A message may have at most {MAX_LINE_BYTES} bytes.", found)
    try:
        message = _adapter.validate_json(line, by_name=False)
    except ValidationError:
        raise _reason(line) from None
    if isinstance(message, JSONRPCNotification) and b'"id"' in line:
        return _with_odd_id(line, message)
    return message


def _with_odd_id(line: bytes, message: JSONRPCNotification) -> JSONRPCMessage:
    """What was read as a notification may be a request whose id is none: its sender waits for an answer."""
    value = json.loads(line)
    if "id" not in value:
        return message
    if isinstance(value["id"], float) and value["id"].is_integer():  # of a client that has no other numbers
        return _adapter.validate_python({**value, "id": int(value["id"])}, by_name=False)
    raise NotAMessage(INVALID_REQUEST, "The id of a request is a string or an integer.")


def encode(message: JSONRPCMessage) -> bytes:
    """One line for one message; a lone surrogate, which is no Unicode text, becomes ``?``."""
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except (PydanticSerializationError, UnicodeEncodeError):
        plain = message.model_dump(by_alias=True, exclude_unset=True)
        return json.dumps(plain, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _reason(line: bytes) -> NotAMessage:
    try:
        text = line.decode()
    except UnicodeDecodeError as exc:
        found = _id_in(line.decode("utf-8", "replace"))
        return NotAMessage(PARSE_ERROR, f"The message is not valid UTF-8 ({exc.reason}).", found)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        return NotAMessage(PARSE_ERROR, f"The message is not valid JSON ({exc}).", _id_in(text))
    request_id = value.get("id") if isinstance(value, dict) else None
    if _has_lone_surrogates(value):
        return NotAMessage(
            PARSE_ERROR,
            "The message holds half of a surrogate pair (\\ud800 to \\udfff alone), which is no Unicode "
            "character. Send the character itself.",
            _usable(request_id),
        )
    return NotAMessage(
        INVALID_REQUEST,
        "A message is one JSON-RPC 2.0 object on one line: a request, a notification or a response. "
        "Batches are not part of MCP.",
        _usable(request_id),
    )


def _has_lone_surrogates(value: Any) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _usable(request_id: Any) -> RequestId | None:
    if isinstance(request_id, str) and not _has_lone_surrogates(request_id):
        return request_id
    if isinstance(request_id, int) and not isinstance(request_id, bool):
        return request_id
    return None


def _id_in(text: str) -> RequestId | None:
    """The id of a broken message: what follows ``"id":`` outside of every inner object."""
    depth, before = 0, ("", "")
    for match in _TOKEN.finditer(text, 0, _SEARCH_ID_WITHIN_CHARS):
        token = match.group()
        if depth == 1 and before == ('"id"', ":"):
            return _usable(_scalar(token))
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token, 0)
        before = (before[1], token)
    return None


def _scalar(token: str) -> Any:
    try:
        return json.loads(token)
    except ValueError:
        return None
