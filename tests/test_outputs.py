"""Outputs of a cell from IOPub messages: nbclient's rules, long texts, bounded memory."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.notebooknode import from_dict as untyped_from_dict

from mcp_notebook.outputs import Displays, Message, OutputCollector
from mcp_notebook.spill import SpilledText

RED, OFF = "\x1b[31m", "\x1b[0m"

Kernel = tuple[KernelManager, BlockingKernelClient]


def message(msg_type: str, **content: Any) -> Message:
    return Message(header={"msg_type": msg_type}, parent_header={}, metadata={}, content=content, buffers=[])


def printed(text: str, name: str = "stdout") -> Message:
    return message("stream", name=name, text=text)


def displayed(text: str, display_id: str | None = None, msg_type: str = "display_data") -> Message:
    transient = {"display_id": display_id} if display_id else {}
    return message(msg_type, data={"text/plain": text}, metadata={}, transient=transient)


class Memory:
    """A long text in memory that takes at most ``room`` characters."""

    def __init__(self, room: int = 1 << 40) -> None:
        self.text, self.room = "", room
        self.removed = False

    def append(self, text: str) -> None:
        self.text += text[: self.room - len(self.text)]

    def remove(self) -> None:
        self.removed = True

    @property
    def chars(self) -> int:
        return len(self.text)


def collector(displays: Displays | None = None, *, limit: int = 1000) -> OutputCollector:
    return OutputCollector(displays or Displays(), spill_over_chars=limit, open_long_text=lambda index: Memory())


def texts(collected: OutputCollector) -> list[str]:
    return [output.get("text") or output["data"]["text/plain"] for output in collected.outputs]


def test_streams_are_joined_while_consecutive() -> None:
    """Messages of one stream make one output until something else comes between."""
    cell = collector()
    for part in (
        printed("a"),
        printed("b\n"),
        printed("E", "stderr"),
        printed("c"),
        displayed("D"),
        printed("d"),
    ):
        assert cell.add(part)
    assert texts(cell) == ["ab\n", "E", "c", "D", "d"]


def test_outputs_are_a_list_of_their_own_and_unchanged_nodes_stay_the_same() -> None:
    """A reader may keep the list; what did not change is not made again, what grew is another node."""
    cell = collector()
    cell.add(displayed("D"))
    cell.add(printed("a"))
    first = cell.outputs
    assert cell.outputs is not first
    assert [a is b for a, b in zip(first, cell.outputs, strict=True)] == [True, True]
    cell.add(printed("b"))
    assert [a is b for a, b in zip(first, cell.outputs, strict=True)] == [True, False]
    assert first[1]["text"] == "a"


@pytest.mark.parametrize(
    "ignored",
    [
        message("status", execution_state="starting"),
        message("comm_open", comm_id="c", data={}),
        message("iopub_welcome"),
        message("clear_output", wait=True),
        message("clear_output", wait=False),
        displayed("X", "unknown", "update_display_data"),
        printed(""),
    ],
)
def test_messages_that_show_nothing_change_nothing(ignored: Message) -> None:
    """They are no change to a waiter either."""
    cell = collector()
    assert not cell.add(ignored)
    assert cell.outputs == []


def test_clear_output_waits_for_the_next_output_if_asked() -> None:
    """With wait the old outputs stay until there is something new."""
    cell = collector()
    cell.add(printed("old"))
    assert not cell.add(message("clear_output", wait=True))
    assert texts(cell) == ["old"]
    cell.add(printed("new"))
    assert texts(cell) == ["new"]
    assert cell.add(message("clear_output", wait=False))
    assert cell.outputs == []


def test_an_update_reaches_every_output_of_its_display() -> None:
    """Also those of earlier cells, as the very nodes that they hold; a cleared one is forgotten."""
    displays = Displays()
    first, second = collector(displays), collector(displays)
    first.add(displayed("1", "d"))
    node = first.outputs[0]
    second.add(displayed("2", "d"))
    assert node["data"] == {"text/plain": "2"}
    assert second.add(displayed("3", "d", "update_display_data"))
    assert (texts(first), texts(second)) == (["3"], ["3"])
    assert displays.update("d", {"text/plain": "4"}, {}) == 2
    first.clear()
    del node
    assert displays.update("d", {"text/plain": "5"}, {}) == 1


def test_the_latest_line_is_the_last_one_with_something_on_it() -> None:
    """Without colours, of either stream, shortened, and it outlives a clear_output."""
    cell = collector()
    assert cell.latest_line == ""
    for text, line in [
        ("one\n", "one"),
        (f"\n  {RED}two{OFF}\n\n", "two"),
        ("10%\r", "10%"),
        ("20%", "20%"),
        ("\n", "20%"),
        ("y" * 500, "y" * 200),
        ("\n" + "z" * 500 + "\n\n", "z" * 200),
    ]:
        cell.add(printed(text, "stderr" if "%" in text else "stdout"))
        assert cell.latest_line == line
    cell.add(message("clear_output", wait=False))
    assert cell.latest_line == "z" * 200


def test_a_note_is_an_output_of_its_own_on_stderr() -> None:
    """It opens with the product's name and is not glued to what the cell printed."""
    cell = collector()
    cell.add(printed("unfinished", "stderr"))
    cell.note("3 messages were lost.")
    cell.note("[mcp-notebook] The kernel died.\n")
    cell.add(printed("late", "stderr"))
    assert texts(cell) == [
        "unfinished",
        "[mcp-notebook] 3 messages were lost.\n",
        "[mcp-notebook] The kernel died.\n",
        "late",
    ]


