"""A server that is killed in the middle of a cell, and the next one: every output once, the reply, the prompt."""

import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.streams.buffered import BufferedByteReceiveStream

from mcp_notebook.errors import KernelDied
from mcp_notebook.settings import Settings
from tests.kernels.cells import Cell, run
from tests.kernels.conftest import NEWEST, OLDEST, interpreter
from tests.kernels.marks import marked
from tests.kernels.takeovers import adopted, counted_once, ends, resumed, served

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]

KINDS = [(NEWEST, True), (NEWEST, False), (OLDEST, True), (OLDEST, False)]
HALF = "get_ipython().kernel._mcp_notebook"
SMALL_RING = f"{HALF}.outgoing.ring.limit = 50_000"

OTHER_CLIENT = """
import os, sys
from jupyter_client import BlockingKernelClient
client = BlockingKernelClient(connection_file=sys.argv[1])
client.load_connection_file()
client.start_channels()
seen = []
waiting = [client.execute(f"print('other {n}')") for n in range(20)]
print("queued", flush=True)
replies = [client.get_shell_msg(timeout=60) for _ in waiting]
right = {reply["parent_header"]["msg_id"] for reply in replies} == set(waiting)
while not os.path.exists(sys.argv[2]):
    client.execute_interactive("print('other')", timeout=60, output_hook=seen.append)
texts = set("".join(m["content"]["text"] for m in seen if m["msg_type"] == "stream").splitlines())
print("all were right" if right and texts == {"other"} else f"wrong: {right} {texts}", flush=True)
"""


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind[0]}-{'lean' if kind[1] else 'stock'}")
def asked(request: pytest.FixtureRequest, settings: Settings) -> dict[str, Any]:
    """What a server of each kind of kernel is asked."""
    age, lean = request.param
    return {"sockets": str(settings.sockets), "kernel": interpreter(age), "lean": lean}


@pytest.fixture
def newest(settings: Settings) -> dict[str, Any]:
    """The same for the newest ipykernel, lean."""
    return {"sockets": str(settings.sockets)}


async def test_a_running_cell_goes_on_under_the_next_server(asked: dict[str, Any], tmp_path: Path) -> None:
    """What the dead server had read, what it had not, and what is printed later: each once, in order."""
    source, go, _ = ends(tmp_path)
    async with served(**asked, before="1 + 1", cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 30)
        await server.kill()
        async with adopted(server.facts) as kernel:
            async with resumed(kernel, server.facts["msg_id"]) as cell:
                await cell.until(lambda: len(cell.messages) > 200)
                go.touch()
            assert counted_once(cell) > 100
            assert cell.reply.content["execution_count"] == 2
            after = await run(kernel, "n, 'after'")
            assert (after.reply.status, after.reply.missing) == ("ok", 0)
            assert str(after.result()).endswith("'after')")


async def test_a_cell_that_ends_at_that_moment_is_whole(asked: dict[str, Any], tmp_path: Path) -> None:
    """It ends while the next server connects, which sees a part of it or nothing live."""
    source, go, _ = ends(tmp_path)
    async with served(**asked, cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 20)
        await server.kill()
        async with adopted(server.facts) as kernel:
            async with resumed(kernel, server.facts["msg_id"]) as cell:
                go.touch()
            counted_once(cell)


async def test_a_cell_that_has_ended_is_told_afterwards(asked: dict[str, Any], tmp_path: Path) -> None:
    """Its reply went to nobody; the kernel has it, also for the next one that asks."""
    source, go, done = ends(tmp_path)
    async with marked(done) as has_ended, served(**asked, cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 20)
        await server.kill()
        go.touch()
        await has_ended.made()
        async with adopted(server.facts) as kernel:
            assert (await run(kernel, "'later'")).result() == "'later'"
            for _ in range(2):
                async with resumed(kernel, server.facts["msg_id"]) as cell:
                    pass
                counted_once(cell)


async def test_many_takeovers_lose_nothing(newest: dict[str, Any], tmp_path: Path) -> None:
    """Five servers in a row are killed while one cell runs."""
    source, go, _ = ends(tmp_path)
    async with served(**newest, cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 20)
        await server.kill()
        facts = server.facts
    for number in range(4):
        async with served(**newest, kept=facts, msg_id=facts["msg_id"]) as next_server:
            seen = 40 * (number + 1)
            await next_server.until(lambda said, seen=seen: said["streams"] > seen)  # type: ignore[misc]
            await next_server.kill()
    async with adopted(facts) as kernel:
        async with resumed(kernel, facts["msg_id"]) as cell:
            await cell.until(lambda: len(cell.messages) > 300)
            go.touch()
        counted_once(cell)


