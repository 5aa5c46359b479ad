"""`mcp-notebook answer`: a person gives a cell the line, or the password, that it waits for.

A password is read without echo, and goes over the server's private socket to the kernel: it is in no argument, no
output, no journal and no log.
"""

import getpass
import sys
from typing import Any

from mcp_notebook import left
from mcp_notebook.control import command, command_started
from mcp_notebook.errors import BadRequest
from mcp_notebook.listing import printable
from mcp_notebook.settings import Settings


def answer(settings: Settings, name: str | None) -> int:
    """Ask what the session's cell asks, and pass it on; returns the exit code.

    Raises:
        BadRequest: no such session, or what is asked for changed meanwhile.
    """
    some = command(settings, "status") is not None or left.waiting(settings.home)
    waiting: list[dict[str, Any]] = command_started(settings, "waiting", name=name)["waiting"] if some else []
    if not waiting:
        _say(f"No cell{f' of {name}' if name else ''} waits for input.")
        return 1
    if len(waiting) > 1:
        sessions = ", ".join(each["session"] for each in waiting)
        raise BadRequest(f"Cells of several sessions wait: name one of {sessions}.")
    prompt = waiting[0]
    _say(f"Cell {prompt['cell']} of {prompt['session']} asks{' for a password' if prompt['password'] else ''}:")
    try:
        text = _read(printable(prompt["prompt"]), private=prompt["password"])
    except EOFError:
        _say("Nothing was given: the cell still waits.")
        return 1
    chosen = {name: prompt[name] for name in ("session", "execution", "asked")}
    command_started(settings, "answer", **chosen, text=text)
    _say("The cell has it.")
    return 0


def _read(prompt: str, *, private: bool) -> str:
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")
    return getpass.getpass(prompt) if private else input(prompt)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
