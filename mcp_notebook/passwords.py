"""Where people can type the passwords that cells wait for: a page for each, as long as its cell waits."""

import logging
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

import anyio
import anyio.abc

from mcp_notebook.execution import Execution

if TYPE_CHECKING:
    from mcp_notebook.password_page import Give

logger = logging.getLogger(__name__)


class PasswordPages:
    """An async context manager; the pages end with it."""

    def __init__(self) -> None:
        self._urls: dict[tuple[Execution, str], str] = {}
        """By what is asked: an execution, and the name of its prompt."""
        self._opening = anyio.Lock()
        self._tasks: anyio.abc.TaskGroup

    async def __aenter__(self) -> Self:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    def serves(self, execution: Execution) -> bool:
        """Whether there is a page for what ``execution`` asks now; those of an earlier server have ended with it."""
        return (execution, execution.asked) in self._urls

    async def url(self, execution: Execution, give: "Give") -> str | None:
        """Of the page for what ``execution`` asks now; None where this machine serves none."""
        key = (execution, execution.asked)
        async with self._opening:
            if key not in self._urls and execution.asked:
                try:
                    self._urls[key] = await self._tasks.start(partial(self._serve, execution, give, key))
                except OSError as exc:
                    logger.warning("A page for a password cannot be served (%s).", exc)
            return self._urls.get(key)

    async def _serve(
        self, execution: Execution, give: "Give", key: tuple[Execution, str], *, task_status: anyio.abc.TaskStatus[str]
    ) -> None:
        from mcp_notebook.password_page import serve  # takes 0.2 s to import, which few servers need

        try:
            await serve(execution, give, task_status=task_status)
        finally:
            self._urls.pop(key, None)
