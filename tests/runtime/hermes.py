"""A real Hermes that answers the calls, in a home of its own."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.environments import REPOSITORY, python_of
from tests.runtime.hermes_calls import IGNORED_BY_THE_USER

RUNNER = REPOSITORY / "tests" / "clients" / "run_hermes_calls.py"
WITHIN_S = 90


def answered(group: str, tools: Sequence[str], workspace: Path, home: Path, path: str) -> list[str]:
    """What Hermes prints of a group's calls; ``path`` is the PATH of its terminal."""
    git = home / ".config" / "git"
    git.mkdir(parents=True)
    (git / "ignore").write_text(f"{IGNORED_BY_THE_USER}\n")
    # Its terminal takes the PATH of a login shell.
    (home / ".bash_profile").write_text(f"export PATH='{path}'\n")
    own = {"HOME": home, "HERMES_HOME": home / "hermes", "XDG_CONFIG_HOME": home / ".config"}
    terminal = {"TERMINAL_CWD": workspace, "TERMINAL_ENV": "local", "PATH": path}
    done = subprocess.run(
        [python_of("hermes"), RUNNER, group, *tools],
        env=os.environ | {name: str(value) for name, value in (own | terminal).items()},
        cwd=workspace,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout.splitlines()
