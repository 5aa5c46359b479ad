"""Start a kernel on this machine, from its name to its first answer."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from mcp_notebook.errors import KernelError, KernelStartFailed
from mcp_notebook.kernels.base import KernelInfo, Process, Tasks, notes_on
from mcp_notebook.kernels.ending import oom_kills
from mcp_notebook.kernels.keeping import Keeper
from mcp_notebook.kernels.kept import Description, describe, discard
from mcp_notebook.kernels.launch import Plan, kernel_directory, plan_kernel, supports_curve, write_connection
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.kernels.process import last_lines, not_started, start_process
from mcp_notebook.state import OWNER

PARENT = "JPY_PARENT_PID"
"""Names the process without which ipykernel does not want to live."""
NO_PARENT = "1"
"""Without any, ipykernel would write to its log how to end it by hand."""


async def start_kernel(
    kernel: str | None,
    *,
    workspace: Path,
    environment: Mapping[str, str],
    withheld: tuple[str, ...],
    cwd: Path,
    sockets: Path,
    logs: Path,
    lean: bool,
    timeout_s: float,
    tasks: Tasks,
    keeper: Keeper | None = None,
) -> LocalKernel:
    """Start a kernel and wait until it is ready; ``tasks`` owns its watcher.

    With a ``keeper`` the kernel outlives this process, and ``kept.read_kept`` tells a later one of it.

    Raises:
        KernelNotFound: nothing installed is called ``kernel``.
        KernelStartFailed: with the last lines the process wrote.
    """
    plan = await anyio.to_thread.run_sync(lambda: plan_kernel(kernel, workspace, environment, lean=lean))
    directory = await anyio.to_thread.run_sync(kernel_directory, sockets)
    log = logs / f"kernel-{directory.name}.log"
    try:
        path, connection = write_connection(directory, encrypt=supports_curve(plan))
        argv = [arg.replace("{connection_file}", str(path)) for arg in plan.argv]
        if keeper is None:
            environment = {**plan.environment, PARENT: str(os.getpid())}
            process: Process = start_process(argv, environment=environment, cwd=cwd, log=log)
        else:
            describe(directory, _description(plan, withheld, log))
            process = await keeper.start(
                argv,
                environment={**plan.environment, PARENT: NO_PARENT},
                cwd=cwd,
                log=log,
                record=log.with_suffix(".exit.json"),
                owner=directory / OWNER,
            )
    except OSError as exc:
        discard(directory)
        raise not_started(plan.argv[0], log, str(exc)) from exc
    except BaseException:
        discard(directory)
        raise
    started = LocalKernel(
        _info(plan, withheld, log, process.pid),
        process,
        directory,
        is_python=plan.python is not None,
        lean=plan.lean,
        interrupt_mode=plan.interrupt_mode,
    )
    await _use(started, plan, connection, log, timeout_s, tasks)
    return started


async def _use(
    started: LocalKernel, plan: Plan, connection: Mapping[str, Any], log: Path, timeout_s: float, tasks: Tasks
) -> None:
    """Return when the kernel is ready; one that does not become so is killed."""
    started.connect(connection, started.directory.name)
    tasks.start_soon(started.watch)
    try:
        with anyio.fail_after(timeout_s):
            await started.become_ready()
    except (TimeoutError, KernelError) as exc:
        silent = f"said nothing for {timeout_s:g} s" if isinstance(exc, TimeoutError) else f"is not usable ({exc})"
        how = f"{started.exit}" if started.exit else silent
        said = await anyio.to_thread.run_sync(last_lines, log)
        await started.kill()
        raise KernelStartFailed(
            f"The kernel {plan.display_name!r} did not start: its process {how}. It wrote:\n{said or '(nothing)'}\n"
            "Run `mcp-notebook doctor`, or pass `kernel` another kernelspec or interpreter."
        ) from exc
    except BaseException:
        await started.kill()
        raise


def _info(plan: Plan, withheld: tuple[str, ...], log: Path, pid: int) -> KernelInfo:
    return KernelInfo(
        name=plan.name,
        display_name=plan.display_name,
        language=plan.language,
        interpreter=str(plan.python.path) if plan.python else None,
        pid=pid,
        withheld=withheld,
        lean=plan.lean,
        log=log,
        notes=notes_on(plan.python is not None),
    )


def _description(plan: Plan, withheld: tuple[str, ...], log: Path) -> Description:
    return Description(
        name=plan.name,
        display_name=plan.display_name,
        language=plan.language,
        interpreter=str(plan.python.path) if plan.python else None,
        lean=plan.lean,
        is_python=plan.python is not None,
        interrupt_mode=plan.interrupt_mode,
        withheld=withheld,
        log=log,
        oom_kills=oom_kills(),
    )
