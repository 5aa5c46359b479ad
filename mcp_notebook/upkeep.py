"""What a server process sees to, whoever it serves: its log, its limits, its memory, its last moment."""

import gc
import logging
import os
import resource
import sys
import threading

END_WITHIN_S = 4.5
"""Sessions get this long to end in good order; then the process goes in any case."""
OBJECTS_BEFORE_COLLECTING = 20_000
"""New ones since the last look; Python's own default is 700."""
DESCRIPTORS = 8192
"""A kernel takes about 10."""

logger = logging.getLogger(__name__)


def log_to_stderr() -> None:
    """Warnings and errors of everything, one line each and tracebacks; stdout belongs to the client."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )


def raise_descriptor_limit() -> None:
    """Use what the system allows this process, up to what some hundred kernels need."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (OSError, ValueError) as exc:  # macOS has a limit below its hard limit
            logger.info("The limit of open files stays %d (%s).", soft, exc)


def collect_less_garbage() -> None:
    """Spare Python's collector what lives as long as the process: a tenth of a busy server's time went there."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BEFORE_COLLECTING, 20, 20)


def leave_at_last() -> None:
    """End the process even if a thread or a clean-up hangs."""
    timer = threading.Timer(END_WITHIN_S, os._exit, [1])
    timer.daemon = True
    timer.start()
