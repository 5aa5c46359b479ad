"""``mcp-notebook doctor``: is everything there that a session needs, and what to do where it is not."""

import sys
import time
from collections.abc import AsyncIterator, Iterator, Set
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import anyio.to_thread
from jupyter_client.kernelspec import KernelSpecManager

from mcp_notebook import entrances, processes, provisions
from mcp_notebook.errors import NotebookError
from mcp_notebook.finding import Finding
from mcp_notebook.kernels.environment import find_python
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings

PACKAGES = ("mcp-notebook", "mcp", "jupyter_client", "ipykernel", "nbformat", "jupytext")
OLDEST_PYTHON = (3, 11)


async def examine(settings: Settings) -> int:
    """Print the report; 1 if anything failed, else 0."""
    levels = set()
    async for finding in findings(settings):
        levels.add(finding.level)
        sys.stdout.write(f"{finding.level:<5} {finding.text}\n")
        if finding.remedy:
            sys.stdout.write(f"      -> {finding.remedy}\n")
        sys.stdout.flush()
    sys.stdout.write(f"{_verdict(levels)}\n")
    return int("FAIL" in levels)


def _verdict(levels: Set[str]) -> str:
    if "FAIL" in levels:
        return "Something is broken: see above."
    return "It works, but see the warning above." if "warn" in levels else "All is well."


async def findings(settings: Settings) -> AsyncIterator[Finding]:
    """What is found, one after the other; the kernel comes last."""
    yield _python()
    for finding in _packages():
        yield finding
    yield _writable("workspace", settings.workspace, private=False)
    yield _writable("state directory", settings.home, private=True)
    yield _writable("socket directory", settings.sockets, private=True)
    for finding in await anyio.to_thread.run_sync(lambda: list(processes.findings(settings))):
        yield finding
    for finding in await anyio.to_thread.run_sync(lambda: list(entrances.findings(settings))):
        yield finding
    yield await anyio.to_thread.run_sync(_interpreter, settings)
    yield await anyio.to_thread.run_sync(_kernelspecs)
    yield await provisions.finding(settings)
    yield await _kernel(settings)


def _python() -> Finding:
    found = f"Python {sys.version.split()[0]} ({sys.executable})"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("FAIL", found, "Install mcp-notebook into Python 3.11 or newer.")
    return Finding("ok", found)


def _packages() -> Iterator[Finding]:
    for package in PACKAGES:
        try:
            yield Finding("ok", f"{package} {version(package)}")
        except PackageNotFoundError:
            yield Finding("FAIL", f"{package} is not installed", f"{sys.executable} -m pip install {package}")


def _writable(what: str, path: Path, *, private: bool) -> Finding:
    text = f"{what} {path}"
    try:
        for place in (*reversed(path.parents), path):  # what `parents` would make, others could enter
            place.mkdir(mode=0o700, exist_ok=True)
        probe = path / ".mcp-notebook-doctor"
        probe.touch()
        probe.unlink()
        mode = path.stat().st_mode
    except OSError as exc:
        return Finding("FAIL", f"{text}: {exc.strerror}", "Make it a directory that you may write to.")
    if private and mode & 0o077:
        return Finding("warn", f"{text} can be entered by other users", f"chmod 700 {path}")
    return Finding("ok", text)


def _interpreter(settings: Settings) -> Finding:
    try:
        python = find_python(None, settings.workspace, settings.environment)
    except NotebookError as exc:
        text, _, remedy = str(exc).partition(". ")
        return Finding("FAIL", text, remedy)
    ipykernel = ".".join(map(str, python.ipykernel))
    return Finding("ok", f"the workspace's Python: {python.path}, ipykernel {ipykernel}")


def _kernelspecs() -> Finding:
    try:
        names = sorted(KernelSpecManager().find_kernel_specs())
    except OSError as exc:
        return Finding("warn", f"kernelspecs cannot be looked for: {exc}", "Make that directory, or set HOME.")
    if not names:
        return Finding("ok", "no kernelspecs installed: Python only, which needs none")
    return Finding("ok", f"kernelspecs: {', '.join(names)}")


async def _kernel(settings: Settings) -> Finding:
    failed: NotebookError
    try:
        async with Sessions(settings) as sessions:
            try:
                return await _one_and_one(settings, sessions)
            except NotebookError as exc:
                failed = exc
    except NotebookError as exc:
        failed = exc
    return Finding("FAIL", f"a kernel cannot be started: {failed}", "Fix this, then call doctor again.")


async def _one_and_one(settings: Settings, sessions: Sessions) -> Finding:
    began = time.monotonic()
    opened = await sessions.open(Connection(client_name="doctor", environment=settings.environment))
    execution = await opened.session.execute_cell("1+1")
    if not await execution.wait(settings.start_timeout_s):
        return Finding("FAIL", "a kernel started, but 1+1 did not end", "Look for a hanging start-up file.")
    if execution.status != "ok" or not execution.outputs:
        text = f"1+1 in a kernel ended as {execution.status}. {execution.message}".strip()
        return Finding("FAIL", text, f"See the kernels' logs in {settings.home}.")
    result = execution.outputs[0]["data"]["text/plain"]
    return Finding("ok", f"a kernel started and found 1+1 = {result} in {time.monotonic() - began:.1f} s")
