"""IOPub messages that never arrive, within one server's life: fetched from the kernel, or told as lost in their place.

The kernels are real; what their IOPub socket would drop for a slow reader, a cell has it drop.
"""

from collections.abc import AsyncIterator

import anyio
import pytest

from mcp_notebook.errors import KernelDied
from mcp_notebook.kernels.local import LocalKernel
from mcp_notebook.outputs import is_lost
from mcp_notebook.settings import Settings
from tests.kernels.cells import Cell, begun, run, running
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(90)]

HALF = "get_ipython().kernel._mcp_notebook"
LOSSY = f"""
class Lossy:
    drops = staticmethod(lambda number: False)
    dropped = 0
    def __init__(self, socket): self.socket = socket
    def __getattr__(self, name): return getattr(self.socket, name)
    def send_multipart(self, message, *args, **kwargs):
        self.number = int(message[0].rpartition(b"#")[2])
        if Lossy.drops(self.number): Lossy.dropped += 1
        else: self.socket.send_multipart(message, *args, **kwargs)
half = {HALF}
wire = half.outgoing.thread.socket = Lossy(half.outgoing.thread.socket)
import os, random, sys, threading, time
from IPython.display import display
def say(what): sys.stdout.write(f"{{what}}\\n"); sys.stdout.flush()
"""
"""From here on messages whose numbers ``Lossy.drops`` says never reach the socket."""
WHOLE = "Lossy.drops = staticmethod(lambda number: False); half.outgoing.ring.limit = 64 << 20"


@pytest.fixture(scope="module", params=[(NEWEST, True), (OLDEST, False)], ids=lambda kind: kind[0])
async def lossy_kernel(
    request: pytest.FixtureRequest, settings: Settings, anyio_backend: str
) -> AsyncIterator[LocalKernel]:
    """A kernel whose wire loses what a cell says."""
    age, lean = request.param
    async with running(settings, interpreter(age), lean=lean) as kernel:
        assert (await run(kernel, LOSSY)).reply.status == "ok"
        yield kernel


@pytest.fixture
async def lossy(lossy_kernel: LocalKernel) -> AsyncIterator[LocalKernel]:
    """The same; the next test begins with a wire that loses nothing."""
    yield lossy_kernel
    after = await run(lossy_kernel, f"{WHOLE}; print('well'); 1")
    assert (after.text(), after.result(), after.reply.missing) == ("well\n", "1", 0)


def dropping(condition: str, source: str) -> str:
    """``source`` on a wire that loses each message for whose ``number`` the condition holds."""
    return f"begun = wire.number\nLossy.dropped = 0\nLossy.drops = staticmethod(lambda number: {condition})\n{source}"


@pytest.mark.parametrize(
    "condition",
    ["number % 3 == 0", "random.random() < 0.5", "number % 700 > 350", "number > begun + 1000", "True"],
    ids=["each third", "half of all", "long rows", "the end with idle", "all"],
)
async def test_what_does_not_arrive_is_fetched(lossy: LocalKernel, condition: str) -> None:
    """Text, displays and results: each once, in order."""
    lines = (
        "for n in range(1500):\n"
        "    say(n)\n"
        "    if n % 100 == 0: display({'text/plain': f'shown {n}'}, raw=True)\n"
        "    if n % 500 == 0: time.sleep(0.01)\n"
        "'the end'"
    )
    cell = await run(lossy, dropping(condition, lines))
    assert cell.text().splitlines() == [str(n) for n in range(1500)]
    shown = [m["content"]["data"]["text/plain"] for m in cell.messages if m["header"]["msg_type"] == "display_data"]
    assert shown == [f"shown {n}" for n in range(0, 1500, 100)]
    assert (cell.reply.status, cell.result(), cell.reply.missing) == ("ok", "'the end'", 0)
    assert not any(map(is_lost, cell.messages))
    dropped = int(str((await run(lossy, f"{WHOLE}; Lossy.dropped")).result()))
    assert dropped > 500


async def test_large_messages_come_in_several_answers(lossy: LocalKernel) -> None:
    """30 MB of them."""
    source = "for n in range(15):\n    display({'text/plain': str(n) * 1_000_000 + '!'}, raw=True)\n    print(n)"
    cell = await run(lossy, dropping("True", source))
    data = [m["content"]["data"]["text/plain"] for m in cell.messages if m["header"]["msg_type"] == "display_data"]
    assert data == [str(n) * 1_000_000 + "!" for n in range(15)]
    assert cell.text().split() == [str(n) for n in range(15)]


async def test_one_large_print_is_many_messages(lossy: LocalKernel) -> None:
    """More than the kernel keeps at all: what is not dropped arrives."""
    cell = await run(lossy, "sys.stdout.write('x' * 100_000_000 + 'end'); sys.stdout.flush()")
    assert (cell.text() == "x" * 100_000_000 + "end", cell.reply.missing) == (True, 0)
    assert max(len(m["content"].get("text", "")) for m in cell.messages) <= 1_000_000


async def test_a_message_that_takes_long_is_not_lost(lossy: LocalKernel) -> None:
    """It is too large to be kept, and on its way when the kernel has replied."""
    cell = await run(lossy, "display({'text/plain': 'x' * 80_000_000}, raw=True)")
    assert [len(m["content"]["data"]["text/plain"]) for m in cell.messages if "data" in m["content"]] == [80_000_000]
    assert cell.reply.missing == 0


async def test_a_prompt_comes_after_what_was_printed_before(lossy: LocalKernel) -> None:
    """Though all of that was dropped."""
    async with begun(lossy, dropping("True", "say('before')\nline = input('now? ')\nline")) as cell:
        await cell.until(lambda: bool(cell.prompts))
        assert cell.text() == "before\n"
        await lossy.input_reply("yes")
    assert (cell.prompts, cell.result(), cell.reply.missing) == ([("now? ", False)], "'yes'", 0)


