"""How a session's kernels are started: by the settings, in the environment of the client that uses the session."""

from collections.abc import Callable, Mapping
from pathlib import Path

from mcp_notebook.errors import KernelError
from mcp_notebook.kernels.base import Kernel, Tasks
from mcp_notebook.kernels.environment import kernel_environment
from mcp_notebook.kernels.keeping import Keeper
from mcp_notebook.kernels.start import start_kernel
from mcp_notebook.life import StartKernel
from mcp_notebook.masking import Masking
from mcp_notebook.settings import Settings


def starter(
    settings: Settings,
    keeper: Keeper | None,
    environment_of: Callable[[], Mapping[str, str]],
    masking: Masking,
    place: Path,
    logs: Path,
) -> StartKernel:
    """Starts kernels of one session, whose workspace is ``place`` and whose directory for logs is ``logs``."""

    async def start(kernel: str | None, cwd: Path, tasks: Tasks) -> Kernel:
        masking.learn(environment_of())
        environment, withheld = kernel_environment(
            environment_of(), keep=settings.env_pass, withhold=settings.env_withhold
        )
        try:
            return await start_kernel(
                kernel,
                workspace=place,
                environment=environment,
                withheld=withheld,
                cwd=cwd,
                sockets=settings.sockets,
                logs=logs,
                lean=settings.lean,
                timeout_s=settings.start_timeout_s,
                tasks=tasks,
                keeper=keeper,
            )
        except KernelError as exc:  # it tells what the process wrote
            exc.args = (masking.text(str(exc)),)
            raise

    return start


def masking_by(settings: Settings) -> Masking:
    """What is masked before an environment is known."""
    return Masking(settings.mask_patterns, secret=settings.env_withhold, enabled=settings.mask_secrets)
