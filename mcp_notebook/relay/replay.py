"""What a relay remembers of its client's conversation, so that a new daemon can go on with it.

Pure: no sockets, no clock. The standard library only, and little of it: every client starts one. The methods are
those of https://modelcontextprotocol.io/specification, in both of its eras.
"""

import json

TYPE_CHECKING = False  # importing typing would take longer than all the rest
if TYPE_CHECKING:
    from typing import TypeGuard

READ_ONLY_TOOLS = frozenset(
    ("read_notebook", "get_output", "inspect_variables", "list_sessions", "notebook_diff", "execute_cell")
)
"""Calls of these are sent to a new daemon; ``execute_cell`` since it attaches to the execution that the call began."""
MOST_CRASHES = 3
"""A request that was in flight at so many deaths of a daemon is not sent to a further one."""
MOST_CANCELLED = 64
SERVER_ERROR = -32000

OUTCOME_UNKNOWN = (
    "The notebook server was restarted while this call ran. It is not known whether the call was carried out: look "
    'with read_notebook or control_kernel(action="status") before repeating it.'
)
DEADLY = "The notebook server died {} times while this request ran. Run `mcp-notebook doctor`, and see the log {}."

_RESPONSE = b'{"jsonrpc":"2.0","id":'
_NOTIFICATION = b'{"jsonrpc":"2.0","method":'


class Request:
    """One request in flight: its line, the line that cancels it, and how many daemons it saw die.

    ``sent`` says whether the present daemon has it.
    """

    __slots__ = ("cancel", "crashes", "line", "repeatable", "sent")

    def __init__(self, line: bytes, repeatable: bool) -> None:
        self.line = line
        self.repeatable = repeatable
        self.cancel: bytes | None = None
        self.crashes = 0
        self.sent = True


