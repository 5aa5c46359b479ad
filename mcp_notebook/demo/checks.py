"""Other people's tools on what the demo saved."""

import subprocess
import sys
import time
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mcp_notebook.demo.story import NOTEBOOK, SOURCE
from mcp_notebook.demo.telling import DemoFailed, tell


def check(workspace: Path) -> None:
    """Raises DemoFailed when one of them finds a fault."""
    tell("\nOther people's tools look at what was saved.\n")
    path = workspace / NOTEBOOK
    notebook: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call] # nbformat's own
    nbformat.validate(notebook)
    tell(f"  nbformat: {NOTEBOOK} is valid, {len(notebook.cells)} cells.")
    took_s = _succeeds(workspace, "jupyter", "execute", "--kernel_name=python3", NOTEBOOK)
    tell(f"  nbclient: it runs clean from top to bottom in a fresh kernel ({took_s:.1f} s).")
    took_s = _succeeds(workspace, "jupytext", "--to", "ipynb", "--test", SOURCE)
    tell(f"  jupytext: {SOURCE} survives the way to .ipynb and back ({took_s:.1f} s).")


def _succeeds(workspace: Path, module: str, *arguments: str) -> float:
    """Run the other tool as its users do; the seconds that it took."""
    command = [sys.executable, "-m", module, *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=workspace, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoFailed(f"{module} {' '.join(arguments)}\n{done.stdout}{done.stderr}")
    return time.perf_counter() - started