async def test_what_is_printed_to_a_stopped_server_is_not_lost(newest: dict[str, Any], tmp_path: Path) -> None:
    """It hangs while the kernel prints 5,000 lines with flush, then it is killed."""
    marks = tmp_path / "printed"
    source = f"for n in range(6000):\n    print(n, flush=True)\n    if n == 5000: open({str(marks)!r}, 'w').close()\nn"
    async with marked(marks) as printed, served(**newest, cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 20)
        server.process.send_signal(signal.SIGSTOP)
        await printed.made()
        await server.kill()
        async with adopted(server.facts) as kernel, resumed(kernel, server.facts["msg_id"]) as cell:
            pass
        assert cell.text().splitlines() == [str(n) for n in range(6000)]
        assert (cell.reply.missing, cell.result()) == (0, "5999")


async def test_a_waiting_input_gets_its_answer_from_the_next_server(asked: dict[str, Any]) -> None:
    """The prompt is told once; so is that of the next input() of the same cell."""
    source = "print('before'); a = input('first? ')\nprint('between'); b = input('second? ')\na + b"
    async with served(**asked, cell=source) as server:
        await server.until(lambda facts: facts.get("prompt") == "first? ")
        await server.kill()
        async with adopted(server.facts) as kernel, resumed(kernel, server.facts["msg_id"]) as cell:
            await cell.until(lambda: bool(cell.prompts))
            assert cell.text() == "before\n"
            await kernel.input_reply("one ")
            await cell.until(lambda: len(cell.prompts) == 2)
            await kernel.input_reply("two")
        assert cell.prompts == [("first? ", False), ("second? ", False)]
        assert (cell.text(), cell.result(), cell.reply.status) == ("before\nbetween\n", "'one two'", "ok")


async def test_an_interrupt_reaches_a_cell_of_the_earlier_server(asked: dict[str, Any]) -> None:
    """And the state is kept."""
    source = "kept = 7\nprint('in', flush=True)\nwhile True: pass"
    async with served(**asked, cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 0)
        await server.kill()
        async with adopted(server.facts) as kernel:
            async with resumed(kernel, server.facts["msg_id"]) as cell:
                await cell.until_printed("in")
                await kernel.interrupt()
            assert (cell.reply.interrupted, cell.errors()) == (True, ["KeyboardInterrupt"])
            await kernel.settle()
            assert (await run(kernel, "kept")).result() == "7"


async def test_what_the_kernel_no_longer_keeps_is_counted(newest: dict[str, Any], tmp_path: Path) -> None:
    """The oldest are gone; how many is said, and the rest is here."""
    done = tmp_path / "done"
    lines_each_in_a_message = 'for n in range(1000):\n    sys.stdout.write(f"{n}\\n"); sys.stdout.flush()\n'
    source = f"import sys\n{lines_each_in_a_message}open({str(done)!r}, 'w').close()\nn"
    async with marked(done) as has_ended, served(**newest, before=SMALL_RING, cell="input()\n" + source) as server:
        await server.until(lambda facts: "prompt" in facts)
        await server.kill()
        async with adopted(server.facts) as kernel:
            await kernel.input_reply("")
            await has_ended.made()
            assert (await run(kernel, "'over'")).result() == "'over'"
            async with resumed(kernel, server.facts["msg_id"]) as cell:
                pass
            lines = [int(line) for line in cell.text().splitlines()]
            assert lines == list(range(lines[0], 1000))
            # Before the first line: busy and the input.
            assert 0 < len(lines) < 100
            assert cell.reply.missing == lines[0] + 2
            assert (cell.reply.status, cell.result()) == ("ok", "999")


async def test_a_kernel_in_c_code_is_waited_for(asked: dict[str, Any]) -> None:
    """It holds Python's lock for seconds and answers nothing; the takeover itself does not wait."""
    source = "import ctypes; print('in', flush=True)\nctypes.PyDLL(None).usleep(3_000_000)\nprint('out'); 'end'"
    async with served(**asked, cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 0)
        await server.kill()
        async with adopted(server.facts) as kernel:
            assert kernel.exit is None
            async with resumed(kernel, server.facts["msg_id"]) as cell:
                pass
            assert (cell.text(), cell.result(), cell.reply.missing) == ("in\nout\n", "'end'", 0)


async def test_an_execution_that_the_kernel_does_not_know_is_unknown(asked: dict[str, Any]) -> None:
    """Said only when the kernel has done all that waited in its sockets."""
    async with served(**asked, cell="print('in', flush=True)\ninput()") as server:
        await server.until(lambda facts: "prompt" in facts)
        await server.kill()
        async with adopted(server.facts) as kernel:
            cell = Cell()
            async with anyio.create_task_group() as tasks:

                async def resume() -> None:
                    cell.replies.append(await kernel.resume("made-up_1", on_message=cell.add, on_input=cell.ask))

                tasks.start_soon(resume)
                await kernel.ask("hello")
                assert not cell.replies
                await kernel.input_reply("")
            assert (cell.reply.status, cell.messages, cell.prompts) == ("unknown", [], [])
            assert "knows nothing" in cell.reply.caveat
            assert (await run(kernel, "1 + 1")).result() == "2"


