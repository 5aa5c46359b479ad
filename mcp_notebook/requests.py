"""Request ids of one session: a repeated call attaches to what the first one began."""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from mcp_notebook.errors import BadRequest

T = TypeVar("T")

KEPT_S = 24 * 3600
MOST = 1000
"""The oldest are forgotten beyond so many."""
FORGOTTEN_AT_ONCE = 100


class Requests(Generic[T]):
    """What each ``request_id`` of the last 24 h began, and a hash of its arguments."""

    def __init__(self, on_kept: Callable[[str, str, T], None] = lambda _request_id, _digest, _began: None) -> None:
        self._on_kept = on_kept
        self._kept: dict[str, tuple[str, T, float]] = {}

    def recall(self, request_id: str, digest: str, began: T, age_s: float) -> None:
        """What an earlier server kept."""
        self._kept[request_id] = (digest, began, time.monotonic() - age_s)

    def find(self, request_id: str | None, arguments: Sequence[object]) -> T | None:
        """What this id began, or None if it is new.

        Raises:
            BadRequest: it was used with other arguments.
        """
        found = self._kept.get(request_id) if request_id else None
        if found is None or time.monotonic() - found[2] >= KEPT_S:
            return None
        if found[0] != _hash(arguments):
            raise BadRequest(
                f"request_id {request_id!r} was used in this session for another call: repeat that call unchanged to"
                " attach to it, or pass a new id."
            )
        return found[1]

    def knows(self, request_id: str | None) -> bool:
        return request_id in self._kept

    def keep(self, request_id: str | None, arguments: Sequence[object], began: T) -> None:
        """Remember it, and forget what is too old."""
        if request_id is None:
            return
        now = time.monotonic()
        if len(self._kept) >= MOST:
            self._kept = {key: kept for key, kept in self._kept.items() if now - kept[2] < KEPT_S}
            self._kept = dict(list(self._kept.items())[-MOST + FORGOTTEN_AT_ONCE :])
        digest = _hash(arguments)
        self._kept[request_id] = (digest, began, now)
        self._on_kept(request_id, digest, began)

    def forget(self, request_id: str | None) -> None:
        """It began nothing after all."""
        if request_id is not None:
            self._kept.pop(request_id, None)


def _hash(arguments: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(list(arguments)).encode()).hexdigest()
