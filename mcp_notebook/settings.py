"""What the user can choose, read once: command line over environment over ``settings.toml``.

The file lives in the configuration directory (XDG, or ``MCP_NOTEBOOK_HOME``). Nothing else of the
package reads ``os.environ`` for its own behaviour.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mcp_notebook import relay
from mcp_notebook.auth import Auth
from mcp_notebook.errors import NotebookError
from mcp_notebook.limits import Limits
from mcp_notebook.policy import Policy

DEFAULT_WAIT_S = 45.0
LONGEST_WAIT_S = 3600.0
INTERNAL = ("home", "sockets", "environment", "names_workspace")
"""Not for the file."""
TABLES: tuple[type[Any], ...] = (Policy, Limits, Auth)
"""Kinds of settings that are tables of their own."""
_KINDS = {
    bool: "true or false",
    int: "a whole number above 0",
    int | None: "a whole number above 0",
    float: "a number above 0",
}


class BadSettings(NotebookError):
    """A setting has a value that cannot be used; the message names it and where it was found."""


@dataclass(frozen=True)
class Settings:
    """Every choice, with its default. Sizes are in characters or bytes as named."""

    workspace: Path
    """The directory whose notebooks are opened and written; nothing outside is touched."""
    home: Path
    """State: spilled outputs, kernels' log files."""
    sockets: Path
    """Short private directory for the kernels' connection files and sockets."""
    names_workspace: bool = False
    """Whether ``workspace`` was chosen, and is no default."""
    agent: str | None = None
    wait_s: float = DEFAULT_WAIT_S
    """How long a call waits for a cell by default before it hands back ``running``."""
    require_session: bool = False
    """Refuse calls without a session handle even when there is no doubt."""
    lean: bool = True
    """Start Python kernels without what an agent's kernel does not need."""
    start_timeout_s: float = 60.0
    spill_over_chars: int = 1_000_000
    """Text of one output beyond this goes to a file; the document keeps head and tail."""
    client_wait_s: float = 120.0
    """After a restart of the server, the sessions of clients that were connected wait so long for them."""
    idle_exit_s: float = 60.0
    """The server ends when it had neither a session nor a client for so long; it looks as often."""
    answer_chars: int = 20_000
    """Text per tool result; never over 60 KB on the wire."""
    http_roots: tuple[str, ...] = ()
    """Below these a session over HTTP may choose its workspace; `{principal}` stands for whose it is."""
    http_idle_s: float = 1800.0
    """An MCP session over HTTP ends when it has made no request for so long; its kernels live on."""
    forges: tuple[str, ...] = ()
    """Where pull requests go: entries ``HOST=KIND`` (gitea, forgejo or github), or ``HOST=KIND API-URL``.

    A forge that is named here gets the token of the client's environment; one that only a git remote names does not.
    """
    forge_tokens: tuple[str, ...] = field(default=(), repr=False)
    """Entries ``HOST=TOKEN``, for forges whose token is not in the client's environment."""
    runtime: Policy = field(default_factory=Policy)
    """What code in cells may ask of its host: a table of its own."""
    limits: Limits = field(default_factory=Limits)
    """How much a principal, a session and a request may take: a table of its own."""
    auth: Auth = field(default_factory=Auth)
    """Whose JSON web tokens are accepted over HTTP: a table of its own."""
    nbval_sanitize_with: str | None = None
    """nbval's file of what is not compared when a notebook is verified, relative to the workspace."""
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What kernels inherit, before withholding."""
    env_pass: tuple[str, ...] = ()
    """Patterns (fnmatch) of variables that kernels get although their names look secret."""
    env_withhold: tuple[str, ...] = ()
    """Patterns of variables that kernels do not get although their names look harmless."""
    mask_secrets: bool = True
    """Mask the values of variables that look secret, and tokens, in outputs."""
    mask_patterns: tuple[str, ...] = ()
    """Regular expressions of what else is masked there."""


def load(environment: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    """Settings of this process; ``overrides`` (the command line's) win, ``None`` means not given.

    Raises:
        BadSettings: a value of the wrong type or an unknown name in ``settings.toml``.
    """
    env = dict(os.environ if environment is None else environment)
    home = _home(env)
    chosen: dict[str, Any] = _from_file(_config_file(env))
    if env.get("MCP_NOTEBOOK_WORKSPACE") or env.get("CLAUDE_PROJECT_DIR"):
        chosen.pop("workspace", None)
    chosen |= _from_environment(env)
    chosen |= {name: value for name, value in overrides.items() if value is not None}
    _check_patterns(chosen.get("mask_patterns", ()))
    named = chosen.pop("workspace", None)
    workspace = Path(named or relay.default_workspace(env)).expanduser()
    settings = Settings(
        workspace=workspace.resolve(),
        home=home,
        sockets=Path(relay.socket_directory(env)),
        environment=env,
        names_workspace=named is not None,
    )
    return replace(settings, **chosen)


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    if "MCP_NOTEBOOK_WAIT_S" in env:
        try:
            chosen["wait_s"] = _seconds(float(env["MCP_NOTEBOOK_WAIT_S"]))
        except ValueError as exc:
            raise BadSettings(
                f"MCP_NOTEBOOK_WAIT_S is not a number of seconds from 0 to {LONGEST_WAIT_S:g}: set one, such as 45."
            ) from exc
    if env.get("MCP_NOTEBOOK_AGENT"):
        chosen["agent"] = env["MCP_NOTEBOOK_AGENT"]
    return chosen


def _from_file(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            raw = tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        raise BadSettings(f"{path} cannot be read ({exc}). Fix or remove it.") from exc
    known = {f.name: f.type for f in fields(Settings) if f.name not in INTERNAL}
    return _chosen(path, "", known, raw)


def _chosen(path: Path, table: str, known: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    chosen: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in known:
            raise BadSettings(f"{path} sets {table + name!r}, which is not a setting. Known: {', '.join(known)}.")
        if known[name] in TABLES and isinstance(value, dict):
            chosen[name] = _table(path, name, known[name], value)
        else:
            chosen[name] = _checked(path, table + name, known[name], value)
    return chosen


def _table(path: Path, name: str, kind: type[Any], raw: Mapping[str, Any]) -> Any:
    chosen = _chosen(path, f"{name}.", {f.name: f.type for f in fields(kind)}, raw)
    try:
        return kind(**chosen)
    except ValueError as exc:
        raise BadSettings(f"{path}: in [{name}], {exc}.") from exc


def _checked(path: Path, name: str, wanted: Any, value: Any) -> Any:
    match wanted, value:
        case type(), bool() if wanted is bool:
            return value
        case _, int() if wanted in (int, int | None) and not isinstance(value, bool) and value > 0:
            return value
        case type(), int() | float() if wanted is float and not isinstance(value, bool) and value > 0:
            return float(value)
        case _, list() if "tuple" in str(wanted) and all(isinstance(item, str) for item in value):
            return tuple(value)
        case _, str() if wanted is Path or "str" in str(wanted):
            return value
    if wanted in TABLES:
        raise BadSettings(f"{path}: {name} is a table: write its settings below a line `[{name}]`.")
    kind = "a list of texts" if "tuple" in str(wanted) else _KINDS.get(wanted, "a text")
    raise BadSettings(f"{path}: {name} has a value of the wrong kind ({value!r}); it takes {kind}.")


def _seconds(value: float) -> float:
    if not 0 <= value <= LONGEST_WAIT_S:
        raise ValueError
    return value


def _check_patterns(patterns: tuple[str, ...]) -> None:
    for pattern in patterns:
        try:
            re.compile(pattern)
        except re.error as exc:
            raise BadSettings(f"mask_patterns has {pattern!r}, which is no regular expression ({exc}).") from exc


def _home(env: Mapping[str, str]) -> Path:
    try:
        return Path(relay.home_directory(env))
    except ValueError as exc:
        raise BadSettings(str(exc)) from exc


def _config_file(env: Mapping[str, str]) -> Path:
    if env.get("MCP_NOTEBOOK_HOME"):
        return _home(env) / "settings.toml"
    config = env.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(config) / "mcp-notebook" / "settings.toml"
