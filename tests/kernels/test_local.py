"""Kernels on this machine: who may listen, how they die, what they leave behind, why they do not start."""

import json
import os
import signal
import sys
from pathlib import Path

import anyio
import psutil
import pytest

from mcp_notebook.errors import KernelDied, KernelError, KernelNotFound, KernelStartFailed
from mcp_notebook.kernels.base import Exit
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.settings import Settings
from tests.kernels.cells import WITHIN_S, Cell, begun, run, running
from tests.live import lives

pytestmark = pytest.mark.anyio

DIES_WITHIN_S = 1.0
"""What the product promises about telling a death."""


async def test_what_the_process_says_itself_is_in_its_log(settings: Settings) -> None:
    """Also what child processes write, which cells show as well; nothing reaches the server's own streams."""
    async with running(settings) as kernel:
        cell = await run(kernel, "import os; _ = os.system('echo through the descriptor')")
        assert kernel.info.log is not None
        assert "through the descriptor" in kernel.info.log.read_text()
        assert "through the descriptor" in cell.text()


# Death


@pytest.mark.parametrize(
    ("source", "end"),
    [
        ("import os; os._exit(9)", Exit(code=9)),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", Exit(signal=9)),
        ("import ctypes; ctypes.string_at(0)", Exit(signal=11)),
        ("import os; os.abort()", Exit(signal=6)),
        ("import threading, os; threading.Thread(target=os._exit, args=(0,)).start(); input()", Exit(code=0)),
    ],
    ids=["_exit", "kill-9", "segfault", "abort", "thread"],
)
async def test_a_death_is_told_within_a_second(settings: Settings, source: str, end: Exit) -> None:
    """Whoever waits for the cell learns at once that the kernel died, and how."""
    async with running(settings) as kernel:
        await run(kernel, "x = 1")
        with anyio.fail_after(DIES_WITHIN_S), pytest.raises(KernelDied) as died:
            await kernel.execute(source, cell_id=None, on_message=Cell().add, on_input=Cell().ask)
        assert str(end) in str(died.value)
        assert kernel.exit == end
        with pytest.raises(KernelDied):
            await run(kernel, "1")


async def test_a_death_between_cells_is_told(settings: Settings) -> None:
    """Nobody needs to call it first."""
    async with running(settings) as kernel:
        assert kernel.info.pid is not None
        os.kill(kernel.info.pid, 9)
        with anyio.fail_after(DIES_WITHIN_S):
            assert await kernel.wait_dead() == Exit(signal=9)
        with pytest.raises(KernelDied):
            await kernel.ask("hello")
        with pytest.raises(KernelDied):
            await kernel.interrupt()


async def test_a_question_to_a_dying_kernel_is_answered(settings: Settings) -> None:
    """The one who asks on the control channel learns of the death, too."""
    async with running(settings) as kernel, anyio.create_task_group() as tasks:

        async def ask_until_dead() -> None:
            with pytest.raises(KernelDied):
                while True:
                    await kernel.ask("hello")

        tasks.start_soon(ask_until_dead)
        with pytest.raises(KernelDied):
            await run(kernel, "import os; os._exit(1)")


@pytest.mark.parametrize("source", ["import sys; sys.exit()", "raise SystemExit(3)", "exit", "quit"])
async def test_leaving_by_system_exit_is_one_way_or_the_other(settings: Settings, source: str) -> None:
    """``sys.exit()`` is an output and the kernel lives; ``exit`` and ``quit`` end it in order."""
    async with running(settings) as kernel:
        cell = await run(kernel, source)
        if "exit(" in source.lower():
            assert cell.text("stderr") or cell.errors()
            assert (await run(kernel, "1 + 1")).result() == "2"
        else:
            with anyio.fail_after(WITHIN_S):
                assert await kernel.wait_dead() == Exit(code=0)


async def test_sys_exit_in_a_thread_ends_the_thread_only(kernel: LocalKernel) -> None:
    """The kernel lives."""
    await run(kernel, "import sys, threading; t = threading.Thread(target=sys.exit); t.start(); t.join()")
    assert (await run(kernel, "1 + 1")).result() == "2"


# What is left


async def test_nothing_is_left_after_a_shutdown(settings: Settings) -> None:
    """No process, no socket, no directory; the log stays."""
    async with running(settings) as kernel:
        directory = kernel.directory
        pid = kernel.info.pid
        assert pid is not None
        assert directory.is_dir()
        await kernel.shutdown()
        assert kernel.exit == Exit(code=0)
        assert not lives(pid)
        assert not directory.exists()
        await kernel.shutdown()


async def test_nothing_is_left_after_a_kill(settings: Settings) -> None:
    """Also in the middle of a cell."""
    async with running(settings) as kernel:
        directory = kernel.directory
        pid = kernel.info.pid
        assert pid is not None
        await run(kernel, "x = 1")
        async with anyio.create_task_group() as tasks:
            cell = Cell()

            async def killed() -> None:
                with pytest.raises(KernelDied, match="signal 9"):
                    await run(kernel, "print('in', flush=True)\nwhile True: pass", cell)

            tasks.start_soon(killed)
            await cell.until_printed("in")
            await kernel.kill()
        assert not lives(pid)
        assert not directory.exists()


async def test_a_busy_kernel_is_shut_down_by_force(settings: Settings) -> None:
    """Code that never returns does not keep it alive."""
    async with running(settings) as kernel:
        async with anyio.create_task_group() as tasks:
            cell = Cell()

            async def cut_short() -> None:
                with pytest.raises(KernelDied):
                    await run(kernel, "print('in', flush=True)\nwhile True: pass", cell)

            tasks.start_soon(cut_short)
            await cell.until_printed("in")
            with anyio.fail_after(WITHIN_S):
                await kernel.shutdown()
        assert kernel.exit is not None


