"""Kernels that the keeper started: they outlive servers and keepers, and a later server takes them over."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.abc
import pytest

from mcp_notebook.errors import KernelStartFailed
from mcp_notebook.identity import ProcessId
from mcp_notebook.kernels.adopt import adopt, known
from mcp_notebook.kernels.base import Exit
from mcp_notebook.kernels.keeping import Keeper, KeptProcess
from mcp_notebook.kernels.kept import KeptKernel, discard, kept_kernels, read_kept
from mcp_notebook.kernels.launch import kernel_directory, sweep
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.environments import REPOSITORY
from tests.kernels.cells import WITHIN_S, begun, run, running
from tests.kernels.keepers import IDLE_S, SYSTEM_TELLS_ENDS, await_end, make_places

pytestmark = pytest.mark.anyio

SERVER = """
import sys
from pathlib import Path
import anyio
from mcp_notebook.kernels.keeping import Keeper
from mcp_notebook.settings import load
from tests.kernels.cells import run, running

async def main():
    base = Path(sys.argv[1])
    settings = load({"PATH": sys.argv[2], "HOME": str(base), "MCP_NOTEBOOK_HOME": str(base / "home")}, workspace=base)
    async with running(settings, keeper=Keeper(settings.sockets, settings.home / "keeper.log", idle_s=0.3)) as kernel:
        await run(kernel, "x = 41")
        print(settings.sockets, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.fixture
def own_settings(settings: Settings, tmp_path: Path) -> Settings:
    """Settings with a keeper of the test's own."""
    return replace(settings, sockets=tmp_path / "d", home=tmp_path / "home")


@pytest.fixture
def keeper(own_settings: Settings) -> Iterator[Keeper]:
    """A keeper that is started when it is needed, and ends soon after the test."""
    keeper = Keeper(own_settings.sockets, own_settings.home / "keeper.log", idle_s=IDLE_S)
    yield keeper
    keeper.close()


async def identity_of(keeper: Keeper) -> ProcessId:
    found = ProcessId.from_data(await keeper.hello())
    assert found is not None
    return found


def only(sockets: Path) -> KeptKernel:
    """The one kernel that is kept there."""
    (kernel,) = kept_kernels(sockets)
    return kernel


@contextmanager
def killed_server(base: Path) -> Iterator[KeptKernel]:
    """What a server left that was killed while it had a kernel in which ``x`` is 41."""
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, base, os.environ["PATH"]], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert server.stdout is not None
    sockets = Path(server.stdout.readline().strip())
    server.kill()
    server.wait()
    server.stdout.close()
    kernel = only(sockets)
    try:
        yield kernel
    finally:
        kernel.identity.send_signal(signal.SIGKILL)
        discard(kernel.directory)


@asynccontextmanager
async def adopted(kept: KeptKernel) -> AsyncIterator[LocalKernel]:
    """The kernel, in the hands of another server."""
    async with anyio.create_task_group() as tasks:
        kernel = adopt(known(kept), tasks)
        try:
            yield kernel
        finally:
            await kernel.kill()


async def test_a_kernel_outlives_its_server(tmp_path: Path) -> None:
    """Another one takes it over with its variables; sweeping leaves it alone."""
    with killed_server(tmp_path) as kept:
        assert kept.identity.is_alive()
        sweep(kept.directory.parent)
        async with adopted(kept) as kernel:
            assert (await run(kernel, "x + 1")).result() == "42"
            async with begun(kernel, "print('on', flush=True)\nwhile True: pass") as cell:
                await cell.until_printed("on")
                await kernel.interrupt()
            assert cell.errors() == ["KeyboardInterrupt"]
        assert kernel.exit is not None
        assert kernel.exit.signal == signal.SIGKILL
        assert not kept.directory.exists()
        assert not kept.record.exists()


async def test_what_happened_while_no_server_lived_is_known(tmp_path: Path) -> None:
    """How the kernel ended was written down; its directory is swept after that."""
    with killed_server(tmp_path) as kept:
        kept.identity.send_signal(signal.SIGSEGV)
        with anyio.fail_after(WITHIN_S):
            while not kept.record.exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.01)
        process = KeptProcess.adopt(kept.identity, kept.record)
        assert process.dead.is_set()
        assert process.exit is not None
        assert str(process.exit) == "was killed by signal 11"
        assert (process.exit.peak_memory_bytes or 0) > 20 << 20
        assert read_kept(kept.directory) == kept
        sweep(kept.directory.parent)
        assert not kept.directory.exists()
        with anyio.fail_after(WITHIN_S):
            await process.watch()


