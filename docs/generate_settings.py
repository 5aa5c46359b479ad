"""Write ``docs/settings.md`` from the classes that say what can be set: each field, its default, its docstring.

``--check`` writes nothing and fails if the page is not what would be written.
"""

import ast
import inspect
import re
import sys
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

from mcp_notebook.auth import Auth
from mcp_notebook.limits import Limits
from mcp_notebook.policy import Policy
from mcp_notebook.settings import INTERNAL, Settings

PAGE = Path(__file__).with_name("settings.md")
OPENING = """\
# Settings

Nothing has to be set. What can be set is in one file, `settings.toml`. The server reads it when it starts; one that
runs already goes on with what it has read. This page is made from the code by `make docs`.

## Where

- The file is `$MCP_NOTEBOOK_HOME/settings.toml` where that variable is set, else
  `$XDG_CONFIG_HOME/mcp-notebook/settings.toml`, else `~/.config/mcp-notebook/settings.toml`.
- State (journals, long outputs, logs, the token of HTTP) is in `$MCP_NOTEBOOK_HOME`, else in
  `$XDG_STATE_HOME/mcp-notebook`, else in `~/.local/state/mcp-notebook`.
- Sockets are in `/tmp/mcp-notebook-UID`, below which each `MCP_NOTEBOOK_HOME` has a directory of its own.

A file that cannot be read, a name that is no setting and a value of the wrong kind are errors that name the file and
the setting.

## What wins

The command line wins over the environment, and the environment over the file. The environment is that of the MCP
client which starts `mcp-notebook`: each client's own, also where several share one server.

| variable | sets |
|---|---|
| `MCP_NOTEBOOK_HOME` | where settings, state and sockets are; with another one there is another server |
| `MCP_NOTEBOOK_WORKSPACE`, else `CLAUDE_PROJECT_DIR` | the workspace, where `--workspace` does not |
| `MCP_NOTEBOOK_AGENT` | the agent's name, where `--agent` does not |
| `MCP_NOTEBOOK_WAIT_S` | `wait_s`, from 0 to 3600 |

Where nothing chooses a workspace it is the directory in which the client starts the command, or `~/notebooks` where
that is `/` or the home directory.
"""
SETTINGS = """\
## settings.toml

Lengths of time are in seconds. Numbers are above 0.
"""
POLICY = """\
## The table [runtime]

What code in cells may ask of its host: see [hermes_runtime](hermes_runtime.md). It prevents accidents and runaway
loops, and is no wall: see [Safety](safety.md).

```toml
[runtime]
budget = 200
without = ["terminal"]
mcp_servers = ".mcp.json"
searxng_url = "http://127.0.0.1:8888"
```
"""
LIMITS = """\
## The table [limits]

What reaches a limit is refused with a sentence that says what to end first, or ended and told; nothing waits for room.

```toml
[limits]
kernels = 4
queue = 100
```
"""
AUTH = """\
## The table [auth]

With it, clients over HTTP may come with a JSON web token of this issuer, besides the tokens of `mcp-notebook token`:
the `sub` of the token is who they are. See [Safety](safety.md#who-comes-in-over-http).

```toml
[auth]
issuer = "https://login.example"
audience = ["https://box.example/mcp"]
jwks_url = "https://login.example/.well-known/jwks.json"
resource = "https://box.example/mcp"
```
"""
CHOSEN = {"workspace": "see above", "runtime": "see below", "limits": "see below", "auth": "see below"}
"""What stands for a default that is no value of its own."""
UNTOLD = {
    "agent": "The name of the agent that is served. Read from the file with `--embedded` only.",
    "start_timeout_s": "A kernel that is not ready after so long is given up.",
}
"""Of settings whose names tell a reader of the code enough."""
KINDS = {
    "str": "text",
    "Path": "text",
    "tuple": "list of texts",
    "bool": "true or false",
    "int": "whole number",
    "Policy": "table",
    "Limits": "table",
    "Auth": "table",
}


def main() -> int:
    """Write the page, or compare it."""
    text = page()
    if "--check" not in sys.argv[1:]:
        PAGE.write_text(text)
        return 0
    if PAGE.read_text() == text:
        return 0
    sys.stderr.write("docs/settings.md is not what the code says. Run: make docs\n")
    return 1


def page() -> str:
    """The whole page."""
    tables = [(SETTINGS, Settings), (POLICY, Policy), (LIMITS, Limits), (AUTH, Auth)]
    return "\n".join([OPENING, *(f"{heading}\n{_table(of)}\n" for heading, of in tables)])


def _table(of: type[Any]) -> str:
    told = _docstrings(of)
    chosen = [each for each in fields(of) if each.name not in INTERNAL]
    rows = [f"| `{each.name}` | {_kind(each)} | {_default(each)} | {_plain(told, each.name)} |" for each in chosen]
    return "\n".join(["| setting | kind | default | |", "|---|---|---|---|", *rows])


def _docstrings(of: type[Any]) -> dict[str, str]:
    """The text below each field, as its class has it."""
    (made,) = ast.parse(inspect.getsource(of)).body
    assert isinstance(made, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(made.body, made.body[1:], strict=False):
        match before, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split())
    return found


def _plain(told: dict[str, str], name: str) -> str:
    text = told.get(name) or UNTOLD[name]
    return re.sub(r"``(.+?)``", r"`\1`", text).replace("|", "\\|")


def _kind(of: "Field[Any]") -> str:
    written = of.type.__name__ if isinstance(of.type, type) else str(of.type)
    return next((kind for name, kind in KINDS.items() if written.startswith(name)), "number")


def _default(of: "Field[Any]") -> str:
    if of.name in CHOSEN:
        return CHOSEN[of.name]
    assert of.default is not MISSING
    return f"`{_toml(of.default)}`" if of.default is not None else "none"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case str():
            return f'"{value}"'
    return str(value)


if __name__ == "__main__":
    sys.exit(main())
