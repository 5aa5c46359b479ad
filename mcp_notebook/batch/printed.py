"""What the cells of a run print, passed on as it comes: to papermill's log, and to files."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from nbformat import NotebookNode

from mcp_notebook.batch.copies import ExecutedCopy

LOOK_EVERY_S = 0.2

logger = logging.getLogger("papermill")


class Printed:
    """Whole lines, so that what a carriage return overwrites is passed on once it stays."""

    def __init__(self, log_output: bool, stdout_file: Any, stderr_file: Any) -> None:
        """The files have ``write`` and ``flush``; None: to none."""
        self._log_output = log_output
        self._files = {"stdout": stdout_file, "stderr": stderr_file}
        self._cell: NotebookNode | None = None
        self._passed = {"stdout": 0, "stderr": 0}
        self._shown = 0

    @asynccontextmanager
    async def following(self, copy: ExecutedCopy) -> AsyncIterator[None]:
        """While it lasts, what the copy's cells print is passed on."""
        if not (self._log_output or any(self._files.values())):
            yield
            return
        copy.listeners.append(lambda _index, cell: self._turn_to(cell))
        failed: Exception | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._follow)
            try:
                yield
            except Exception as exc:  # out of the group, which would wrap it
                failed = exc
            finally:
                tasks.cancel_scope.cancel()
                self._pass_on(whole=True)
        if failed is not None:
            raise failed

    async def _follow(self) -> None:
        while True:
            await anyio.sleep(LOOK_EVERY_S)
            self._pass_on(whole=False)

    def _turn_to(self, cell: NotebookNode) -> None:
        self._pass_on(whole=True)
        if cell is not self._cell:
            self._cell, self._passed, self._shown = cell, dict.fromkeys(self._passed, 0), 0

    def _pass_on(self, *, whole: bool) -> None:
        outputs = self._cell.get("outputs", []) if self._cell is not None else []
        for name, passed in self._passed.items():
            text = "".join(each["text"] for each in outputs if each.get("name") == name)
            new = text[passed:] if whole else text[passed : text.rfind("\n") + 1]
            if new:
                self._passed[name] += len(new)
                self._write(name, new)
        shown = [each for each in outputs if "data" in each] if whole else []
        for each in shown[self._shown :]:
            self._shown += 1
            if self._log_output and "text/plain" in each["data"]:
                logger.info("".join(each["data"]["text/plain"]))

    def _write(self, name: str, text: str) -> None:
        if self._log_output:
            logger.log(logging.INFO if name == "stdout" else logging.WARNING, text)
        file = self._files[name]
        if file is not None:
            file.write(text)
            file.flush()