@pytest.mark.parametrize(
    ("source", "said"),
    [("import os; os._exit(3)", "ended with exit code 3"), ("import os; os.kill(os.getpid(), 9)", "signal 9")],
)
async def test_a_death_is_told_at_once_and_with_its_cause(
    own_settings: Settings, keeper: Keeper, source: str, said: str
) -> None:
    """As of a kernel that the server itself has started, and its memory besides."""
    async with running(own_settings, keeper=keeper) as kernel:
        with anyio.fail_after(WITHIN_S):
            await kernel.execute(
                "x = b'x' * (80 << 20)", cell_id=None, on_message=lambda _: None, on_input=lambda *_: None
            )
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_dies, kernel, source)
                how = await kernel.wait_dead()
        assert said in str(how)
        assert (how.peak_memory_bytes or 0) > 80 << 20


async def _dies(kernel: LocalKernel, source: str) -> None:
    with pytest.raises(Exception, match="The kernel's process"):
        await run(kernel, source)


async def test_a_kernel_outlives_a_keeper_that_is_killed(own_settings: Settings, keeper: Keeper) -> None:
    """Why it ended the system may still tell; the next kernel has another keeper."""
    async with running(own_settings, keeper=keeper) as kernel:
        first = await identity_of(keeper)
        kept = only(own_settings.sockets)
        first.send_signal(signal.SIGKILL)
        await_end(first)
        assert (await run(kernel, "6 * 7")).result() == "42"
        async with running(own_settings, keeper=keeper) as other:
            second = await identity_of(keeper)
            assert second != first
            assert (await run(other, "import os; os.getppid()")).result() == str(second.pid)
            kept.identity.send_signal(signal.SIGKILL)
            with anyio.fail_after(WITHIN_S):
                how = await kernel.wait_dead()
            assert how in ((Exit(signal=9),) if SYSTEM_TELLS_ENDS else (Exit(signal=9), Exit()))


async def test_nothing_is_left_of_a_kernel_that_was_shut_down(own_settings: Settings, keeper: Keeper) -> None:
    """Not its directory, its record or its empty log; then not the keeper either."""
    async with running(own_settings, keeper=keeper) as kernel:
        kept = only(own_settings.sockets)
        assert kept.identity.pid == kernel.info.pid
        assert kept.described.log == kernel.info.log
        process = await identity_of(keeper)
        assert (await run(kernel, "import os; os.getppid()")).result() == str(process.pid)
    assert kernel.exit is not None
    assert kernel.exit.code == 0
    assert not kept.directory.exists()
    assert list((own_settings.home / "kernels").iterdir()) == []
    keeper.close()
    await_end(process)
    assert list(own_settings.sockets.iterdir()) == []


async def test_a_kernel_does_not_watch_the_keeper(own_settings: Settings, keeper: Keeper) -> None:
    """Neither the parent that a server has in its own environment, nor any other."""
    environment = {**own_settings.environment, "JPY_PARENT_PID": str(os.getpid())}
    async with running(own_settings, keeper=keeper, environment=environment, lean=False) as kernel:
        watching = "import threading; any('Parent' in type(t).__name__ for t in threading.enumerate())"
        assert (await run(kernel, watching)).result() == "False"


@pytest.mark.parametrize("kept", [True, False])
async def test_a_program_that_is_not_there_is_named(own_settings: Settings, keeper: Keeper, kept: bool) -> None:
    """In the same words, whoever was to start it; nothing is left."""
    spec = own_settings.workspace / ".venv" / "share" / "jupyter" / "kernels" / "nowhere"
    spec.mkdir(parents=True, exist_ok=True)
    (spec / "kernel.json").write_text('{"argv": ["/no/such"], "display_name": "No", "language": "x"}')
    failed = await refused(own_settings, "nowhere", keeper if kept else None)
    assert "process /no/such could not be started" in failed
    assert "No such file or directory: '/no/such'" in failed
    assert not list((own_settings.home / "kernels").glob("*.json"))


async def test_a_directory_that_is_gone_is_named(own_settings: Settings, keeper: Keeper, tmp_path: Path) -> None:
    """As of a kernel that is a child."""
    gone = replace(own_settings, workspace=tmp_path / "gone")
    assert "in which the kernel should run, is gone" in await refused(gone, None, keeper)


async def refused(settings: Settings, kernel: str | None, keeper: Keeper | None) -> str:
    """Why it did not start; nothing is left of it."""
    with pytest.raises(ExceptionGroup) as raised:
        async with running(settings, kernel, keeper=keeper):
            pass
    (failed,) = raised.value.exceptions
    assert isinstance(failed, KernelStartFailed)
    assert list(settings.sockets.glob("k-*")) == []
    return str(failed)


