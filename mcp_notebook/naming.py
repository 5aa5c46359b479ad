"""What sessions are called, and where principals work: names that nobody else's show through."""

import hashlib
import re
import secrets
from collections.abc import Container
from pathlib import Path

from mcp_notebook.errors import FileRefused

NAME_CHARS = 40
PLACEHOLDER = "{principal}"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def free_name(wanted: str, taken: Container[str]) -> str:
    """``wanted``, as a name of a session, with a number behind it if it is taken."""
    base = re.sub(r"[^a-z0-9]+", "-", wanted.lower()).strip("-")[:NAME_CHARS] or "notebook"
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def new_handle(name: str) -> str:
    """A handle that nobody can guess."""
    return f"{name}-{secrets.token_hex(8)}"


def directory_of(principal: str) -> str:
    """The name of a principal's own directory: of each another one, on whatever file system."""
    if _PLAIN.fullmatch(principal):
        return principal
    readable = re.sub(r"[^a-z0-9._-]+", "-", principal.lower()).strip("-._")[:NAME_CHARS]
    # The tilde is in no plain name, so that nobody can be called what another one's directory is.
    return f"{readable or 'principal'}~{hashlib.sha256(principal.encode()).hexdigest()[:16]}"


def make_workspace(place: Path) -> None:
    """Raises FileRefused."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise FileRefused(f"The workspace {place} cannot be made ({exc.strerror}): name another one.") from exc