class Conversation:
    """All that is remembered. Lines are without their newline.

    An id that the daemon chose reaches the client with ``prefix``, which no two connections to a daemon share.
    """

    def __init__(self, log: str) -> None:
        self.in_flight: dict[str | float, Request] = {}
        self.prefix = ""
        self._log = log
        self._initialize: dict[str, object] | None = None
        self._initialized: bytes | None = None
        self._logging: dict[str, object] | None = None
        self._subscriptions: dict[str, dict[str, object]] = {}
        self._own: set[str | float] = set()
        self._repeats = 0
        self._asked: set[str] = set()
        self._begun: list[object] | None = None
        self.successor: object = None
        """The version that the daemon which has just ended handed over to."""

    def from_client(self, line: bytes) -> bytes | None:
        """What the daemon gets for a line of the client; None for an answer to an earlier daemon."""
        message = parse(line)
        if message is None:
            return line
        method, identity = message.get("method"), message.get("id")
        if method is None:
            return self._answer(message) if "result" in message or "error" in message else line
        parameters = message.get("params")
        parameters = parameters if isinstance(parameters, dict) else {}
        if is_id(identity):
            self.in_flight[identity] = Request(line, _is_repeatable(method, parameters))
            self._remember(method, parameters, message)
        elif method == "notifications/initialized":
            self._initialized = line
        elif method == "notifications/cancelled":
            self._cancel(parameters.get("requestId"), line)
        return line

    def from_daemon(self, line: bytes) -> bytes | None:
        """What the client gets for a line of the daemon; None for what concerns the relay alone.

        Most lines are recognised by how they begin, which saves parsing them: JSON that begins so can mean nothing
        else. All others are parsed.
        """
        if line.startswith(_RESPONSE):
            ends = [end for key in (b',"result":', b',"error":') if (end := line.find(key, len(_RESPONSE), 250)) > 0]
            identity = _parsed_id(line[len(_RESPONSE) : min(ends)]) if ends else None
            if identity is not None:
                return self._answered(identity, line)
        elif line.startswith(_NOTIFICATION) and b'"id"' not in line and b"notifications/cancelled" not in line:
            return line
        message = parse(line)
        if message is None:
            return line
        method, chosen = message.get("method"), message.get("id")
        if "mcp_notebook" in message:
            begun = message.get("begun")
            self._begun = begun if isinstance(begun, list) else []
            self.successor = message.get("next")
            return None
        if method is None:
            return self._answered(chosen, line) if is_id(chosen) else line
        if chosen is not None:
            self._asked.add(self._ours(chosen))
            return dump({**message, "id": self._ours(chosen)})
        if method == "notifications/cancelled" and isinstance(parameters := message.get("params"), dict):
            ours = self._ours(parameters.get("requestId"))
            self._asked.discard(ours)
            return dump({**message, "params": {**parameters, "requestId": ours}})
        return line

    def lost(self) -> list[bytes]:
        """The daemon's connection has ended: what the client is told.

        What is in flight afterwards can be sent to a new daemon whatever became of it.
        """
        told = [
            dump({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": identity}})
            for identity in sorted(self._asked)
        ]
        self._asked.clear()
        self._own.clear()
        for identity, request in list(self.in_flight.items()):
            if not request.sent:
                continue
            request.sent = False
            never_begun = self._begun is not None and identity not in self._begun
            request.crashes += self._begun is None
            if request.cancel and (never_begun or not request.repeatable):
                del self.in_flight[identity]
            elif not (request.repeatable or never_begun):
                del self.in_flight[identity]
                told.append(dump({"jsonrpc": "2.0", "id": identity, "result": self._refusal(OUTCOME_UNKNOWN)}))
            elif request.crashes >= MOST_CRASHES:
                del self.in_flight[identity]
                told.append(error(identity, DEADLY.format(request.crashes, self._log)))
        self._begun = None
        return told

    def opening(self) -> tuple[str | float, bytes] | None:
        """The handshake for a new daemon, and the id whose answer must come before anything else is sent."""
        if self._initialize is None:
            return None
        identity = self._initialize["id"]
        assert is_id(identity)
        if identity in self.in_flight:
            self.in_flight[identity].sent = True
            return identity, self.in_flight[identity].line
        own, line = self._repeated(self._initialize)
        return own, line

    def rest(self) -> list[bytes]:
        """What follows the handshake; what was cancelled and is sent here with its cancel line is then forgotten."""
        lines = [self._initialized] if self._initialized else []
        remembered = [self._logging, *self._subscriptions.values()]
        lines += [self._repeated(each)[1] for each in remembered if each and each["id"] not in self.in_flight]
        opened = self._initialize["id"] if self._initialize else None
        for identity, request in list(self.in_flight.items()):
            if identity != opened:
                lines.append(request.line)
                request.sent = True
            if request.cancel:
                lines.append(request.cancel)
                del self.in_flight[identity]
        return lines

    def awaits(self, identity: str | float) -> bool:
        """Whether an answer is still to come."""
        return identity in self._own or identity in self.in_flight

    def refuse(self, text: str) -> list[bytes]:
        """Error responses for all that is in flight, which then is no longer."""
        refused = [error(identity, text) for identity, request in self.in_flight.items() if not request.cancel]
        self.in_flight.clear()
        return refused

    def _refusal(self, text: str) -> dict[str, object]:
        """The result of a tool; the era without a handshake wants to be told that it is whole."""
        era = {} if self._initialize else {"resultType": "complete"}
        return {"content": [{"type": "text", "text": text}], "isError": True, **era}

    def _ours(self, identity: object) -> str:
        return f"{self.prefix}:{json.dumps(identity)}"

    def _answer(self, message: dict[str, object]) -> bytes | None:
        identity = message.get("id")
        if not isinstance(identity, str) or identity not in self._asked:
            return None
        self._asked.discard(identity)
        return dump({**message, "id": json.loads(identity.removeprefix(f"{self.prefix}:"))})

    def _answered(self, identity: str | float, line: bytes) -> bytes | None:
        if identity in self._own:
            self._own.discard(identity)
            return None
        self.in_flight.pop(identity, None)
        return line

    def _remember(self, method: object, parameters: dict[str, object], message: dict[str, object]) -> None:
        uri = str(parameters.get("uri"))
        match method:
            case "initialize":
                self._initialize, self._initialized = message, None
            case "logging/setLevel":
                self._logging = message
            case "resources/subscribe":
                self._subscriptions[uri] = message
            case "resources/unsubscribe":
                self._subscriptions.pop(uri, None)

    def _cancel(self, identity: object, line: bytes) -> None:
        if is_id(identity) and (request := self.in_flight.get(identity)):
            request.cancel = line
        cancelled = [identity for identity, request in self.in_flight.items() if request.cancel]
        if len(cancelled) > MOST_CANCELLED:  # most servers never answer those
            del self.in_flight[cancelled[0]]

    def _repeated(self, message: dict[str, object]) -> tuple[str, bytes]:
        self._repeats += 1
        own = f"relay-{self.prefix}-{self._repeats}"
        self._own.add(own)
        return own, dump({**message, "id": own})


def parse(line: bytes) -> dict[str, object] | None:
    """The message, or None when the line holds none."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def dump(message: dict[str, object]) -> bytes:
    """One line, without its newline."""
    return json.dumps(message, separators=(",", ":")).encode()


def error(identity: object, text: str) -> bytes:
    """An error response in a line."""
    return dump({"jsonrpc": "2.0", "id": identity, "error": {"code": SERVER_ERROR, "message": text}})


def is_id(value: object) -> "TypeGuard[str | float]":
    """Whether it can be the id of a request."""
    return isinstance(value, str | int | float)


def _parsed_id(token: bytes) -> str | float | None:
    try:
        identity = json.loads(token)
    except ValueError:
        return None
    return identity if is_id(identity) else None


def _is_repeatable(method: object, parameters: dict[str, object]) -> bool:
    """Whether sending it a second time does no more than once."""
    if method != "tools/call" or parameters.get("requestState") is not None:  # it attaches to what was begun before
        return True
    arguments = parameters.get("arguments")
    action = arguments.get("action") if isinstance(arguments, dict) else None
    name = parameters.get("name")
    return name in READ_ONLY_TOOLS or (name == "control_kernel" and action == "status")
