"""What an earlier server left in the state directory: sessions that have not ended."""

import logging
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from mcp_notebook import state
from mcp_notebook.errors import UnknownSession
from mcp_notebook.kernels.kept import KeptKernel, discard, kept_kernels, read_kept
from mcp_notebook.options import LOCAL
from mcp_notebook.recalled import Recalled, has_journal, recall, recall_kernel
from mcp_notebook.settings import Settings
from mcp_notebook.versions import UnreadableJournal

NO_SUCH_SESSION = "No such session. list_sessions shows yours; open_session opens one and returns its handle."

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Left:
    """A session's directory, what its journal tells, and its kernel's files if there are any."""

    directory: Path
    recalled: Recalled
    kernel: KeptKernel | None


class Unreadable(dict[str, str]):
    """By handle, what is to be said of sessions that cannot be gone on with, to this user alone."""

    def add(self, directory: Path, exc: Exception) -> None:
        """The session in this directory, and what went wrong with it."""
        why = str(exc) if isinstance(exc, UnreadableJournal) else f"it is damaged ({type(exc).__name__}: {exc})."
        self[directory.name] = (
            f"The session {directory.name} of an earlier server cannot be gone on with: {why} Its kernel runs on, if"
            f" it lives, and all that it left is in {directory}: copy from there what you need, and remove it."
        )

    def notes(self, principal: str) -> list[str]:
        return list(self.values()) if principal == LOCAL else []

    def unknown(self, handle: str, principal: str) -> UnknownSession:
        """Why ``handle`` is no session."""
        return UnknownSession((self.get(handle) if principal == LOCAL else None) or NO_SUCH_SESSION)


def find_left(settings: Settings) -> tuple[list[Left], Unreadable]:
    """The oldest first; and those that cannot be read. Blocks.

    These are left where they are, their kernels too.

    Kernels that no session has, because the server was killed while it started them, are ended.
    """
    found: list[tuple[str, Left]] = []
    unreadable = Unreadable()
    for directory in sorted((settings.home / state.SESSIONS).iterdir()):
        if not has_journal(directory) or state.is_owned(directory):
            continue
        try:
            recalled = recall(directory)
            if recalled is not None:
                found.append((str(recalled.facts["started"]), Left(directory, recalled, _kernel(recalled))))
        except Exception as exc:  # whatever is in it, the other sessions go on
            logger.exception("The session in %s cannot be read.", directory)
            unreadable.add(directory, exc)
    known = {left.kernel.directory for _, left in found if left.kernel is not None}
    for kernel in kept_kernels(settings.sockets):
        log = kernel.described.log
        if kernel.directory in known or not log.is_relative_to(settings.home) or log.parent.name in unreadable:
            continue
        discard(kernel.directory)
    return [left for _, left in sorted(found, key=itemgetter(0))], unreadable


def nothing_left() -> tuple[list[Left], Unreadable]:
    """Of a server that ends what it began."""
    return [], Unreadable()


def waiting(home: Path) -> list[str]:
    """The handles of the sessions that have not ended, whether a server has them or none."""
    try:
        return sorted(each.name for each in (home / state.SESSIONS).iterdir() if has_journal(each))
    except (FileNotFoundError, NotADirectoryError):
        return []


def kernel_directories(home: Path) -> dict[Path, str]:
    """Where the kernels of these sessions have their files, with the handles. Blocks."""
    found = {}
    for handle in waiting(home):
        try:
            directory = recall_kernel(home / state.SESSIONS / handle)["directory"]
        except (OSError, KeyError, TypeError):  # its server has just ended it, or it cannot be read
            continue
        if directory is not None:
            found[Path(directory)] = handle
    return found


def _kernel(recalled: Recalled) -> KeptKernel | None:
    directory = recalled.kernel["directory"]
    return None if directory is None else read_kept(Path(directory))
