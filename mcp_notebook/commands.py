"""The commands of the command line, and what they share: options, settings, errors in one line.

What a command needs is imported by it: most need little.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from mcp_notebook import __version__, relay
from mcp_notebook.notebook_commands import ci_setup, commit, diff, git_setup, new, pr, run

USAGE_ERROR = 2

ON_NOTEBOOKS: Mapping[str, Any] = {
    "run": run,
    "new": new,
    "diff": diff,
    "commit": commit,
    "pr": pr,
    "git-setup": git_setup,
    "ci-setup": ci_setup,
}

DESCRIPTION = "A live Jupyter notebook for agents, as an MCP server."
EPILOG = """\
Without a command this is an MCP server on stdin and stdout. You do not start it by hand: an MCP client
(Claude Code, Cursor, VS Code, Codex, Hermes, ...) does, by an entry in its configuration such as

  {"mcpServers": {"notebook": {"command": "mcp-notebook", "args": ["--workspace", "/path/to/project"]}}}

First steps: `mcp-notebook doctor` checks the installation, `mcp-notebook demo` shows what it does.
"""
ANSWER = """\
Asks you here what a cell asks, without echo where that is a password, and gives the cell what you type. It passes
through no client, no model and no file. Without a terminal it reads one line of its input.
"""
DEMO = """\
A client works in a live notebook, the server is killed, the client is killed, and a new client goes on. It has a
server of its own, of which nothing is left. It takes about half a minute.
"""
DOCTOR = """\
Checks Python, packages, directories, processes and the workspace's Python, and starts a kernel. Each line begins
with ok, warn or FAIL, and below the latter two it says what to do. What dead processes left behind is removed.
"""
SERVE = """\
The process that all clients of a user share. The first client starts it, so that you need this for --http only, or to
watch it: it logs to stderr. Ctrl-C ends it; sessions and kernels live on, and the next server goes on with them.
"""
SESSIONS = """\
Lists the sessions, each of which is a notebook with a kernel: they live on when their client ends, until they are
stopped or were not used for a week.
"""
TOKEN = """\
Over HTTP, each principal has a token of his own and sees his own sessions only. A token is shown once, when it is made,
and lets nobody in any more when it is revoked; a running server notices both.
"""
STOP = """\
Saves the notebook into its workspace, then ends the session and its kernel. Without sessions and clients the server
ends too.
"""


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code: 0 good, 1 failed, 2 wrong usage."""
    options = _parser().parse_args(arguments)
    if sys.platform == "win32":
        return _fail("Windows is not supported. Install and run it inside WSL: https://aka.ms/wsl", USAGE_ERROR)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from mcp_notebook.errors import NotebookError
    from mcp_notebook.settings import BadSettings

    try:
        match options.command:
            case "answer":
                return _answer(options)
            case "demo":
                return _demo(options)
            case "doctor":
                return _doctor(options)
            case "serve":
                return _serve(options)
            case "sessions":
                return _sessions(options)
            case "token":
                return _token(options)
        if options.command in ON_NOTEBOOKS:
            return _on_notebooks(options)
        return _embedded(options) if options.embedded else _relay(options)
    except BadSettings as exc:
        return _fail(str(exc), USAGE_ERROR)
    except NotebookError as exc:
        return _fail(str(exc), 1)


def _relay(options: argparse.Namespace) -> int:
    workspace = getattr(options, "workspace", None)
    return relay.run(workspace=None if workspace is None else str(workspace), agent=options.agent)


def _embedded(options: argparse.Namespace) -> int:
    settings = _settings(options)
    relay.greet_people()
    _spare_a_second()
    import anyio

    from mcp_notebook.embedded import serve_embedded

    anyio.run(serve_embedded, settings)
    return 0


def _serve(options: argparse.Namespace) -> int:
    on_ready = _leave_parent() if options.on_demand else lambda: None
    settings = _settings(options, make_workspace=False)
    _spare_a_second()
    import anyio

    from mcp_notebook.control import command
    from mcp_notebook.daemon import serve
    from mcp_notebook.doors import Address

    http = None
    if options.http is not None:
        host, port = options.http
        http = Address(host, port, options.allow_remote, tuple(options.allow_host))
    refused = anyio.run(lambda: serve(settings, http=http, on_demand=options.on_demand, on_ready=on_ready))
    if refused is None or options.on_demand:  # another client's start was faster
        return 0
    answer = http and command(settings, "http", **asdict(http))
    if not answer:
        return _fail(refused, 1)
    sys.stdout.write(f"A server runs already, and now serves there too. {answer['listening']}\n")
    return 0


def _leave_parent() -> Callable[[], None]:
    """Go on as nobody's child, so that whoever kills a client with all that it started does not find us.

    The process that was started ends when the returned function is called, or when we end before, with our exit code.
    """
    ready, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        if os.read(ready, 1):
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    os.close(ready)

    def on_ready() -> None:
        os.write(tell, b"1")
        os.close(tell)

    return on_ready


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no HOST:PORT, such as 127.0.0.1:8377")
    return host.strip("[]"), int(port)


def _spare_a_second() -> None:
    """An optional checker of jsonschema's builds its grammar at import: a second of every start, used by nothing."""
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]


def _sessions(options: argparse.Namespace) -> int:
    from mcp_notebook.listing import show, stop

    if options.action is None:
        return show(_settings(options, make_workspace=False))
    if options.all == (options.name is not None):
        text = "sessions stop takes a NAME, or --all for every session. `mcp-notebook sessions` lists them."
        return _fail(text, USAGE_ERROR)
    name = "all" if options.all else options.name
    return stop(_settings(options, make_workspace=False), name, force=options.force)


