"""What a cell can call of its host: commands, files, the web, MCP servers, the user.

    from hermes_runtime import terminal, read_file, search_files
    terminal("git log --oneline | head -3")["output"]

In every Python kernel of mcp-notebook, also as ``hermes_tools``, with Hermes's names and answers. What a call returns
stays in Python; only what a cell prints or shows reaches the reader. ``help(terminal)`` tells the rest, and
``dir(hermes_runtime)`` what there is.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hermes_runtime.calls import (
        ask_user,
        glue,
        json_parse,
        patch,
        read_file,
        retry,
        search_files,
        servers,
        shell_quote,
        terminal,
        this_notebook,
        web_extract,
        web_search,
        write_file,
    )
    from hermes_runtime.carriers import HostError
    from hermes_runtime.proxies import ServerError

__all__ = [
    "HostError", "ServerError", "ask_user", "glue", "json_parse", "patch", "read_file", "retry", "search_files", "servers",
    "shell_quote", "terminal", "this_notebook", "web_extract", "web_search", "write_file",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Found at first use: a kernel that calls nothing loads nothing."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = {"HostError": "carriers", "ServerError": "proxies"}.get(name, "calls")
    globals()[name] = getattr(import_module(f"hermes_runtime.{home}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    return __all__
