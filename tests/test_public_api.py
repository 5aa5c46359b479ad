"""What programs import from ``mcp_notebook`` itself."""

import subprocess
import sys

import pytest
from anyio import fail_after

import mcp_notebook
from mcp_notebook.settings import Settings

pytestmark = pytest.mark.anyio


def test_every_public_name_is_found() -> None:
    """``__all__`` promises nothing that is not there."""
    for name in mcp_notebook.__all__:
        assert getattr(mcp_notebook, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    """As of any module, so that ``hasattr`` and ``from ... import`` work."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = mcp_notebook.no_such_name


def test_importing_the_package_imports_nothing_heavy() -> None:
    """The command line pays for what it uses only."""
    code = "import sys, mcp_notebook; print(sorted({'mcp', 'zmq', 'nbformat', 'anyio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


async def test_the_example_of_the_docstring_runs(settings: Settings) -> None:
    """A cell is run without MCP."""
    async with mcp_notebook.Sessions(settings) as sessions:
        session = await sessions.resolve(mcp_notebook.Connection(), None)
        execution = await session.execute_cell("1 + 1")
        with fail_after(30):
            assert await execution.wait(timeout_s=30)
        assert execution.outputs[0]["data"]["text/plain"] == "2"
