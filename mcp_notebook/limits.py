"""How much one principal, one session and one request may take: the table ``[limits]`` of ``settings.toml``.

What reaches a limit is refused, or ended and told; nothing waits for room.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Numbers are above 0. ``local_`` ones hold for the user himself: on stdio, and with the server's own token."""

    kernels: int = 10
    """Living kernels of one principal who comes over HTTP."""
    local_kernels: int = 200
    """The same of the user himself, on stdio or with the server's own token."""
    sessions: int = 100
    """Sessions of one principal who comes over HTTP, those without a kernel too."""
    local_sessions: int = 2000
    """The same of the user himself."""
    queue: int = 1000
    """Cells of one session that run or wait to run."""
    connections: int = 200
    """Of one principal over HTTP: MCP sessions of the handshake era; and, apart from them, requests being answered."""
    request_bytes: int = (12 << 20) + (64 << 10)
    """One request over HTTP; the default is a cell of 4 MiB, of which JSON may escape every character."""
    output_bytes: int = 1 << 30
    """All outputs of a session; beyond it the cell is interrupted."""
    idle_s: float = 7 * 24 * 3600.0
    """A session that no client used for so long is saved and ended."""
    memory_mb: int | None = None
    """What a session's kernel and its child processes may have in memory together, in millions of bytes. At 80 % the
    running cell says so once; above the limit the kernel is stopped, and its death certificate says why. It is looked
    at while a cell runs."""
