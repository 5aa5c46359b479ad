"""What sessions are called, and where principals work: names that nobody else's show through."""

import hashlib
import re
import secrets
from collections.abc import Container, Sequence
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


def workspace_in(root: Path, chosen: str | Path, roots: Sequence[Path]) -> Path:
    """The directory ``chosen``, relative to ``root``; it lies below one of ``roots``, if there are any, else ``root``.

    Raises:
        FileRefused: outside, or no directory: the two are not told apart.
    """
    allowed = [each.resolve() for each in roots] or [root]
    try:
        place = (root / Path(chosen).expanduser()).resolve()
        if place == root:  # it is made with its first session
            return root
        found = any(place.is_relative_to(each) for each in allowed) and place.is_dir()
    except (OSError, ValueError, RuntimeError):  # no path at all
        found = False
    if not found:
        inside = " or ".join(map(str, allowed))
        raise FileRefused(f"{chosen} is not a directory inside the workspace {inside}: name one, or leave it out.")
    return place


def make_workspace(place: Path) -> None:
    """Raises FileRefused."""
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise FileRefused(f"The workspace {place} cannot be made ({exc.strerror}): name another one.") from exc
