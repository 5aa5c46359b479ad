"""Where things are: the socket directory, the state, the workspace. ``mcp_notebook.settings`` asks here too."""

import os
import stat

TYPE_CHECKING = False  # importing typing would take longer than all the rest
if TYPE_CHECKING:
    from collections.abc import Mapping

PARENT = "/tmp"


class Unavailable(Exception):
    """There is no daemon to talk to; the message tells the user what to do."""


def socket_directory(environment: "Mapping[str, str]") -> str:
    """Where daemon, keeper and kernels of this user listen.

    Short, since a unix socket's path ends at about 100 bytes; from the uid alone, so that all agree on it.
    """
    base = f"{PARENT}/mcp-notebook-{os.getuid()}"
    if not environment.get("MCP_NOTEBOOK_HOME"):
        return base
    return f"{base}/{_sha256(os.fsencode(home_directory(environment)))[:8]}"


def home_directory(environment: "Mapping[str, str]") -> str:
    """Where state and logs are. Raises ValueError when MCP_NOTEBOOK_HOME names the home of nobody."""
    if given := environment.get("MCP_NOTEBOOK_HOME"):
        path = os.path.expanduser(given)
        if path.startswith("~"):
            raise ValueError(f"MCP_NOTEBOOK_HOME is not a path that can be used ({given}): set another.")
        return os.path.realpath(path)
    state = environment.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return os.path.join(state, "mcp-notebook")


def default_workspace(environment: "Mapping[str, str]") -> str:
    """Where notebooks are opened and saved if the command line does not say."""
    for name in ("MCP_NOTEBOOK_WORKSPACE", "CLAUDE_PROJECT_DIR"):
        if environment.get(name):
            return environment[name]
    home = os.path.expanduser("~")
    try:
        here = os.getcwd()
    except OSError:  # it was removed
        here = "/"
    return os.path.join(home, "notebooks") if here in ("/", home, os.path.realpath(home)) else here


def check(directory: str) -> None:
    """Make the socket directory if it is missing.

    Raises:
        Unavailable: it, or the one above it that is ours too, is not ours alone.
    """
    parent = os.path.dirname(directory)
    for path in (directory,) if parent == PARENT else (parent, directory):
        try:
            status = _made(path)
        except OSError as exc:
            raise Unavailable(f"{path} cannot be used ({exc.strerror}): remove it.") from exc
        private = stat.S_IMODE(status.st_mode) & 0o777 == 0o700 and status.st_uid == os.getuid()
        if not stat.S_ISDIR(status.st_mode) or not private:
            raise Unavailable(
                f"{path} must be a directory, no symbolic link, of user {os.getuid()} with mode 0700, since whoever "
                "can write there can pretend to be the notebook server. Find out who made it, and remove it."
            )


def _sha256(data: bytes) -> str:
    """By Python's own implementation where it has one: hashlib loads OpenSSL, 3 MB and 10 ms."""
    for module in ("_sha2", "_sha256"):
        try:
            return str(__import__(module).sha256(data).hexdigest())
        except ImportError:
            continue
    return str(__import__("hashlib").sha256(data).hexdigest())


def _made(path: str) -> os.stat_result:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        os.makedirs(path, 0o700, exist_ok=True)  # another relay may do so at the same time
        return os.lstat(path)