def test_a_long_stream_keeps_head_note_and_tail_and_spills_the_whole() -> None:
    """The whole text is outside from its first character on, the unfinished line when the cell ends."""
    cell = collector()
    lines = [f"line {n}\n" for n in range(1000)]
    for line in lines:
        cell.add(printed(line))
    cell.add(printed("10%\r20%"))
    whole = "".join(lines) + "20%"
    assert cell.spilled[0].chars == len(whole) - 3
    assert cell.add(message("status", execution_state="idle"))
    spilled = cell.spilled[0]
    assert isinstance(spilled, Memory)
    assert spilled.text == whole
    note = (
        f"\n[mcp-notebook] {len(whole) - 1000:,} of {len(whole):,} characters "
        "are kept outside the document: get_output pages and searches them.\n"
    )
    assert texts(cell) == [whole[:500] + note + whole[-500:]]


@pytest.mark.parametrize("msg_type", ["display_data", "execute_result"])
def test_long_plain_text_of_a_display_is_spilled_and_other_data_is_not(msg_type: str) -> None:
    """An update shortens or lengthens it anew; binary data is never cut."""
    cell = collector()
    cell.add(printed("first\n"))
    shown = displayed("p" * 5000, "d", msg_type)
    shown["content"]["data"]["image/png"] = "i" * 5000
    cell.add(shown)
    output = cell.outputs[1]
    assert len(output["data"]["text/plain"]) < 1200
    assert len(output["data"]["image/png"]) == 5000
    assert cell.spilled[1].chars == 5000
    cell.add(displayed("q" * 3000, "d", "update_display_data"))
    assert "2,000 of 3,000 characters" in output["data"]["text/plain"]
    assert cell.spilled[1].chars == 3000
    cell.add(displayed("short", "d", "update_display_data"))
    assert (output["data"]["text/plain"], cell.spilled) == ("short", {})


@pytest.mark.parametrize("in_traceback", [True, False])
def test_a_long_error_is_spilled_whole(in_traceback: bool) -> None:
    """Its traceback is shortened and so is its value; the value is outside even without a traceback."""
    value = "v" * 200_000
    traceback = ["Traceback", f"ValueError: {value}"] if in_traceback else []
    cell = collector()
    cell.add(message("error", ename="ValueError", evalue=value, traceback=traceback))
    (output,) = cell.outputs
    assert len("\n".join(output["traceback"])) < 1200
    assert len(output["evalue"]) < 101_000
    spilled = cell.spilled[0]
    assert isinstance(spilled, Memory)
    assert f"ValueError: {value}" in spilled.text


