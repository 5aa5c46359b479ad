"""From a kernel's name to what has to be started: command line, environment, connection file.

Kernelspecs are found by jupyter_client, see
https://jupyter-client.readthedocs.io/en/stable/kernels.html#kernel-specs.
"""

import importlib.util
import os
import re
import secrets
import shutil
import stat
import string
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import zmq
from jupyter_client.connect import write_connection_file
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from traitlets import TraitError

from mcp_notebook.errors import KernelNotFound, KernelStartFailed
from mcp_notebook.kernels.environment import Python, activate, find_python
from mcp_notebook.state import OWNER, is_owned, own

RUNTIME = Path(str(importlib.util.find_spec("hermes_runtime").origin)).parent  # type: ignore[union-attr]
"""What runs inside kernels; it is not run here."""
FINDER = RUNTIME / "finder.py"
NOT_SENT = ("finder", "variables")
"""The first is sent before, the second when it is wanted."""
CURVE_SINCE = (7, 3)
"""The ipykernel that speaks CurveZMQ; checked by a test against the installed one."""
DEFAULT_NAMES = (None, "", "python", "python3")
"""All mean: the workspace's own Python."""

CONNECTION = "kernel.json"
DESCRIPTION = "process.json"
"""Beside it, of a kernel that outlives its server."""
KERNEL = "k-"
"""How the name of a kernel's directory begins: other things lie beside it."""
_OF_A_KERNEL = re.compile(rf"({KERNEL})?[0-9a-f]{{8}}(\.gone)?")
"""Servers of earlier versions gave them no prefix; what is gone was on its way to be removed."""

_BOOT = """
import sys
finder = {}
path = sys.argv.pop(1)
with open(path, encoding="utf-8") as file:
    exec(compile(file.read(), path, "exec"), finder)
finder["install"](path.rpartition("/")[0])
from hermes_runtime.kernel import launch
launch(sys.argv[1:])
"""


@dataclass(frozen=True)
class Plan:
    """A kernel that could be started."""

    name: str
    display_name: str
    language: str
    argv: tuple[str, ...]
    """With ``{connection_file}`` still in it."""
    environment: Mapping[str, str]
    python: Python | None
    lean: bool
    interrupt_mode: str = "signal"


def plan_kernel(kernel: str | None, workspace: Path, environment: Mapping[str, str], *, lean: bool) -> Plan:
    """Find what ``kernel`` means: None, a path to an interpreter or environment, or a kernelspec's name.

    Raises:
        KernelNotFound: with what is installed, or the command that mends it.
    """
    if kernel in DEFAULT_NAMES or os.sep in str(kernel):
        python = find_python(None if kernel in DEFAULT_NAMES else kernel, workspace, environment)
        return _python_plan(str(python.path), "Python 3", python, ((), ()), environment, lean)
    spec = _find_spec(str(kernel), workspace, environment)
    given = dict(environment) | _spec_environment(spec, environment)
    python_argv = _ipykernel_arguments(spec)
    if python_argv is not None:
        python = find_python(_program(spec.argv[0], workspace, environment), workspace, environment)
        return _python_plan(str(kernel), spec.display_name, python, python_argv, given, lean)
    return Plan(
        name=str(kernel),
        display_name=spec.display_name,
        language=spec.language,
        argv=tuple(arg.replace("{resource_dir}", spec.resource_dir) for arg in spec.argv),
        environment=given,
        python=None,
        lean=False,
        interrupt_mode=spec.interrupt_mode,
    )


def runtime_sources() -> dict[str, str]:
    """The modules that a kernel gets which was not started with them. Blocks."""
    return {path.stem: path.read_text(encoding="utf-8") for path in RUNTIME.glob("*.py") if path.stem not in NOT_SENT}


def write_connection(directory: Path, *, encrypt: bool) -> tuple[Path, dict[str, Any]]:
    """A connection file for IPC sockets beside it; CurveZMQ keys in it when ``encrypt``."""
    keys: dict[str, Any] = {}
    if encrypt:
        public, secret = zmq.curve_keypair()
        keys = {"curve_publickey": public, "curve_secretkey": secret}
    path, connection = write_connection_file(
        str(directory / CONNECTION),
        transport="ipc",
        ip=str(directory / "k"),
        key=secrets.token_hex(24).encode(),
        **keys,
    )
    return Path(path), dict(connection)


def private_directory(path: Path, base: Path) -> Path:
    """Make ``path`` for the sockets, and what is missing above it, or check that they are ours alone.

    Checked is what lies below a directory that everybody may write to, such as ``/tmp``; elsewhere ``base``
    and what lies in it.

    Raises:
        KernelStartFailed: it is a link, another user's, or open to others; or it cannot be made.
    """
    for place in _ours(path, base):
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = place.lstat()
        except FileExistsError:  # and it is no directory
            found = place.lstat()
        except OSError as exc:
            raise KernelStartFailed(f"{place} cannot be made ({exc.strerror}): mend that and call again.") from exc
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            raise KernelStartFailed(f"{place} is not a private directory of this user: remove it and call again.")
    return path


