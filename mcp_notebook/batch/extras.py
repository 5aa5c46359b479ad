"""Optional packages: whether they are there, and the command that installs them where they are not."""

import importlib.util
import sys

from mcp_notebook.errors import NotInstalled

RUNS = "papermill"
"""The extra with what runs and verifies notebooks."""


def need(extra: str, *packages: str) -> None:
    """Raises NotInstalled: one of ``packages`` is not in the environment of this process."""
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise NotInstalled(
            f"This needs {' and '.join(missing)}, which is not installed beside mcp-notebook. Run:"
            f" {sys.executable} -m pip install 'mcp-notebook[{extra}]'"
        )
