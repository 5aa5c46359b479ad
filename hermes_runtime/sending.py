"""A kernel's messages, put together with less work: what all messages of a cell share is packed once.

Sent into a Python kernel as source together with ``kernel``, which hands in jupyter_client's ``Session`` and changes
it in place. What is on the wire is what ``Session.send`` puts there; whatever is unusual is left to it.
Works with ipykernel 6.29 and newer on Python 3.9 and newer.
"""

from __future__ import annotations

import os
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

DELIMITER = b"<IDS|MSG>"
USUAL = ("ZMQStream", "BackgroundSocket", "IOPubThread")
"""The classes that a kernel sends with; others may want to track what they send, or to wait for it."""


class Sending:
    """In the place of one session's ``send``."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self.send_unusual: Callable[..., Any] = session.send
        self.pid = os.getpid()
        self.name: str = session.session
        about = session.msg_header("status")
        self.about = {key: about[key] for key in ("username", "session", "version")}
        self.latest_parent: tuple[dict[str, Any], bytes] = ({}, b"{}")
        """The header that the latest message had as its parent, and what that is on the wire."""

    def send(
        self,
        stream: Any,
        msg_or_type: Any,
        content: Any = None,
        parent: Any = None,
        ident: Any = None,
        buffers: Any = None,
        track: bool = False,
        header: Any = None,
        metadata: Any = None,
    ) -> Any:
        session = self.session
        usual = type(stream).__name__ in USUAL and type(msg_or_type) is str and type(content) is dict
        cause = _header_of(parent)
        if not usual or cause is None or buffers or header is not None or not self.is_as_it_was():
            return self.send_unusual(stream, msg_or_type, content, parent, ident, buffers, track, header, metadata)
        now = datetime.now(timezone.utc)  # noqa: UP017 - Python 3.9
        first = {"msg_id": session.msg_id, "msg_type": msg_or_type}
        metadata = {**session.metadata, **(metadata or {})}
        parts = [
            session.pack({**first, **self.about, "date": now.isoformat().replace("+00:00", "Z")}),
            self.packed_parent(cause),
            session.pack(metadata) if metadata else b"{}",
            session.pack(content),
        ]
        frames = [DELIMITER, session.sign(parts), *parts]
        if ident is not None:
            frames[:0] = ident if type(ident) is list else [ident]
        stream.send_multipart(frames, copy=max(map(len, frames)) < session.copy_threshold)
        told = {"header": {**first, **self.about, "date": now}, "parent_header": cause, "metadata": metadata}
        return {**first, **told, "content": content}

    def is_as_it_was(self) -> bool:
        session = self.session
        return session.session == self.name and not session.debug and os.getpid() == self.pid

    def packed_parent(self, parent: dict[str, Any]) -> bytes:
        latest, packed = self.latest_parent
        if latest != parent:
            packed = self.session.pack(parent)
            self.latest_parent = (dict(parent), packed)
        return packed


def send_quickly(session: Any) -> None:
    """Let ``session`` send so, if its messages are JSON of the newest form."""
    if not getattr(session, "adapt_version", 0) and session.pack({}) == b"{}":
        session.send = Sending(session).send


def _header_of(parent: Any) -> dict[str, Any] | None:
    """Of a message or a header, as ``extract_header`` of jupyter_client; None where that may do something else."""
    if not parent:
        return {}
    header = parent.get("header", parent) if type(parent) is dict else None
    return header if type(header) is dict and "msg_id" in header else None