def kernel_directory(sockets: Path) -> Path:
    """Make the directory of a new kernel, this process's own until the kernel takes it over.

    Raises:
        KernelStartFailed: it would not be private, or cannot be made.
    """
    directory = private_directory(sockets / f"{KERNEL}{secrets.token_hex(4)}", sockets)
    own(directory)
    return directory


def sweep(sockets: Path, *, kept: bool = True) -> None:
    """Remove the directories of kernels that are gone, or whose server is, which one that is killed leaves behind.

    Not ``kept``: those of kernels that outlive their server are left to the next one, which can tell how they ended.
    """
    for mark in sockets.glob(f"*/{OWNER}"):
        directory = mark.parent
        if not _OF_A_KERNEL.fullmatch(directory.name) or is_owned(directory):
            continue
        if kept or not (directory / DESCRIPTION).exists():
            shutil.rmtree(directory, ignore_errors=True)


def supports_curve(plan: Plan) -> bool:
    """Whether the kernel encrypts its sockets: the declared ipykernel, and a libzmq that can."""
    return plan.python is not None and plan.python.ipykernel >= CURVE_SINCE and zmq.has("curve")


def _ours(path: Path, base: Path) -> list[Path]:
    shared = False
    below = []
    for place in reversed((path, *path.parents)):
        if shared or place.is_relative_to(base):
            below.append(place)
        # Whoever may write to the first such directory may have made what lies in it, open to all once more.
        shared = shared or (place.exists() and bool(place.stat().st_mode & stat.S_IWOTH))
    return below


def _python_plan(
    name: str,
    display_name: str,
    python: Python,
    spec_arguments: tuple[Sequence[str], Sequence[str]],
    environment: Mapping[str, str],
    lean: bool,
) -> Plan:
    before, after = spec_arguments
    start = ("-c", _BOOT, str(FINDER)) if lean else ("-m", "ipykernel_launcher")
    return Plan(
        name=name,
        display_name=display_name,
        language="python",
        argv=(str(python.path), *before, *start, "-f", "{connection_file}", *after),
        environment=activate(dict(environment), python),
        python=python,
        lean=lean,
    )


def _find_spec(name: str, workspace: Path, environment: Mapping[str, str]) -> KernelSpec:
    manager = KernelSpecManager()
    prefixes = [environment.get("VIRTUAL_ENV"), str(workspace / ".venv"), environment.get("CONDA_PREFIX")]
    manager.kernel_dirs = [f"{p}/share/jupyter/kernels" for p in prefixes if p] + manager.kernel_dirs
    try:
        spec = _of_language(manager, name) or manager.get_kernel_spec(name)
    except NoSuchKernel as exc:
        known = ", ".join(sorted(manager.find_kernel_specs())) or "none"
        raise KernelNotFound(
            f"No kernelspec is called {name!r}. Installed: {known}. Pass `kernel` one of these, 'python3' for the"
            " workspace's Python, or the path of an interpreter."
        ) from exc
    except (ValueError, TypeError, TraitError) as exc:
        raise KernelNotFound(f"The kernelspec {name!r} cannot be read ({exc}). Fix its kernel.json.") from exc
    if not spec.argv:
        raise KernelNotFound(f"The kernelspec {name!r} has no argv. Fix {spec.resource_dir}/kernel.json.")
    return spec


def _of_language(manager: KernelSpecManager, name: str) -> KernelSpec | None:
    """Where no spec has the name, the first one of the language that is called so."""
    if name.lower() in manager.find_kernel_specs():
        return None
    specs = manager.get_all_specs()
    for known in sorted(specs):
        if str(specs[known]["spec"].get("language", "")).lower() == name.lower():
            return manager.get_kernel_spec(known)
    return None


def _spec_environment(spec: KernelSpec, environment: Mapping[str, str]) -> dict[str, str]:
    return {name: string.Template(value).safe_substitute(environment) for name, value in spec.env.items()}


def _ipykernel_arguments(spec: KernelSpec) -> tuple[Sequence[str], Sequence[str]] | None:
    """The spec's own arguments to Python and to ipykernel, or None where it does not start ipykernel."""
    argv = list(spec.argv)
    if spec.language != "python" or "-m" not in argv:
        return None
    start = argv.index("-m")
    if argv[start + 1 : start + 2] not in (["ipykernel_launcher"], ["ipykernel"]):
        return None
    rest = argv[start + 2 :]
    for usual in ("-f", "{connection_file}"):
        if usual in rest:
            rest.remove(usual)
    return argv[1:start], rest


def _program(program: str, workspace: Path, environment: Mapping[str, str]) -> str | None:
    """A kernelspec's ``python`` is the environment's own, as jupyter_client has it."""
    if program in ("python", "python3", f"python3.{sys.version_info[1]}"):
        return None if environment.get("VIRTUAL_ENV") or (workspace / ".venv").exists() else sys.executable
    return shutil.which(program, path=environment.get("PATH")) or program
