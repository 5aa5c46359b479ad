"""Commands to the server process of this user, from its command line."""

import json
import os
import socket
import subprocess
import sys
import time
from typing import Any

from mcp_notebook import __version__
from mcp_notebook.errors import BadRequest, StateUnusable
from mcp_notebook.settings import Settings

SOCKET = "daemon.sock"
LOCK = "daemon.lock"
"""It holds the server's process id."""
START_WITHIN_S = 30.0
POLL_S = 0.02
ANSWERS_WITHIN_S = {"status": 5.0}
"""By command; others may save notebooks and end kernels first."""
ANYTHING_WITHIN_S = 120.0


def command(settings: Settings, command_name: str, /, **arguments: Any) -> dict[str, Any] | None:
    """What the running server answers to a command; None when none runs.

    Raises:
        BadRequest: it refused, is ending, or does not answer.
    """
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.settimeout(ANSWERS_WITHIN_S.get(command_name, ANYTHING_WITHIN_S))
    with client:
        try:
            client.connect(str(settings.sockets / SOCKET))
            asked = {"mcp_notebook": 1, "kind": "control", "version": __version__, "command": command_name, **arguments}
            client.sendall(json.dumps(asked).encode() + b"\n")
            with client.makefile("rb") as answers:
                line = answers.readline()
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except ConnectionError:
            line = b""
        except TimeoutError:
            raise BadRequest(
                f"The server, process {_pid(settings)}, does not answer. Try again; if it stays so, end that process"
                " with kill -9: sessions and kernels outlive it."
            ) from None
    if not line:
        raise BadRequest("The server closed the connection: it is ending. Try again.")
    answer: dict[str, Any] = json.loads(line)
    if "error" in answer:
        raise BadRequest(str(answer["error"]))
    return answer


def _pid(settings: Settings) -> str:
    try:
        return (settings.sockets / LOCK).read_text().strip()
    except OSError:
        return "unknown"


def command_started(settings: Settings, command_name: str, /, **arguments: Any) -> dict[str, Any]:
    """The same, of a server that is started when none runs; it ends by itself.

    Raises:
        BadRequest: it refused. StateUnusable: it does not start.
    """
    answer = command(settings, command_name, **arguments)
    if answer is not None:
        return answer
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = settings.home / "daemon.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "mcp_notebook", "serve", "--on-demand"],
            cwd="/",
            env=os.environ.copy(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
    until = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until:
        answer = command(settings, command_name, **arguments)
        if answer is not None:
            return answer
        if process.poll() not in (None, 0):
            break
        time.sleep(POLL_S)
    raise StateUnusable(f"The server did not start: see {log}, or run `mcp-notebook doctor`.")
