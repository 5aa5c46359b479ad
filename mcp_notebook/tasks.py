"""Tasks that live longer than the call that starts them."""

import logging
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.abc

logger = logging.getLogger(__name__)


class GuardedTasks:
    """Starts tasks of which none ends the others: what one raises is a bug, logged, and its session's alone."""

    def __init__(self, group: anyio.abc.TaskGroup) -> None:
        self._group = group

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> None:
        self._group.start_soon(self._run, func, args)

    async def _run(self, func: Callable[..., Coroutine[Any, Any, Any]], args: tuple[Any, ...]) -> None:
        try:
            await func(*args)
        except Exception:
            logger.exception("A task of a session failed")
