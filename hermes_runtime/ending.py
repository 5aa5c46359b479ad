"""A kernel that was told to shut down ends, whatever its cell does and whatever becomes of whoever told it.

ipykernel then answers nothing more on its control channel, but it lives until its cell has ended. Whoever told it
kills it sooner than that; this is for a server that was killed before it could, whose successor could neither follow
the cell nor interrupt it by that channel.
"""

import inspect
import os
import threading
from typing import Any

ENDS_WITHIN_S = 8.0
"""More than a server gives it."""


def end_when_told(kernel: Any) -> None:
    """From now on a request to shut down is kept, if need be without the cell."""
    shutdown = kernel.control_handlers["shutdown_request"]

    async def told(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        timer = threading.Timer(ENDS_WITHIN_S, os._exit, (0,))
        timer.daemon = True
        timer.start()
        done = shutdown(stream, ident, parent)
        if inspect.isawaitable(done):
            await done

    kernel.control_handlers["shutdown_request"] = told
