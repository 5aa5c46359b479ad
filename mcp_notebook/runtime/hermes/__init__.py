"""Hermes itself as provider: its own tools answer the calls that it has, in a process of its own Python.

Shapes, limits and manners are then those of the installed hermes-agent, https://github.com/NousResearch/hermes-agent:
its configuration holds, and what it refuses is refused.
"""

import math
import sys
from pathlib import Path
from typing import Any

import anyio

from mcp_notebook.errors import HermesFailed
from mcp_notebook.runtime.hermes.process import Worker
from mcp_notebook.runtime.host import Host

TOOLS = frozenset(("terminal", "read_file", "write_file", "search_files", "patch", "web_search", "web_extract"))
HERE = "here"
"""Names the Python that runs the server."""
START_WITHIN_S = 60.0
KEYS = (
    "HERMES_HOME",
    "BRAVE_SEARCH_API_KEY",
    "DAYTONA_API_KEY",
    "EXA_API_KEY",
    "FIRECRAWL_API_KEY",
    "FIRECRAWL_API_URL",
    "FIRECRAWL_GATEWAY_URL",
    "MODAL_TOKEN_ID",
    "MODAL_TOKEN_SECRET",
    "PARALLEL_API_KEY",
    "SEARXNG_URL",
    "TAVILY_API_KEY",
    "TOOL_GATEWAY_USER_TOKEN",
)
"""What Hermes is given of the client's environment beyond the kernel's: where its home is, and the keys of its web
providers and terminal backends, which it keeps from the commands that it runs. Keys of models are not among them: none
of these tools asks a model. Keys in its home's ``.env`` it reads itself.
"""
CLOSING = "the session is closing"
FAILED = (
    "Hermes's tools do not start in {}: {}. Install hermes-agent there, or name as hermes in the table [runtime] of "
    "settings.toml the Python in which it is."
)


class HermesTools:
    """Of one session: a worker from the first call on. Whoever makes it calls ``aclose`` in the same event loop."""

    def __init__(self, host: Host, *, start_within_s: float = START_WITHIN_S) -> None:
        self._host = host
        self._start_within_s = start_within_s
        self._worker: Worker | None = None
        self._starting = anyio.Lock()
        self._closed = False

    def has(self, name: str) -> bool:
        """Whether the call of this name is Hermes's to answer, by the settings."""
        return bool(self._host.policy.hermes) and name in TOOLS

    @property
    def python(self) -> Path:
        """The interpreter that the settings name."""
        named = self._host.policy.hermes
        if named == HERE:
            return Path(sys.executable)
        path = self._host.workspace / Path(named).expanduser()
        return path / "bin" / "python" if path.is_dir() else path

    async def call(self, name: str, args: dict[str, Any]) -> Any:
        """What Hermes's tool answers, as it answers it; starts the worker if need be.

        Raises:
            HermesFailed: it does not start, ended in the meantime, or failed.
        """
        return await (await self._started()).ask(name, args)

    async def version(self) -> str:
        """Of hermes-agent, "" where that is not known; starts the worker if need be, and raises as ``call``."""
        return (await self._started()).version or ""

    async def aclose(self) -> None:
        """End the worker and all that it has started; bounded, and nothing is left."""
        self._closed = True
        if self._worker is not None:
            self._worker.end(CLOSING)
            with anyio.CancelScope(shield=True):
                await self._worker.ended.wait()

    async def _started(self) -> Worker:
        async with self._starting:
            if self._worker is not None and self._worker.over:
                await self._worker.ended.wait()  # no two at once
                self._worker = None
            if self._closed:
                raise HermesFailed(f"Hermes's tools were ended: {CLOSING}.")
            if self._worker is None:
                self._worker = self._new()
            worker = self._worker
            await worker.ready.wait()
        if worker.version is None:
            raise HermesFailed(FAILED.format(self.python, worker.why))
        return worker

    def _new(self) -> Worker:
        host = self._host
        return Worker(
            self.python,
            host.workspace,
            self._environment(),
            host.directory / "hermes.log",
            host.policy.answer_bytes,
            self._start_within_s,
        )

    def _environment(self) -> dict[str, str]:
        credentials, policy = self._host.credentials, self._host.policy
        return {
            **self._host.environment,
            **{name: credentials[name] for name in KEYS if name in credentials},
            "TERMINAL_CWD": str(self._host.workspace),
            "TERMINAL_TIMEOUT": str(math.ceil(policy.terminal_timeout_s)),
            "TERMINAL_MAX_FOREGROUND_TIMEOUT": str(math.ceil(policy.terminal_longest_s)),
        }
