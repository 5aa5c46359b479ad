"""How much one session may take: the table ``[limits]`` of ``settings.toml``.

What reaches a limit is refused, or ended and told; nothing waits for room.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Numbers are above 0."""

    memory_mb: int | None = None
    """What a session's kernel and its child processes may have in memory together, in millions of bytes. At 80 % the
    running cell says so once; above the limit the kernel is stopped, and its death certificate says why. It is looked
    at while a cell runs."""
