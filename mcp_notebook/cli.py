"""The entry of the command line: the relay at once, everything else through ``commands``.

Every MCP client starts this, so nothing is imported that the relay does not need.
"""

import os
import sys

from mcp_notebook import relay

TYPE_CHECKING = False  # importing typing would take longer than a relay takes to start
if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: "Sequence[str] | None" = None) -> int:
    """Run one command and return its exit code: 0 good, 1 failed, 2 wrong usage."""
    _open_standard_streams()
    given = sys.argv[1:] if arguments is None else list(arguments)
    chosen = _relay_options(given)
    try:
        if chosen is not None and sys.platform != "win32":
            return relay.run(workspace=chosen.get("--workspace"), agent=chosen.get("--agent"))
        from mcp_notebook import commands

        return commands.main(given)
    except KeyboardInterrupt:
        return 130


def _open_standard_streams() -> None:
    """Those that whoever started us has closed: other files would get their numbers, and be written into."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - as long as the process


def _relay_options(arguments: list[str]) -> dict[str, str] | None:
    """The options of a relay, by name; None when these are arguments that need a parser."""
    chosen = {}
    rest = iter(arguments)
    for argument in rest:
        name, equals, value = argument.partition("=")
        if name not in ("--workspace", "--agent"):
            return None
        value = value if equals else next(rest, "")
        if not value or value.startswith("-"):
            return None
        chosen[name] = value
    return chosen