def test_a_note_says_so_if_not_everything_could_be_kept() -> None:
    """Nothing is called kept that was not written."""
    cell = OutputCollector(Displays(), spill_over_chars=1000, open_long_text=lambda index: Memory(room=1500))
    cell.add(printed("x" * 4999 + "\n"))
    assert "4,000 of 5,000 characters are not shown, and 3,500 could not be written" in texts(cell)[0]


def test_clearing_forgets_what_was_spilled() -> None:
    """The output that takes the place of a cleared one has a text of its own."""
    cell = collector()
    cell.add(printed("a" * 2000 + "\n"))
    cell.add(message("clear_output", wait=False))
    assert cell.spilled == {}
    cell.add(printed("b\n"))
    assert (texts(cell), cell.spilled) == (["b\n"], {})


def test_printing_200_mb_holds_little_memory(tmp_path: Path) -> None:
    """Head, tail and the message at hand are all that is in memory; the file has every character."""
    opened: list[SpilledText] = []

    def open_long_text(index: int) -> SpilledText:
        opened.append(SpilledText(tmp_path))
        return opened[-1]

    cell = OutputCollector(Displays(), open_long_text=open_long_text)
    tracemalloc.start()
    for n in range(200):
        cell.add(printed(f"{n:09}\n" * 100_000))
        cell.latest_line  # noqa: B018 - a waiter asks for it all the time
    shown = texts(cell)[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    assert len(shown) < 101_000
    assert opened[0].chars == 200_000_000
    assert opened[0].read(100_000_000, 10) == "000000100\n"
    opened[0].remove()


@pytest.fixture(scope="module")
def kernel() -> Iterator[Kernel]:
    """A real kernel for nbclient, and a second client that hears the same messages."""
    manager = KernelManager(kernel_name="python3", client_class="jupyter_client.asynchronous.AsyncKernelClient")
    manager.start_kernel()
    listener = BlockingKernelClient()
    listener.load_connection_info(manager.get_connection_info())
    listener.start_channels()
    listener.wait_for_ready(timeout=60)
    yield manager, listener
    listener.stop_channels()
    manager.shutdown_kernel(now=True)


def from_dict(values: dict[str, Any]) -> NotebookNode:
    return untyped_from_dict(values)  # type: ignore[no-untyped-call,no-any-return]  # not annotated


CELL: dict[str, Any] = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}


def run_both(kernel: Kernel, sources: list[str], **options: Any) -> tuple[NotebookNode, list[OutputCollector]]:
    """The notebook as nbclient executed it, and collectors that were fed what the kernel published."""
    manager, listener = kernel
    cells = [from_dict({**CELL, "id": f"c{n}", "source": source}) for n, source in enumerate(sources)]
    notebook = from_dict({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})
    client = NotebookClient(notebook, km=manager, allow_errors=True, **options)
    try:
        client.execute()
    finally:
        assert client.kc is not None
        client.kc.stop_channels()
    displays, collectors = Displays(), []
    for source in sources:
        cell = collector(displays, limit=1_000_000)
        collectors.append(cell)
        for published in messages_of(listener, source):
            cell.add(published)
    return notebook, collectors


def messages_of(listener: BlockingKernelClient, source: str) -> Iterator[Message]:
    """What the kernel published for the next execution of ``source``, up to its idle."""
    request, busy = None, dict[str, Message]()
    while True:
        published = cast(Message, listener.get_iopub_msg(timeout=60))
        parent, content = published["parent_header"].get("msg_id", ""), published["content"]
        if content.get("code") == source:
            request = parent
            yield busy[parent]
        if content.get("execution_state") == "busy":
            busy[parent] = published
        if parent == request:
            yield published
            if content.get("execution_state") == "idle":
                return


