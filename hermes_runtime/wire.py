"""The format of a runtime call, which the kernel and its host both read.

One JSON object a line: ``{"tool": name, "args": {...}, "token": "..."}`` is answered by ``{"value": ...}``, or by
``{"refused": "why, and what to do"}`` where the host did not carry it out. On a unix socket each connection carries
one call after the other; on Jupyter's stdin channel a request is the prompt of an ``input_request`` and the answer the
value of its ``input_reply``, both behind the call's number and a blank.
"""

from __future__ import annotations

import json
import os
from typing import Any

VERSION = 1
PLACE = "runtime.json"
"""Beside a kernel's connection file: ``version``, ``carrier`` ("socket" or "stdin") and ``token``."""
SOCKET = "runtime.sock"
"""Beside it, where the carrier is a socket."""

REPEATABLE = frozenset(
    (
        "read_file", "search_files", "web_search", "web_extract", "ask_user", "this_notebook", "terminal.poll",
        "servers.list", "servers.tools", "servers.search",
    )
)  # fmt: skip
"""Calls that change nothing: they are asked again where the host was restarted meanwhile."""
LOST = (
    "The notebook server was restarted while {}() ran: it is not known whether it was carried out. Look before you "
    "repeat it."
)


class Refused(Exception):
    """The host did not carry the call out; the text says why."""


def request(tool: str, args: dict[str, Any], token: str) -> bytes:
    """A path is sent as its text. Raises TypeError where an argument is no JSON."""
    return json.dumps({"tool": tool, "args": args, "token": token}, default=_text_of_path).encode()


def _text_of_path(value: Any) -> str:
    path = os.fspath(value)
    if not isinstance(path, str):
        raise TypeError(f"{type(value).__name__} is no JSON")
    return path


def parsed_request(line: bytes | str) -> tuple[str, dict[str, Any], str]:
    """Name, arguments and token. Raises ValueError."""
    try:
        message = json.loads(line)
    except RecursionError as exc:
        raise ValueError("nested too deeply") from exc
    if isinstance(message, dict):
        tool, args, token = message.get("tool"), message.get("args"), message.get("token")
        if isinstance(tool, str) and isinstance(args, dict) and isinstance(token, str):
            return tool, args, token
    raise ValueError("not a call: it needs `tool`, `args` and `token`")


def answer(value: Any) -> bytes:
    """Raises TypeError or ValueError where it is no JSON."""
    return json.dumps({"value": value}).encode()


def refusal(text: str) -> bytes:
    """That a call was not carried out, and why."""
    return json.dumps({"refused": text}).encode()


def parsed_answer(line: bytes | str) -> Any:
    """The value of an answer.

    Raises:
        Refused: the host did not carry the call out.
    """
    message = json.loads(line)
    if "refused" in message:
        raise Refused(str(message["refused"]))
    return message["value"]
