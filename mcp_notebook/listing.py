"""`mcp-notebook sessions`: what is alive, and stopping it."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from mcp_notebook.control import command, command_started
from mcp_notebook.left import waiting
from mcp_notebook.options import LOCAL
from mcp_notebook.settings import Settings

COLUMNS = ("SESSION", "STATE", "CLIENT", "STARTED", "NOTEBOOK")
"""The longest comes last."""
CLIENT_CHARS = 24


def show(settings: Settings) -> int:
    """Write the sessions of the running server, or those that wait for one; returns the exit code."""
    answer = command(settings, "status")
    if answer is None:
        left = waiting(settings.home)
        if not left:
            _say("Nothing is alive: no server runs, and no session waits for one.")
            return 0
        _say(f"No server runs. These sessions wait for one, which the next client starts: {', '.join(left)}")
        return 0
    for line in answer.get("listening", ()):  # not said by older versions
        _say(line)
    if not answer["sessions"]:
        _say(f"The server runs (process {answer['pid']}, version {answer['version']}); it has no sessions.")
        return 0
    _table([COLUMNS, *(_row(session) for session in answer["sessions"])])
    if not all(session["in_use"] for session in answer["sessions"]):
        _say("(In parentheses: who used it last. No client does now; the next one can go on with it.)")
    return 0


def stop(settings: Settings, name: str, *, force: bool) -> int:
    """Save and end one session, or all; returns the exit code."""
    if command(settings, "status") is None and not waiting(settings.home):
        _say("Nothing is alive.")
        return 0
    answer = command_started(settings, "stop", name=name, force=force)
    for each in answer["stopped"]:
        _say(f"{each['session']}: stopped, {_saved(**each)}")
    for each in answer["kept"]:
        _say(f"{each['session']}: not stopped, it could not be saved: {each['why']} (--force loses it)")
    return 1 if answer["kept"] else 0


def printable(text: str) -> str:
    """Without what would move a terminal's cursor or colour it."""
    return "".join(char if char.isprintable() else "?" for char in text)


def _saved(saved: Sequence[str], lost: str | None = None, **_: Any) -> str:
    if lost is not None:
        return f"not saved: {lost}"
    return f"saved as {saved[0]}" if saved else "nothing to save"


def _row(session: dict[str, Any]) -> tuple[str, ...]:
    who = _short(session["agent"] or session["client"] or "-")
    if session.get("principal", LOCAL) != LOCAL:  # older versions do not say it
        who = f"{_short(session['principal'])}: {who}"
    started = datetime.fromisoformat(session["started"]).astimezone()
    return (
        session["session"],
        session["state"],
        who if session["in_use"] else f"({who})",
        f"{started:%Y-%m-%d %H:%M}",
        printable(session["path"]) if session["path"] else "(not saved)",
    )


def _short(name: str) -> str:
    """Clients choose their names themselves."""
    name = printable(name)
    return name if len(name) <= CLIENT_CHARS else f"{name[: CLIENT_CHARS - 3]}..."


def _table(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        _say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
