"""Which Python a workspace's kernel runs in, and which environment variables it is given.

Withholding secrets prevents accidents, such as a token printed by ``%env``; it is no wall: a kernel has the
power of its user.
"""

import fnmatch
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from mcp_notebook.errors import KernelNotFound
from mcp_notebook.masking import looks_secret

OLDEST_IPYKERNEL = (6, 29)

_PROBE = """
import importlib.metadata as m, json, sys
try: version = m.version("ipykernel")
except m.PackageNotFoundError: version = None
print(json.dumps([version, sys.prefix, "%d.%d" % sys.version_info[:2]]))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter that has a usable ipykernel."""

    path: Path
    ipykernel: tuple[int, ...]
    prefix: Path


def find_python(kernel: str | None, workspace: Path, environment: Mapping[str, str]) -> Python:
    """The interpreter that ``kernel`` names, or that of the workspace.

    The workspace's is that of ``VIRTUAL_ENV``, of ``.venv`` in it, of ``CONDA_PREFIX``, else the server's own.

    Raises:
        KernelNotFound: no such interpreter, or one without ipykernel; the message has the command to mend it.
    """
    path = Path(kernel).expanduser() if kernel else _workspace_python(workspace, environment)
    if not path.is_absolute():
        path = workspace / path
    if path.is_dir():
        path = path / "bin" / "python"
    if not os.access(path, os.X_OK):
        raise KernelNotFound(f"{path} is not a Python interpreter. Name one, or leave `kernel` out.")
    return _checked(path)


def kernel_environment(
    environment: Mapping[str, str], *, keep: Sequence[str] = (), withhold: Sequence[str] = ()
) -> tuple[dict[str, str], tuple[str, ...]]:
    """What a kernel is given of ``environment``, and the names of what it is not."""
    given: dict[str, str] = {}
    withheld: list[str] = []
    for name, value in environment.items():
        secret = looks_secret(name) or _matches(name, withhold)
        if secret and not _matches(name, keep):
            withheld.append(name)
        else:
            given[name] = value
    return given, tuple(sorted(withheld))


def activate(environment: dict[str, str], python: Python) -> dict[str, str]:
    """What ``source bin/activate`` would have set, so that ``!pip`` in a cell means the kernel's own."""
    if not (python.prefix / "pyvenv.cfg").exists():
        return environment
    binaries = str(python.prefix / "bin")
    path = environment.get("PATH", os.defpath)
    if path.split(os.pathsep)[0] != binaries:
        path = binaries + os.pathsep + path
    without_home = {name: value for name, value in environment.items() if name != "PYTHONHOME"}
    return without_home | {"PATH": path, "VIRTUAL_ENV": str(python.prefix)}


def _workspace_python(workspace: Path, environment: Mapping[str, str]) -> Path:
    candidates = (environment.get("VIRTUAL_ENV"), workspace / ".venv", environment.get("CONDA_PREFIX"))
    for prefix in candidates:
        if prefix and (python := Path(prefix) / "bin" / "python").exists():
            return python
    return Path(sys.executable)


def _checked(path: Path) -> Python:
    version, prefix = _own() if path == Path(sys.executable) else _probed(path, _stamp(path))
    if version is None:
        raise KernelNotFound(
            f"{path} has no ipykernel, which a kernel needs. Install it: {path} -m pip install ipykernel"
            " (or pass `kernel` another interpreter)."
        )
    if version < OLDEST_IPYKERNEL:
        found, oldest = (".".join(map(str, numbers)) for numbers in (version, OLDEST_IPYKERNEL))
        raise KernelNotFound(
            f"{path} has ipykernel {found}; {oldest} is the oldest that works. Upgrade it: "
            f"{path} -m pip install --upgrade ipykernel"
        )
    return Python(path=path, ipykernel=version, prefix=prefix)


@lru_cache(maxsize=1)
def _own() -> tuple[tuple[int, ...] | None, Path]:
    return _numbers(metadata.version("ipykernel")), Path(sys.prefix)


@lru_cache(maxsize=64)
def _probed(path: Path, _stamp: object) -> tuple[tuple[int, ...] | None, Path]:
    try:
        done = subprocess.run(
            [path, "-I", "-c", _PROBE], capture_output=True, text=True, timeout=30, check=True, stdin=subprocess.DEVNULL
        )
        version, prefix, _ = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as exc:
        raise KernelNotFound(f"{path} does not run as a Python interpreter. Name another one.") from exc
    return (_numbers(version) if version else None), Path(prefix)


def _stamp(path: Path) -> tuple[float, ...]:
    """Changes when something is installed into the interpreter's environment."""
    packages = sorted(path.parent.parent.glob("lib/python3*/site-packages"))
    return tuple(place.stat().st_mtime for place in (path, *packages))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
