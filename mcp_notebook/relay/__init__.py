"""What an MCP client starts: messages between its pipes and the socket of the daemon, which may come and go.

A relay ends with its client and survives the daemon. Every client starts one of these, so here is the standard
library only, and little of it: what would come with typing, argparse or subprocess costs more than all the rest.
"""

import os
import sys

from mcp_notebook.relay.bridge import Bridge
from mcp_notebook.relay.places import default_workspace, home_directory, socket_directory
from mcp_notebook.relay.start import Place

__all__ = ["default_workspace", "greet_people", "home_directory", "run", "socket_directory"]

WIRE = 1
"""The version of the first line."""
CHOOSING = ("MCP_NOTEBOOK_WORKSPACE", "CLAUDE_PROJECT_DIR")
"""Variables that choose a workspace; without them the settings file may."""
USAGE_ERROR = 2
ON_TERMINAL = """\
mcp-notebook is a server for MCP clients and waits for their messages on stdin; Ctrl-C ends it.
`mcp-notebook demo` shows what it does, `mcp-notebook --help` how to configure a client.
"""


def run(*, workspace: str | None, agent: str | None) -> int:
    """Serve the client on stdin and stdout until it goes, and return the exit code."""
    environment = dict(os.environ)
    if workspace is not None and not os.path.isdir(os.path.expanduser(workspace)):
        return _fail(f"--workspace {workspace} is not a directory: make it, or name another one.")
    directory = os.path.realpath(os.path.expanduser(workspace or default_workspace(environment)))
    try:
        home = home_directory(environment)
        os.makedirs(directory, exist_ok=True)
    except ValueError as exc:
        return _fail(str(exc))
    except OSError as exc:
        return _fail(f"The workspace {directory} cannot be made ({exc.strerror}): name one by --workspace.")
    hello: dict[str, object] = {
        "mcp_notebook": WIRE,
        "kind": "relay",
        "version": sys.modules["mcp_notebook"].__version__,
        "pid": os.getpid(),
        "workspace": directory,
        "chosen": bool(workspace or any(environment.get(name) for name in CHOOSING)),
        "agent": agent or environment.get("MCP_NOTEBOOK_AGENT") or None,
        "environment": environment,
    }
    greet_people()
    Bridge(Place(socket_directory(environment), home, environment), hello).serve()
    return 0


def greet_people() -> None:
    """Whoever starts a server by hand is told what it is."""
    if os.isatty(0):
        sys.stderr.write(ON_TERMINAL)


def _fail(text: str) -> int:
    sys.stderr.write(f"mcp-notebook: {' '.join(text.split())}\n")
    return USAGE_ERROR
