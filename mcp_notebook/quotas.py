"""How many kernels and sessions a principal has, and whether there is room for one more."""

from collections.abc import Mapping
from pathlib import Path

from mcp_notebook.errors import LimitReached
from mcp_notebook.kernels.base import Kernel, Tasks
from mcp_notebook.life import StartKernel
from mcp_notebook.limits import Limits
from mcp_notebook.options import LOCAL
from mcp_notebook.session import Session

WITHOUT_KERNEL = ("dead", "shutdown")


class Quotas:
    """``sessions`` are all there are, by handle, as their owner keeps them."""

    def __init__(self, limits: Limits, sessions: Mapping[str, Session]) -> None:
        self._limits = limits
        self._sessions = sessions
        self._starting: dict[str, str] = {}
        """The principals of kernels that are being started, by the session's handle."""

    def check_session(self, principal: str) -> None:
        """Raises LimitReached: one session more would be too many."""
        is_local = principal == LOCAL
        most = self._limits.local_sessions if is_local else self._limits.sessions
        if sum(session.principal == principal for session in self._sessions.values()) >= most:
            raise LimitReached(
                f"You have {most:,} sessions, which is the most ([limits] {'local_' if is_local else ''}sessions):"
                " go on with one of them, which list_sessions shows; no session was opened."
            )

    def limited(self, handle: str, principal: str, start: StartKernel) -> StartKernel:
        """``start``, refused with LimitReached where one kernel more would be too many."""

        async def start_within(kernel: str | None, cwd: Path, tasks: Tasks) -> Kernel:
            self._check_kernel(handle, principal)
            self._starting[handle] = principal
            try:
                return await start(kernel, cwd, tasks)
            finally:
                del self._starting[handle]

        return start_within

    def _check_kernel(self, handle: str, principal: str) -> None:
        is_local = principal == LOCAL
        most = self._limits.local_kernels if is_local else self._limits.kernels
        living = {
            each.handle
            for each in self._sessions.values()
            if each.principal == principal and each.has_had_kernel and each.state not in WITHOUT_KERNEL
        }
        living |= {each for each, whose in self._starting.items() if whose == principal}
        if len(living - {handle}) >= most:
            raise LimitReached(
                f"You have {most:,} living kernels, which is the most ([limits] {'local_' if is_local else ''}kernels):"
                " end one with control_kernel(action='shutdown', session=...), then call again."
            )