def _token(options: argparse.Namespace) -> int:
    from mcp_notebook import token_commands

    settings = _settings(options, make_workspace=False)
    match options.action:
        case "add":
            return token_commands.add(settings, options.name)
        case "revoke":
            return token_commands.revoke(settings, options.name)
    return token_commands.show(settings)


def _answer(options: argparse.Namespace) -> int:
    from mcp_notebook.answer import answer

    return answer(_settings(options, make_workspace=False), options.name)


def _demo(options: argparse.Namespace) -> int:
    from mcp_notebook.demo import main as demo

    return demo(options.directory)


def _doctor(options: argparse.Namespace) -> int:
    import anyio

    from mcp_notebook.doctor import examine

    return anyio.run(examine, _settings(options))


def _on_notebooks(options: argparse.Namespace) -> int:
    _spare_a_second()
    settings = _settings(options, make_workspace=options.command in ("run", "new"))
    return int(ON_NOTEBOOKS[options.command].run(options, settings))


def _settings(options: argparse.Namespace, *, make_workspace: bool = True) -> Any:
    from mcp_notebook.settings import BadSettings, load

    workspace = getattr(options, "workspace", None)
    if workspace is not None and not _is_directory(workspace):
        raise BadSettings(f"--workspace {workspace} is not a directory: make it, or name another one.")
    settings = load(workspace=workspace, agent=options.agent)
    try:
        if make_workspace:
            settings.workspace.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise BadSettings(
            f"The workspace {settings.workspace} cannot be made ({exc.strerror}): name one by --workspace."
        ) from exc
    return settings


def _is_directory(path: Path) -> bool:
    try:
        return path.expanduser().is_dir()
    except RuntimeError:  # ~NAME of nobody
        return False


def _parser() -> argparse.ArgumentParser:
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--workspace", type=Path, metavar="DIR", help="where notebooks are opened and saved (default: here)"
    )
    parser = _Parser(
        "mcp-notebook",
        parents=[common],
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--agent", metavar="NAME", help="name of the agent that is served")
    parser.add_argument("--embedded", action="store_true", help="run in one process, and end the kernels with it")
    parser.add_argument(
        "--version", action="version", version=f"mcp-notebook {__version__}", help="show the version and exit"
    )
    parser.set_defaults(command=None, agent=None)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND")
    _add_demo(commands)
    for module in ON_NOTEBOOKS.values():
        module.add(commands, common)
    _add_serve(commands)
    _add_sessions(commands)
    _add_token(commands)
    answer = commands.add_parser("answer", help="give a cell the input() or the password that it waits for")
    answer.description = ANSWER
    answer.add_argument("name", nargs="?", metavar="SESSION", help="its name or handle, where cells of several wait")
    doctor = commands.add_parser("doctor", help="check the installation and say what to mend", parents=[common])
    doctor.description = DOCTOR
    return parser


def _add_demo(commands: Any) -> None:
    demo = commands.add_parser("demo", help="see the main job done end to end", description=DEMO)
    demo.add_argument(
        "directory", nargs="?", type=Path, default=None, help="where to leave its files (default: out/demo)"
    )


def _add_serve(commands: Any) -> None:
    serve = commands.add_parser("serve", help="the server process itself, in the foreground", description=SERVE)
    serve.add_argument("--http", type=_address, metavar="HOST:PORT", help="serve Streamable HTTP there too, at /mcp")
    serve.add_argument(
        "--allow-remote", action="store_true", help="HOST may be one that other machines reach; put TLS in front"
    )
    serve.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="a name by which clients reach it"
    )
    serve.add_argument("--on-demand", action="store_true", help=argparse.SUPPRESS)


def _add_sessions(commands: Any) -> None:
    sessions = commands.add_parser(
        "sessions",
        help="what is alive; `sessions stop NAME` saves and ends one",
        description=SESSIONS,
        usage="%(prog)s [-h] [stop ...]",
    )
    sessions.set_defaults(action=None)
    actions = sessions.add_subparsers(dest="action", metavar="stop", prog="mcp-notebook sessions")
    stop = actions.add_parser("stop", help="save a session's notebook and end it", description=STOP)
    stop.add_argument("name", nargs="?", metavar="NAME", help="the session's name, or its handle as it is listed")
    stop.add_argument("--all", action="store_true", help="every session")
    stop.add_argument("--force", action="store_true", help="end it also when its notebook cannot be saved")


def _add_token(commands: Any) -> None:
    token = commands.add_parser("token", help="who may come in over HTTP: add, list, revoke", description=TOKEN)
    actions = token.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make a token for a principal, and show it")
    add.add_argument("name", metavar="NAME", help="the principal's name")
    actions.add_parser("list", help="the names of those who have one")
    revoke = actions.add_parser("revoke", help="let nobody in by it any more")
    revoke.add_argument("name", metavar="NAME", help="the principal's name")


class _Parser(argparse.ArgumentParser):
    """Wrong usage is told in one line, like every other error."""

    def error(self, message: str) -> NoReturn:
        sys.exit(_fail(f"{message}. See {self.prog} --help.", USAGE_ERROR))


def _fail(text: str, code: int) -> int:
    sys.stderr.write(f"mcp-notebook: {' '.join(text.split())}\n")
    return code
