"""What a figure depends on: the machine, and the versions of what was measured."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

PACKAGES = (
    "mcp-notebook", "mcp", "ipykernel", "ipython", "jupyter_client", "pyzmq", "anyio", "pydantic", "nbformat", "pillow",
)  # fmt: skip


def machine() -> str:
    """Processor, cores, memory, kernel."""
    memory_gb = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9
    system = f"{platform.system()} {platform.release()}"
    return f"{_processor()}, {os.cpu_count()} cores, {memory_gb:.0f} GB, {system}"


def versions() -> str:
    """Python's and the packages'."""
    return ", ".join([f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in PACKAGES)])


def load() -> float:
    """How many processes wanted to run, on average over the last minute."""
    return os.getloadavg()[0]


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or platform.machine()