SAME_AS_NBCLIENT = {
    "both streams": (
        "import sys\nfor n in range(3):\n    print('out', n, flush=True); print('err', n, file=sys.stderr, flush=True)"
    ),
    "a result": "x = 6 * 7; x",
    "a result of many kinds": "import IPython.display as d; d.HTML('<b>x</b>')",
    "a JSON display with metadata": "d.display(d.JSON({'a': [1, {'b': None}]}, expanded=True))",
    "an image": "d.Image(bytes(range(256)), format='png')",
    "a display with a handle": "print('before'); h = d.display('one', display_id=True); print('after')",
    "the same display again": "h2 = d.display('two', display_id=h.display_id)",
    "an update of both from another cell": "h.update({'new': True})",
    "a result that is a display": "d.display('d1', display_id='mine'); d.display('d2', display_id='mine')",
    "cleared at once": "print('gone'); d.clear_output(); print('kept')",
    "cleared and nothing after": "print('gone'); d.clear_output()",
    "cleared when something comes": "print('gone'); d.clear_output(wait=True); d.display('kept')",
    "not cleared, for nothing comes": "print('kept'); d.clear_output(wait=True)",
    "a cleared display": "h = d.display('gone', display_id=True); d.clear_output(); h.update('x'); print(1)",
    "an animation": "for n in range(5):\n    d.clear_output(wait=True); print(n); d.display(n)",
    "an error": "def f(n):\n    print('n', n)\n    return 1 / n\nf(0)",
    "no syntax": "print('a'",
    "silence": "y = 1",
}


def test_outputs_are_those_of_nbclient(kernel: Kernel) -> None:
    """Of a real kernel's messages; nbclient leaves streams in pieces, which are joined here first."""
    notebook, collectors = run_both(kernel, list(SAME_AS_NBCLIENT.values()))
    for name, cell, ours in zip(SAME_AS_NBCLIENT, notebook.cells, collectors, strict=True):
        assert ours.outputs == joined(cell.outputs), name
        assert ours.execution_count == cell.execution_count, name
        times = {key: time for key, time in cell.metadata.execution.items() if key.startswith("iopub")}
        assert ours.timings == times, name
        cell.outputs = ours.outputs
    nbformat.validate(notebook)


def joined(outputs: list[NotebookNode]) -> list[NotebookNode]:
    """Streams of one name as one output while they are consecutive."""
    result: list[NotebookNode] = []
    for output in outputs:
        last = result[-1] if result else {}
        if output.output_type == "stream" == last.get("output_type") and output.name == last["name"]:
            last["text"] += output.text
        else:
            result.append(output)
    return result


@pytest.mark.parametrize(
    ("source", "ours", "nbclients"),
    [
        ("for n in range(3): print(f'\\r{n}0%', end='', flush=True)", "20%", {"20%"}),
        ("print('12345\\rab')", "ab345\n", {"ab\n"}),
        ("print('abc\\b\\bX')", "aXc\n", {"aX\n", "abc\b\bX\n"}),
        ("print('a\\r\\nb')", "a\nb\n", {"a\r\nb\n"}),
        ("print('100%\\r', end='')", "100%", {"100%\r"}),
    ],
)
def test_terminal_rules_differ_from_nbclient_on_purpose(
    kernel: Kernel, source: str, ours: str, nbclients: set[str]
) -> None:
    """nbclient cuts a line at a carriage return (and means to delete at a backspace); here both only move."""
    notebook, (cell,) = run_both(kernel, [source], coalesce_streams=True)
    assert texts(cell) == [ours]
    assert notebook.cells[0].outputs[0].text in nbclients


def test_streams_that_take_turns_keep_their_order(kernel: Kernel) -> None:
    """Where nbclient's coalescing makes one output of each stream, the order of printing stays here."""
    notebook, (cell,) = run_both(kernel, [SAME_AS_NBCLIENT["both streams"]], coalesce_streams=True)
    assert texts(cell) == ["out 0\n", "err 0\n", "out 1\n", "err 1\n", "out 2\n", "err 2\n"]
    merged = [output.text for output in notebook.cells[0].outputs]
    assert merged == ["out 0\nout 1\nout 2\n", "err 0\nerr 1\nerr 2\n"]