# Kernels that do not start


def made_up(settings: Settings, base: Path, *argv: str) -> dict[str, str]:
    """An environment in which the kernelspec ``broken`` runs ``argv``."""
    directory = base / "share" / "jupyter" / "kernels" / "broken"
    directory.mkdir(parents=True)
    spec = {"argv": list(argv), "display_name": "Broken", "language": "x"}
    (directory / "kernel.json").write_text(json.dumps(spec))
    return {**settings.environment, "VIRTUAL_ENV": str(base)}


async def failing(settings: Settings, environment: dict[str, str], timeout_s: float = WITHIN_S) -> str:
    """What is said of a kernel that does not start; nothing of it is left."""
    before = set(settings.sockets.glob("*"))
    with pytest.raises(ExceptionGroup) as raised:
        async with running(settings, "broken", environment=environment, timeout_s=timeout_s):
            pass
    (failed,) = raised.value.exceptions
    assert isinstance(failed, KernelStartFailed)
    assert set(settings.sockets.glob("*")) == before
    return str(failed)


async def test_a_program_that_is_not_there_is_named(settings: Settings, tmp_path: Path) -> None:
    """With what to check."""
    said = await failing(settings, made_up(settings, tmp_path, "/no/such/program", "{connection_file}"))
    assert "/no/such/program" in said
    assert "Check that the program exists" in said


async def test_a_kernel_that_exits_at_once_is_told_with_its_last_lines(settings: Settings, tmp_path: Path) -> None:
    """How it ended, and what it said."""
    argv = ("/bin/sh", "-c", "echo its last words >&2; exit 3")
    said = await failing(settings, made_up(settings, tmp_path, *argv))
    assert "exit code 3" in said
    assert "its last words" in said


async def test_a_kernel_that_stays_silent_is_given_up(settings: Settings, tmp_path: Path) -> None:
    """After the time that the settings give, with what it wrote; its process is ended."""
    argv = ("/bin/sh", "-c", "echo thinking $$; exec sleep 1000")
    said = await failing(settings, made_up(settings, tmp_path, *argv), timeout_s=0.5)
    assert "said nothing for 0.5 s" in said
    assert "thinking" in said
    assert not lives(int(said.partition("thinking ")[2].split()[0]))


async def test_a_kernel_that_prints_no_text_is_told_all_the_same(settings: Settings, tmp_path: Path) -> None:
    """Bytes that are no UTF-8 in its log do not hide the failure."""
    argv = ("/bin/sh", "-c", r"printf '\377\376 binary'; exit 1")
    assert "exit code 1" in await failing(settings, made_up(settings, tmp_path, *argv))


async def test_a_kernelspec_that_is_not_there_is_an_error_of_its_own(settings: Settings) -> None:
    """Nothing is started for it."""
    with pytest.raises(ExceptionGroup) as raised:
        async with running(settings, "made-up"):
            pass
    assert isinstance(raised.value.exceptions[0], KernelNotFound)


async def test_a_kernel_heeds_interrupts_of_a_server_that_ignores_them(settings: Settings, tmp_path: Path) -> None:
    """Ignored signals are inherited: a server in a shell's background must not pass that on."""
    program = "import signal; print(signal.getsignal(signal.SIGINT)); raise SystemExit(1)"
    environment = made_up(settings, tmp_path, sys.executable, "-c", program)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert "default_int_handler" in await failing(settings, environment)
    finally:
        signal.signal(signal.SIGINT, before)


async def test_messages_wait_for_a_client_that_is_slow(settings: Settings, tmp_path: Path) -> None:
    """20,000 of them are printed while the client's event loop is held and reads nothing."""
    fifo = tmp_path / "printed"
    os.mkfifo(fifo)
    async with running(settings) as kernel:
        source = f"for n in range(20_000): print(n, flush=True)\nopen({str(fifo)!r}, 'w').close()"
        async with begun(kernel, source) as cell:
            await cell.until_printed("0")
            fifo.read_text()
        assert cell.reply.missing == 0
        assert cell.text().splitlines() == [str(n) for n in range(20_000)]


# Other languages


# An old key in the kernelspec that bash_kernel installs.
@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
async def test_a_bash_kernel_runs(settings: Settings) -> None:
    """Any kernelspec: cells, output, interrupt; what needs Python says so."""
    async with running(settings, "bash", environment={**os.environ}) as kernel:
        assert kernel.info.language == "bash"
        assert kernel.info.notes
        cell = await run(kernel, "echo $((6 * 7))")
        assert cell.text() == "42\n"
        assert cell.reply.interrupted is None
        with pytest.raises(KernelError, match="needs ipykernel"):
            await kernel.ask("hello")


async def test_a_shutdown_leaves_no_children_behind(settings: Settings) -> None:
    """Nor workers of a pool, which come back when they are ended one by one."""
    async with running(settings) as kernel:
        cell = await run(kernel, "import multiprocessing as mp; pool = mp.Pool(2); [w.pid for w in pool._pool]")
        assert cell.result() is not None
        assert len(psutil.Process(kernel.info.pid).children(recursive=True)) >= 2
    left = [process for process in psutil.process_iter() if _group_of(process.pid) == kernel.info.pid]
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []


def _group_of(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except ProcessLookupError:
        return None
