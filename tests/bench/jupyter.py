"""Floor (c): jupyter_client as its documentation uses it."""

import secrets
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from jupyter_client.manager import AsyncKernelManager

from tests.bench.place import Place

SILENT_S = 30
"""Nothing that is run here is silent for so long."""


@asynccontextmanager
async def jupyter_kernel(place: Place) -> AsyncIterator[tuple[Any, Any]]:
    """The manager of a new kernel and a client for which it is ready."""
    manager = AsyncKernelManager(
        kernel_name="python3", connection_file=str(place.base / f"jupyter-{secrets.token_hex(4)}.json")
    )
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    await manager.start_kernel(env=place.environment, cwd=str(place.workspace), **quiet)
    client = manager.client()
    try:
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def run_cell(client: Any, source: str) -> int:
    """Run ``source``, collect all its outputs until idle, and return the characters of text and images.

    Raises:
        Empty: the end did not come: this client loses messages when it is slower than the kernel.
    """
    msg_id = client.execute(source)
    messages: list[dict[str, Any]] = []
    idle = False
    while not idle:
        message = await client.get_iopub_msg(timeout=SILENT_S)
        if message["parent_header"].get("msg_id") != msg_id:
            continue
        messages.append(message)
        idle = message["content"].get("execution_state") == "idle"
    reply = await client.get_shell_msg(timeout=SILENT_S)
    while reply["parent_header"].get("msg_id") != msg_id:
        reply = await client.get_shell_msg(timeout=SILENT_S)
    if reply["content"]["status"] != "ok":
        raise RuntimeError(f"A cell that should be ok was not: {reply['content']}")
    return sum(_chars(message["content"]) for message in messages)


def _chars(content: dict[str, Any]) -> int:
    return len(content.get("text", "")) + sum(len(str(value)) for value in content.get("data", {}).values())
