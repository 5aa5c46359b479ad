"""The versions of a journal's entries: what this server writes, and how those of the two before are read.

A version is a number in the journal's first line. It changes when an older server would misread what is written;
what is merely new is a key of its own, which older servers pass over and keep.
"""

from collections.abc import Callable, Mapping
from typing import Any

from mcp_notebook.errors import NotebookError

VERSION = 2
OLDEST = max(1, VERSION - 2)
"""The first version that is read too."""

Entries = dict[str, Any]


class UnreadableJournal(NotebookError):
    """What a session left cannot be gone on with; it is left as it is."""


def renewed(found: Mapping[str, Any]) -> Entries:
    """What ``found``, of an earlier version, says in this one; empty for what is of this one.

    These are entries to be appended; None for keys that are no more. A writer that was killed while it appended
    them has left some: they stay what they are.

    Raises:
        UnreadableJournal: a later version's, or one that is too old.
    """
    version = found.get("version", VERSION - 1)  # a full disk can have cut it
    if not isinstance(version, int) or version > VERSION:
        raise UnreadableJournal(
            f"a newer mcp-notebook wrote it (its version is {version}, this server reads up to {VERSION}):"
            " install that one again, and it goes on."
        )
    if version < OLDEST:
        raise UnreadableJournal(
            f"an older mcp-notebook wrote it (its version is {version}, this server reads from {OLDEST} on):"
            " one release between the two brings it up to date."
        )
    entries: Entries = {}
    for number in range(version, VERSION):
        entries |= _RENEW[number]({**found, **entries})
        entries["version"] = number + 1
    return entries


def _calls_one_by_one(found: Entries) -> Entries:
    """From 1 to 2: the runtime calls of an execution were one entry, and are one each; a death was a sentence."""
    entries: Entries = {}
    kernel = found.get("kernel")
    if kernel is not None and isinstance(kernel.get("death"), str):
        entries["kernel"] = {**kernel, "death": {"fault": kernel["death"].rstrip(".")}}
    for key, made in found.items():
        kind, _, execution_id = key.partition("/")
        if kind != "made" or "/" in execution_id or made is None:
            continue
        for number, call in enumerate(made["ended"], 1):
            entries[f"{key}/{number}"] = {"begun": made["begun"], "call": call}
        entries[key] = None  # last: cut short, it is renewed again
    return entries


_RENEW: dict[int, Callable[[Entries], Entries]] = {1: _calls_one_by_one}
