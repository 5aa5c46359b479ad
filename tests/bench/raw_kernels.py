"""Kernels for the raw client: stock ones as ``python -m ipykernel_launcher``, and lean ones like the server's."""

import random
import secrets
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from jupyter_client.connect import write_connection_file

from mcp_notebook.kernels.launch import plan_kernel, private_directory, supports_curve, write_connection
from tests.bench.place import Place
from tests.bench.raw_client import RawClient

CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
PORTS = range(15_000, 32_000)
"""Below those that a system gives to clients: no connection can take a kernel's port before the kernel does."""


@contextmanager
def stock_kernels(place: Place, count: int) -> Iterator[list[RawClient]]:
    """Clients of ``count`` new kernels as any Jupyter program starts them, on TCP."""
    ports = _free_ports(count * len(CHANNELS))
    each = [ports[number::count] for number in range(count)]
    with _started(place, [_stock(place, some) for some in each]) as clients:
        yield clients


@contextmanager
def lean_kernels(place: Place, count: int) -> Iterator[list[RawClient]]:
    """Clients of ``count`` new kernels with our half in them, on encrypted unix sockets, as the server's are."""
    with _started(place, [_lean(place) for _ in range(count)]) as clients:
        yield clients


_Start = tuple[Sequence[str], Mapping[str, str], Mapping[str, Any]]
"""Command line, environment, content of the connection file."""


def _stock(place: Place, ports: Sequence[int]) -> _Start:
    name = str(place.base / f"stock-{secrets.token_hex(4)}.json")
    given: dict[str, Any] = {f"{channel}_port": port for channel, port in zip(CHANNELS, ports, strict=True)}
    path, connection = write_connection_file(name, key=secrets.token_hex(24).encode(), **given)
    return [sys.executable, "-m", "ipykernel_launcher", "-f", path], place.environment, connection


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        found: list[int] = []
        for port in random.sample(PORTS, len(PORTS)):
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                found.append(port)
            if len(found) == count:
                return found
    raise RuntimeError(f"{count} free ports were not found.")


def _lean(place: Place) -> _Start:
    plan = plan_kernel(None, place.workspace, place.environment, lean=True)
    sockets = place.settings.sockets
    directory = private_directory(sockets / secrets.token_hex(4), sockets)
    path, connection = write_connection(directory, encrypt=supports_curve(plan))
    argv = [argument.replace("{connection_file}", str(path)) for argument in plan.argv]
    return argv, plan.environment, connection


@contextmanager
def _started(place: Place, starts: Sequence[_Start]) -> Iterator[list[RawClient]]:
    processes: list[subprocess.Popen[bytes]] = []
    clients: list[RawClient] = []
    try:
        for argv, environment, connection in starts:
            processes.append(_process(argv, environment, place.workspace, place.base / "kernels.log"))
            clients.append(RawClient(connection))
        for client in clients:
            client.become_ready()
        yield clients
    finally:
        for client in clients:
            client.close()
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _process(argv: Sequence[str], environment: Mapping[str, str], cwd: Path, log: Path) -> "subprocess.Popen[bytes]":
    with log.open("ab") as output:
        return subprocess.Popen(
            argv, env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
