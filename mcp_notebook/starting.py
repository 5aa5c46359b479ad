"""How a session's kernels are started: by the settings, in the environment of the client that uses the session."""

from collections.abc import Mapping
from pathlib import Path

from mcp_notebook.kernels.base import Kernel, Tasks
from mcp_notebook.kernels.environment import kernel_environment
from mcp_notebook.kernels.keeping import Keeper
from mcp_notebook.kernels.start import start_kernel
from mcp_notebook.life import StartKernel
from mcp_notebook.masking import Masking
from mcp_notebook.options import SessionOptions
from mcp_notebook.settings import Settings


def starter(settings: Settings, keeper: Keeper | None, options: SessionOptions) -> StartKernel:
    """Starts kernels of one session; what they are given and what they are not is masked from then on."""

    async def start(kernel: str | None, cwd: Path, tasks: Tasks) -> Kernel:
        of_client = options.client_environment()
        options.masking.learn(of_client)
        environment, withheld = kernel_environment(of_client, keep=settings.env_pass, withhold=settings.env_withhold)
        with options.masking.in_errors():  # it tells what the process wrote
            return await start_kernel(
                kernel,
                workspace=options.workspace,
                environment=environment,
                withheld=withheld,
                cwd=cwd,
                sockets=settings.sockets,
                logs=options.directory,
                lean=settings.lean,
                timeout_s=settings.start_timeout_s,
                tasks=tasks,
                keeper=keeper,
            )

    return start


def options_by(settings: Settings, directory: Path) -> SessionOptions:
    """Of a session that keeps its files in ``directory``, which has its handle's name."""
    return SessionOptions(
        handle=directory.name,
        name=directory.name,
        workspace=settings.workspace,
        directory=directory,
        spill_over_chars=settings.spill_over_chars,
        queue_limit=settings.limits.queue,
        output_limit_bytes=settings.limits.output_bytes,
        memory_mb=settings.limits.memory_mb,
        policy=settings.runtime,
        masking=masking_by(settings),
    )


def masking_by(settings: Settings) -> Masking:
    """What is masked before an environment is known."""
    return Masking(settings.mask_patterns, secret=settings.env_withhold, enabled=settings.mask_secrets)


def secrets_by(settings: Settings, environment: Mapping[str, str]) -> Masking:
    """Finds what must be in no commit: always, also where ``mask_secrets`` lets outputs show it."""
    masking = Masking(settings.mask_patterns, secret=settings.env_withhold)
    masking.learn(environment)
    return masking