@pytest.mark.parametrize("mode", ["link", "open"])
async def test_sockets_that_are_not_private_are_refused(tmp_path: Path, mode: str) -> None:
    """No keeper is started there, and none that is there is spoken to."""
    make_places(tmp_path)
    with pytest.raises(KernelStartFailed, match="not a private directory"):
        await Keeper(tmp_path / mode, tmp_path / "log").hello()
    assert not (tmp_path / "log").exists()


async def test_a_keeper_that_cannot_be_started_is_told(tmp_path: Path) -> None:
    """With what it wrote."""
    make_places(tmp_path)
    with pytest.raises(KernelStartFailed, match=r"keeper.*cannot be started.*Is a directory"):
        await Keeper(tmp_path / "blocked", tmp_path / "log").hello()


async def test_a_keeper_of_another_version_is_named(tmp_path: Path) -> None:
    """It is not spoken to any further, and has no second one beside it."""

    async def answer(client: anyio.abc.SocketStream) -> None:
        async with client:
            assert await client.receive() == b'{"hello": 1}\n'
            await client.send(b'{"version": 2, "pid": 77}\n')

    make_places(tmp_path)
    listener = await anyio.create_unix_listener(tmp_path / "real" / "keeper.sock")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        with pytest.raises(KernelStartFailed, match="process 77, is of another version"):
            await Keeper(tmp_path / "real", tmp_path / "log").hello()
        tasks.cancel_scope.cancel()
    assert not (tmp_path / "real" / "keeper.lock").exists()


async def test_many_servers_share_one_keeper(tmp_path: Path) -> None:
    """Which all of them start at once, with a kernel each."""
    keepers = [Keeper(tmp_path / "d", tmp_path / "log", idle_s=IDLE_S) for _ in range(10)]
    processes: list[KeptProcess] = []

    async def start(number: int) -> None:
        process = await keepers[number].start(
            ["sleep", "60"],
            environment=dict(os.environ),
            cwd=tmp_path,
            log=tmp_path / "out",
            record=tmp_path / f"{number}.json",
        )
        processes.append(process)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(start, number)
    parents = {process.identity.parent() for process in processes}
    assert parents == {await identity_of(keepers[0])}
    async with anyio.create_task_group() as tasks:
        for process in processes:
            tasks.start_soon(process.watch)
            tasks.start_soon(process.kill)
    assert {process.exit and process.exit.signal for process in processes} == {signal.SIGKILL}
    for each in keepers:
        each.close()


async def test_a_keeper_that_ended_meanwhile_is_started_again(keeper: Keeper, tmp_path: Path) -> None:
    """Nobody notices, whether it was asked to end or killed."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        earlier = await identity_of(keeper)
        earlier.send_signal(number)
        await_end(earlier)
        process = await keeper.start(
            ["true"], environment={}, cwd=tmp_path, log=tmp_path / "out", record=tmp_path / f"{number}.json"
        )
        with anyio.fail_after(WITHIN_S):
            await process.watch()
        assert process.exit is not None
        assert process.exit.code == 0


async def test_a_start_that_failed_halfway_leaves_no_process(own_settings: Settings, keeper: Keeper) -> None:
    """Also when the process runs after all; a server that has only prepared a start is not taken for it."""
    async with running(own_settings, keeper=keeper) as kernel:
        kept = only(own_settings.sockets)
        discard(kept.directory)
        with anyio.fail_after(WITHIN_S):
            assert (await kernel.wait_dead()).signal == signal.SIGKILL
        directory = kernel_directory(own_settings.sockets)
        assert read_kept(directory) is None
        discard(directory)
        assert list(own_settings.sockets.glob("k-*")) == []


async def test_without_process_descriptors_it_is_looked_for(keeper: Keeper, tmp_path: Path) -> None:
    """On other systems, and older ones: signals and the end still come through."""
    process = await keeper.start(
        ["sleep", "60"], environment=dict(os.environ), cwd=tmp_path, log=tmp_path / "out", record=tmp_path / "end.json"
    )
    program = (
        "import json, os, sys, anyio; from pathlib import Path; del os.pidfd_open\n"
        "from mcp_notebook.identity import ProcessId; from mcp_notebook.kernels.keeping import KeptProcess\n"
        "async def main():\n"
        "    process = KeptProcess.adopt(ProcessId.from_data(json.loads(sys.argv[1])), Path(sys.argv[2]))\n"
        "    process.send_signal(15); await process.watch(); print(process.exit)\n"
        "anyio.run(main)\n"
    )
    arguments = [sys.executable, "-c", program, json.dumps(process.identity.as_data()), str(tmp_path / "end.json")]
    done = await anyio.run_process(arguments)
    assert done.stdout == b"was killed by signal 15\n"
