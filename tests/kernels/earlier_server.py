"""A server that can be killed: ``python -m tests.kernels.earlier_server '{"sockets": ..., ...}'``.

It starts a kernel that does not depend on it, or takes over the one that ``kept`` describes, runs or resumes a
cell, and says in lines of JSON what it does. It stays until it is killed.
"""

import json
import os
import secrets
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from mcp_notebook.kernels.adopt import adopt
from mcp_notebook.kernels.launch import plan_kernel, private_directory, supports_curve, write_connection
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.kernels.process import KernelProcess, start_process
from mcp_notebook.kernels.start import _info
from tests.kernels.cells import Cell
from tests.kernels.orphans import Orphan

NOT_INHERITED = ("JPY_PARENT_PID", "PYTEST_CURRENT_TEST")
"""With the first, ipykernel ends when that process does; with the second, it leaves out child processes' output."""


def say(**what: Any) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


@dataclass
class Asked:
    """What the server is to do."""

    sockets: str
    cell: str = ""
    before: str = ""
    """A cell that is run to its end first."""
    kernel: str | None = None
    lean: bool = True
    kept: dict[str, Any] = field(default_factory=dict)
    msg_id: str = ""


async def start(asked: Asked, tasks: TaskGroup) -> LocalKernel:
    """As ``start_kernel``, but nothing in the kernel watches this process."""
    sockets = Path(asked.sockets)
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    plan = plan_kernel(asked.kernel, Path.cwd(), environment, lean=asked.lean)
    directory = private_directory(sockets / secrets.token_hex(4), sockets)
    path, connection = write_connection(directory, encrypt=supports_curve(plan))
    argv = [arg.replace("{connection_file}", str(path)) for arg in plan.argv]
    log = directory / "log"
    process: KernelProcess = start_process(argv, environment=plan.environment, cwd=Path.cwd(), log=log)
    is_python = plan.python is not None
    kernel = LocalKernel(
        _info(plan, (), log, process.pid),
        process,
        directory,
        is_python=is_python,
        lean=plan.lean,
        interrupt_mode=plan.interrupt_mode,
    )
    kernel.connect(connection)
    tasks.start_soon(kernel.watch)
    await kernel.become_ready()
    say(
        pid=process.pid,
        directory=str(directory),
        identity=kernel.identity,
        is_python=is_python,
        lean=plan.lean,
        interrupt_mode=plan.interrupt_mode,
        encrypted="curve_publickey" in connection,
    )
    return kernel


async def serve(asked: Asked) -> None:
    cell = Cell()
    said = 0

    def on_message(message: Any) -> None:
        nonlocal said
        cell.add(message)
        lines = sum(m["header"]["msg_type"] == "stream" for m in cell.messages[said:])
        said = len(cell.messages)
        if lines:
            say(streams=lines)

    def on_input(prompt: str, _password: bool, _number: int) -> None:
        say(prompt=prompt)

    async with anyio.create_task_group() as tasks:
        if asked.kept:
            kernel = adopt(Orphan.kept(asked.kept), tasks)
            await kernel.resume(asked.msg_id, on_message=on_message, on_input=on_input)
        else:
            kernel = await start(asked, tasks)
            if asked.before:
                await kernel.execute(asked.before, cell_id=None, on_message=Cell().add, on_input=Cell().ask)
            await kernel.execute(
                asked.cell,
                cell_id="cell",
                on_message=on_message,
                on_input=on_input,
                on_sent=lambda msg_id: say(msg_id=msg_id),
            )
        say(done=True)


if __name__ == "__main__":
    anyio.run(serve, Asked(**json.loads(sys.argv[1])))
