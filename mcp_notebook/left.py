"""What an earlier server left in the state directory: sessions that have not ended."""

import logging
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from mcp_notebook import state
from mcp_notebook.kernels.kept import KeptKernel, discard, kept_kernels, read_kept
from mcp_notebook.ledger import Recalled, has_journal, recall, recall_kernel
from mcp_notebook.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Left:
    """A session's directory, what its journal tells, and its kernel's files if there are any."""

    directory: Path
    recalled: Recalled
    kernel: KeptKernel | None


def find_left(settings: Settings) -> list[Left]:
    """The oldest first. What cannot be read is left where it is, its kernel too, and logged. Blocks.

    Kernels that no session has, because the server was killed while it started them, are ended.
    """
    found, unreadable = [], set()
    for directory in sorted((settings.home / state.SESSIONS).iterdir()):
        if not has_journal(directory) or state.is_owned(directory):
            continue
        try:
            recalled = recall(directory)
            if recalled is not None:
                found.append((str(recalled.facts["started"]), Left(directory, recalled, _kernel(recalled))))
        except Exception:  # whatever is in it, the other sessions go on
            logger.exception("The session in %s cannot be read. Its kernel lives on until you remove it.", directory)
            unreadable.add(directory)
    known = {left.kernel.directory for _, left in found if left.kernel is not None}
    for kernel in kept_kernels(settings.sockets):
        log = kernel.described.log
        if kernel.directory in known or not log.is_relative_to(settings.home) or log.parent in unreadable:
            continue
        discard(kernel.directory)
    return [left for _, left in sorted(found, key=itemgetter(0))]


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
