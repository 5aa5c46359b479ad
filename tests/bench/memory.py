"""What an idle session takes: its kernel's share of memory, and what the server grows by."""

from tests.bench import jupyter
from tests.bench.figure import Figure
from tests.bench.mcp_client import open_session, ours, run_cell
from tests.bench.place import Place
from tests.bench.processes import children, pss_bytes

COUNT = 8


async def measure(place: Place) -> list[Figure]:
    """Eight sessions beside a first one, then eight plain kernels; PSS, which counts shared pages once."""
    kernels, server, alone = await _ours(place)
    plain = await _plain(place)
    against = "a kernel that jupyter_client (c) started"
    return [
        Figure("memory of an idle session (PSS)", (kernels + server) / COUNT, plain / COUNT, "MB", against),
        Figure("... of it in the server", server / COUNT, plain / COUNT, "MB", against),
        Figure("memory of server and keeper with one session (PSS)", alone, plain / COUNT, "MB", against),
    ]


async def _ours(place: Place) -> tuple[float, float, float]:
    """MB of eight kernels, MB by which they made server and keeper grow, MB of those before."""
    async with ours(place) as client:
        await run_cell(client, "x=1")
        server = {place.server_pid(), place.keeper_pid()}
        first = children(place.keeper_pid())
        before = _mb(server)
        for number in range(COUNT):
            handle = await open_session(client, f"idle-{number}")
            await run_cell(client, "x=1", session=handle)
        kernels = children(place.keeper_pid()) - first
        return _mb(kernels), _mb(server) - before, before


async def _plain(place: Place) -> float:
    """MB of eight stock kernels that have run one cell each."""
    started = [jupyter.jupyter_kernel(place) for _ in range(COUNT)]
    kernels: set[int] = set()
    try:
        for each in started:
            manager, client = await each.__aenter__()
            await jupyter.run_cell(client, "x=1")
            kernels.add(manager.provisioner.pid)
        return _mb(kernels)
    finally:
        for each in started[: len(kernels)]:
            await each.__aexit__(None, None, None)


def _mb(pids: set[int]) -> float:
    return pss_bytes(pids) / 1e6