async def test_a_death_after_the_takeover_is_told(newest: dict[str, Any]) -> None:
    """Whoever resumed the cell learns of it, with what had arrived."""
    async with served(**newest, cell="print('in', flush=True)\ninput()\nimport os; os._exit(1)") as server:
        await server.until(lambda facts: "prompt" in facts)
        await server.kill()
        async with adopted(server.facts) as kernel:
            cell = Cell()
            with pytest.raises(ExceptionGroup) as raised:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(
                        lambda: kernel.resume(server.facts["msg_id"], on_message=cell.add, on_input=cell.ask)
                    )
                    await cell.until(lambda: bool(cell.prompts))
                    await kernel.input_reply("")
                    await kernel.wait_dead()
            assert isinstance(raised.value.exceptions[0], KernelDied)
            assert cell.text() == "in\n"


async def test_only_the_newest_kernels_encrypt_and_all_are_taken_over(asked: dict[str, Any]) -> None:
    """The keys are in the connection file; the next server makes a pair of its own."""
    async with served(**asked, cell="input()") as server:
        await server.until(lambda facts: "prompt" in facts)
        assert server.facts["encrypted"] is (asked["kernel"] == interpreter(NEWEST))
        await server.kill()
        async with adopted(server.facts) as kernel, resumed(kernel, server.facts["msg_id"]) as cell:
            await cell.until(lambda: bool(cell.prompts))
            await kernel.input_reply("x")
        assert cell.result() == "'x'"


# A kernel that keeps no messages


@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
async def test_a_bash_kernel_is_followed_to_its_end(newest: dict[str, Any], tmp_path: Path) -> None:
    """Its reply still comes; that output may be missing is said."""
    go = tmp_path / "go"
    source = f"while [ ! -e {go} ]; do echo running; sleep 0.01; done; echo after"
    async with served(**newest, kernel="bash", cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 0)
        await server.kill()
        async with adopted(server.facts) as kernel:
            async with resumed(kernel, server.facts["msg_id"]) as cell:
                await cell.until_printed("running")
                go.touch()
            assert (cell.reply.status, "may be missing" in cell.reply.caveat) == ("ok", True)
            assert "after" in cell.text()


@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
async def test_a_bash_cell_that_has_ended_is_unknown(newest: dict[str, Any], tmp_path: Path) -> None:
    """Nobody has its reply any more."""
    go, done = tmp_path / "go", tmp_path / "done"
    source = f"echo before; while [ ! -e {go} ]; do sleep 0.01; done; : > {done}"
    async with marked(done) as has_ended, served(**newest, kernel="bash", cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 0)
        await server.kill()
        go.touch()
        await has_ended.made()
        async with adopted(server.facts) as kernel:
            assert (await run(kernel, "echo later")).text() == "later\n"
            async with resumed(kernel, server.facts["msg_id"]) as cell:
                pass
            assert (cell.reply.status, "may be missing" in cell.reply.caveat) == ("unknown", True)


# Another client of the same kernel


async def test_another_client_disturbs_nothing(newest: dict[str, Any], tmp_path: Path) -> None:
    """It runs cells before, during and after a takeover; its outputs are not ours, nor are ours missing."""
    source, go, _ = ends(tmp_path)
    stop = tmp_path / "stop"
    async with served(**newest, cell=source) as server:
        await server.until(lambda facts: facts["streams"] > 20)
        connection_file = str(Path(server.facts["directory"]) / "kernel.json")
        command = [sys.executable, "-c", OTHER_CLIENT, connection_file, str(stop)]
        async with await anyio.open_process(command) as other:
            assert other.stdout is not None
            said = BufferedByteReceiveStream(other.stdout)
            assert await said.receive_until(b"\n", 100) == b"queued"
            await server.kill()
            async with adopted(server.facts) as kernel:
                async with resumed(kernel, server.facts["msg_id"]) as cell:
                    await cell.until(lambda: len(cell.messages) > 200)
                    go.touch()
                counted_once(cell)
                for number in range(50):
                    own = await run(kernel, f"print('own {number}'); {number}")
                    assert (own.text(), own.result(), own.reply.missing) == (f"own {number}\n", str(number), 0)
                stop.touch()
                assert await said.receive_until(b"\n", 100) == b"all were right"
