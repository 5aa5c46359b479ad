"""uvicorn as a part of a process that has other things to do: signals, logs and headers are left to that."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn


class WebServer(uvicorn.Server):
    """``options`` are further ones of ``uvicorn.Config``."""

    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="none",
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                **options,
            )
        )

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the process's."""
        yield