async def test_a_cell_that_goes_on_after_a_gap_shows_what_was_in_it(lossy: LocalKernel) -> None:
    """It is not the cell's end that fetches it."""
    source = "for n in range(100): say(n)\nLossy.drops = staticmethod(lambda number: False)\nsay('after')\ninput()"
    async with begun(lossy, dropping("True", source)) as cell:
        await cell.until_printed("after\n")
        assert cell.text().split() == [*map(str, range(100)), "after"]
        await cell.until(lambda: bool(cell.prompts))
        await lossy.input_reply("")


async def test_what_an_earlier_cell_prints_late_is_fetched_as_well(lossy: LocalKernel) -> None:
    """And stays with that cell; ipykernel 6 gives it to the one that runs."""
    source = "go = threading.Event()\ndef late():\n    go.wait()\n    for n in range(50): say(n)\n"
    early = await run(lossy, f"{source}thread = threading.Thread(target=late); thread.start(); 1")
    later = await run(lossy, dropping("True", "say('mine')\ngo.set(); thread.join(); 2"))
    assert (later.text().replace("mine\n", "") + early.text()).split() == [str(n) for n in range(50)]
    assert (later.result(), later.reply.missing) == ("2", 0)


async def test_what_nobody_has_any_more_is_told_in_its_place(lossy: LocalKernel) -> None:
    """With its count: the kernel keeps less than it sends here."""
    source = (
        "half.outgoing.ring.limit = 50_000\n"
        "for n in range(1000):\n"
        "    if n == 100: time.sleep(0.2); Lossy.drops = staticmethod(lambda number: True)\n"
        "    say(n)\n"
        "time.sleep(0.2); Lossy.drops = staticmethod(lambda number: False)\nsay('end')"
    )
    cell = await run(lossy, dropping("False", source))
    here = next(index for index, message in enumerate(cell.messages) if is_lost(message))
    before, after = Cell(cell.messages[:here]).text().split(), Cell(cell.messages[here:]).text().split()
    count = cell.messages[here]["content"]["count"]
    first = int(after[0])
    assert [*before, *after] == [*map(str, range(100)), *map(str, range(first, 1000)), "end"]
    assert count == first - 100 > 500
    assert sum(map(is_lost, cell.messages)) == 1
    assert (cell.reply.status, cell.reply.missing) == ("ok", count)


async def test_a_kernel_that_cannot_be_asked_has_its_losses_counted(lossy: LocalKernel) -> None:
    """An older half does not know the call: the cell ends, and so do those after it."""
    assert (await run(lossy, "half.call_between = None")).reply.status == "ok"
    cell = await run(lossy, dropping("number % 2 == 0", "for n in range(100): say(n)\ntime.sleep(0.1)"))
    lines = [int(line) for line in cell.text().split()]
    told = sum(message["content"]["count"] for message in cell.messages if is_lost(message))
    assert lines == sorted(lines)
    assert len(lines) + told >= 100
    assert (cell.reply.status, cell.reply.missing) == ("ok", told)
    at_the_end = await run(lossy, dropping("True", "say('gone')"))
    assert (at_the_end.text(), at_the_end.reply.status) == ("", "ok")
    assert at_the_end.reply.missing > 0
    after = await run(lossy, f"{WHOLE}; del half.call_between; print('here')")
    assert (after.text(), after.reply.missing) == ("here\n", 0)


async def test_a_reply_that_never_came_is_asked_for(lossy: LocalKernel) -> None:
    """The kernel keeps replies too."""
    source = (
        "send = half.kernel.session.send\n"
        "def lose(stream, kind, *args, **kwargs):\n"
        "    if kind != 'execute_reply': return send(stream, kind, *args, **kwargs)\n"
        "    half.kernel.session.send = send\n"
        "    return {'content': args[0] if args else kwargs['content']}\n"
        "half.kernel.session.send = lose; 7"
    )
    cell = await run(lossy, source)
    assert (cell.reply.status, cell.result(), cell.reply.missing) == ("ok", "7", 0)


async def test_what_nobody_can_read_is_lost_and_its_cell_ends(settings: Settings) -> None:
    """JSON that is nested more deeply than any reader goes; what comes after it is shown."""
    source = (
        "import sys; sys.setrecursionlimit(20_000)\nfrom IPython.display import display\ndeep = []\n"
        "for _ in range(3000): deep = [deep]\n"
        "display({'application/json': deep}, raw=True); print('after')"
    )
    async with running(settings) as kernel:
        cell = await run(kernel, source)
        assert (cell.reply.status, cell.reply.missing, cell.text()) == ("ok", 1, "after\n")
        assert (await run(kernel, "print('next')")).text() == "next\n"


async def test_a_kernel_that_dies_tells_what_was_lost(settings: Settings) -> None:
    """What came after a gap is shown all the same."""
    async with running(settings) as kernel:
        await run(kernel, LOSSY)
        source = (
            "say('first'); time.sleep(0.2); half.call_between = lambda **given: os._exit(3)\n"
            "Lossy.drops = staticmethod(lambda number: not Lossy.dropped)\n"
            "say('dropped'); say('last')\ninput()"
        )
        cell = Cell()
        with anyio.fail_after(20), pytest.raises(KernelDied):
            await kernel.execute(source, cell_id=None, on_message=cell.add, on_input=cell.ask)
        assert cell.text() == "first\nlast\n"
        assert [message["content"] for message in cell.messages if is_lost(message)] == [{"count": 1}]
