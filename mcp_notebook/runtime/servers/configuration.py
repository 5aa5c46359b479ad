"""The servers that a JSON file with ``mcpServers`` names, as Claude Code, Cursor and VS Code write it.

Reads and checks; starts nothing. An entry that cannot be used is kept with what is wrong with it, so that
one mistake does not take the other servers away. No message repeats a value: values may be secrets.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mcp_notebook.errors import BadRequest, ServerFailed
from mcp_notebook.runtime.host import Host

MOST_BYTES = 1_000_000
"""Of the file; a longer one is no configuration."""
HTTP = ("http", "streamable-http", "streamableHttp", "streamable_http")
"""How ``type`` names Streamable HTTP in the wild."""
VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_]\w*)(?::-([^}]*))?\}")
WORKSPACE = "${workspaceFolder}"


@dataclass(frozen=True)
class Entry:
    """One server, ready to be started: variables are replaced, paths are absolute."""

    name: str
    transport: Literal["stdio", "http"]
    command: str = ""
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path = Path()
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class Unusable(Exception):
    """What is wrong with one entry."""


class Configuration:
    """The file, read again whenever it changed."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._seen: tuple[int, int, int] | None = None
        self.entries: dict[str, Entry] = {}
        self.problems: dict[str, str] = {}
        self.disabled: set[str] = set()

    @property
    def path(self) -> Path | None:
        """The file; None where the settings name none."""
        named = self._host.policy.mcp_servers
        return self._host.workspace / Path(named).expanduser() if named else None

    def refresh(self) -> None:
        """Read the file if it is not the one that was read last.

        Raises:
            ServerFailed: it cannot be read; what was known before is kept.
        """
        if (path := self.path) is None:
            return
        try:
            found = path.stat()
            seen = (found.st_mtime_ns, found.st_size, found.st_ino)
            if seen == self._seen:
                return
            servers = _servers_in(path, found.st_size)
        except (OSError, ValueError, RecursionError) as exc:
            raise ServerFailed(
                f"The MCP servers in {path} cannot be read: {exc}. Mend the file and call again."
            ) from exc
        self._seen = seen
        self._take(servers)

    def entry(self, name: object) -> Entry:
        """The entry of this name.

        Raises:
            BadRequest: there is none.
            ServerFailed: it cannot be used.
        """
        if not isinstance(name, str):
            raise BadRequest(f"The name of an MCP server is a text, not {type(name).__name__}.")
        if name in self.entries:
            return self.entries[name]
        if self.path is None:
            raise BadRequest(
                f"There is no MCP server {name!r}: none are configured. Name a JSON file with mcpServers as "
                "mcp_servers in the table [runtime] of settings.toml."
            )
        if name in self.problems:
            raise ServerFailed(f"The entry {name!r} in {self.path} cannot be used: {self.problems[name]}")
        if name in self.disabled:
            raise BadRequest(f"The MCP server {name!r} is disabled in {self.path}.")
        known = ", ".join(sorted(self.entries)) or "none"
        raise BadRequest(f"There is no MCP server {name!r} in {self.path}. It has: {known}.")

    def _take(self, servers: Mapping[str, Any]) -> None:
        self.entries, self.problems, self.disabled = {}, {}, set()
        for name, raw in servers.items():
            if isinstance(raw, dict) and raw.get("disabled") is True:
                self.disabled.add(name)
                continue
            try:
                self.entries[name] = _entry(name, raw, self._host)
            except Unusable as exc:
                self.problems[name] = str(exc)


def _servers_in(path: Path, size: int) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError("it is no file")
    if size > MOST_BYTES:
        raise ValueError(f"it is longer than {MOST_BYTES:,} bytes")
    document = json.loads(path.read_bytes())
    servers = document.get("mcpServers", document.get("servers")) if isinstance(document, dict) else None
    if not isinstance(servers, dict):
        raise ValueError('it must be an object such as {"mcpServers": {"name": {"command": "...", "args": []}}}')
    return servers


def _entry(name: str, raw: Any, host: Host) -> Entry:
    if not isinstance(raw, dict):
        raise Unusable('it must be an object with "command" or "url".')
    kind = raw.get("type")
    if kind == "sse":
        raise Unusable('"sse" is a transport of earlier versions of MCP: give the "url" of Streamable HTTP.')
    if kind not in (None, "stdio", *HTTP):
        raise Unusable('"type" must be "stdio" or "http".')
    if "command" in raw and "url" in raw and kind is None:
        raise Unusable('it has both "command" and "url": leave one out, or say which with "type".')
    if kind in HTTP or (kind is None and "url" in raw):
        return _over_http(name, raw, host)
    cwd = host.workspace / Path(_text(raw, "cwd", host) or ".").expanduser()
    command, args = _text(raw, "command", host), _texts(raw, "args", host)
    if not command:
        raise Unusable('it needs a "command", or a "url".')
    return Entry(name, "stdio", command=command, args=args, env=_table(raw, "env", host), cwd=cwd)


def _over_http(name: str, raw: dict[str, Any], host: Host) -> Entry:
    url = _text(raw, "url", host)
    if not re.match(r"https?://[^/\s]", url):
        raise Unusable('"url" must begin with http:// or https://.')
    return Entry(name, "http", url=url, headers=_table(raw, "headers", host))


def _text(raw: Mapping[str, Any], key: str, host: Host) -> str:
    value = raw.get(key, "")
    if not isinstance(value, str):
        raise Unusable(f'"{key}" must be a text.')
    return _filled(value, key, host)


def _texts(raw: Mapping[str, Any], key: str, host: Host) -> tuple[str, ...]:
    value = raw.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise Unusable(f'"{key}" must be a list of texts.')
    return tuple(_filled(each, key, host) for each in value)


def _table(raw: Mapping[str, Any], key: str, host: Host) -> dict[str, str]:
    value = raw.get(key, {})
    if not isinstance(value, dict) or not all(isinstance(each, str) for each in value.values()):
        raise Unusable(f'"{key}" must be an object whose values are texts.')
    return {name: _filled(each, f"{key}.{name}", host) for name, each in value.items()}


def _filled(text: str, key: str, host: Host) -> str:
    """``text`` with its variables replaced."""

    def value(match: re.Match[str]) -> str:
        name, default = match.groups()
        if found := host.credentials.get(name, ""):
            return found
        if default is None and name not in host.credentials:
            raise Unusable(
                f'"{key}" needs the variable {name}, which the environment of the MCP client that started us '
                f"does not have: set it there, or write ${{{name}:-default}}."
            )
        return default or ""

    filled = VARIABLE.sub(value, text.replace(WORKSPACE, str(host.workspace)))
    if "\0" in filled:
        raise Unusable(f'"{key}" has a null character.')
    return filled
