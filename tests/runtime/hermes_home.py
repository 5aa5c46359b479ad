"""A home of a real Hermes, with a plug-in that makes its tools behave badly, and what runs for it."""

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from mcp_notebook.policy import Policy
from mcp_notebook.runtime.hermes.worker import VARIABLE
from mcp_notebook.settings import Settings
from tests.environments import python_of

PLUGIN = '''
"""Before each tool: prints; and on a path that says so, hangs, ends the process or answers no JSON."""

import os
import subprocess
import threading
from pathlib import Path


def before(tool_name, args, **more):
    print('{"id": 1, "answer": "printed"}', flush=True)
    os.write(1, b'{"id": 1, "answer": "written"}\\n')
    subprocess.run(["echo", '{"id": 1, "answer": "echoed"}'], check=True)
    path = str(args.get("path", ""))
    if path.startswith("hang:"):
        Path(path[5:]).write_text("hangs\\n")
        threading.Event().wait()
    if path == "end":
        print("last words", flush=True)
        os._exit(7)


def after(tool_name, args, result, **more):
    return "no JSON" if args.get("path") == "text" else None


def register(ctx):
    ctx.register_hook("pre_tool_call", before)
    ctx.register_hook("transform_tool_result", after)
'''


def make_home(base: Path) -> Path:
    """A directory for HERMES_HOME."""
    home = base / "hermes"
    plugin = home / "plugins" / "rude"
    plugin.mkdir(parents=True)
    (home / "config.yaml").write_text("plugins:\n  enabled: [rude]\n")
    (plugin / "plugin.yaml").write_text("name: rude\nversion: 1.0.0\ndescription: of a test\n")
    (plugin / "__init__.py").write_text(PLUGIN)
    return home


def by_hermes(settings: Settings, home: Path, variables: Mapping[str, str] | None = None, **policy: Any) -> Settings:
    """The settings of a client with these variables and this home of Hermes, whose tools answer."""
    environment = {**settings.environment, "HERMES_HOME": str(home), **(variables or {})}
    chosen = Policy(hermes=str(python_of("hermes")), **policy)
    return replace(settings, environment=environment, runtime=chosen)


def running(home: Path) -> list[psutil.Process]:
    """Hermes's processes of this home: the worker, and what its tools have started."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            mine = VARIABLE in environment and environment.get("HERMES_HOME") == str(home)
            if mine and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def worker(home: Path) -> psutil.Process:
    """The one that there is."""
    [found] = [each for each in running(home) if any(part.endswith("worker.py") for part in each.cmdline())]
    return found


def sleeping(home: Path) -> list[psutil.Process]:
    """The commands among them that are ``sleep 99``."""
    found = []
    for process in running(home):
        with contextlib.suppress(psutil.Error):
            if process.cmdline() == ["sleep", "99"]:
                found.append(process)
    return found
