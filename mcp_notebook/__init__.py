"""A live Jupyter notebook for agents. The public Python API, found lazily so that the command line starts fast.

from mcp_notebook import Connection, Sessions, load_settings

async with Sessions(load_settings(workspace="project")) as sessions:
    session = await sessions.resolve(Connection(), None)
    execution = await session.execute_cell("1 + 1")
    await execution.wait(timeout_s=10)
"""

TYPE_CHECKING = False  # importing typing would take longer than a relay takes to start
if TYPE_CHECKING:
    from typing import Any

    from mcp_notebook.errors import NotebookError
    from mcp_notebook.execution import Execution
    from mcp_notebook.session import Session
    from mcp_notebook.sessions import Connection, Sessions
    from mcp_notebook.settings import Settings
    from mcp_notebook.settings import load as load_settings

__all__ = ["Connection", "Execution", "NotebookError", "Session", "Sessions", "Settings", "load_settings"]

__version__ = "0.1.0"

_PLACES = {
    "Connection": ("sessions", "Connection"),
    "Execution": ("execution", "Execution"),
    "NotebookError": ("errors", "NotebookError"),
    "Session": ("session", "Session"),
    "Sessions": ("sessions", "Sessions"),
    "Settings": ("settings", "Settings"),
    "load_settings": ("settings", "load"),
}


def __getattr__(name: str) -> "Any":
    if name not in _PLACES:
        raise AttributeError(f"module 'mcp_notebook' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _PLACES[name]
    return getattr(import_module(f"mcp_notebook.{module}"), attribute)
