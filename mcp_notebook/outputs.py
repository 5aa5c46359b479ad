"""Turn a kernel's IOPub messages into the outputs of one cell.

Pure: no sockets, no clock, no files. The messages are those of
https://jupyter-client.readthedocs.io/en/stable/messaging.html, the rules those of nbclient; but
streams are joined while consecutive and overwritten as a terminal does, which is JupyterLab's rule.
Secrets are masked here, before anybody sees an output.
"""

import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypedDict

from nbformat import NotebookNode

from mcp_notebook.long_text import Cut, LongText, OpenLongText, Spilling, Text, ends_of
from mcp_notebook.masking import Masking, StreamMask
from mcp_notebook.nodes import bundle_node, output_node
from mcp_notebook.terminal import TerminalText, plain

LATEST_LINE_CHARS = 200
MANY_DISPLAYS = 1000
"""From here on ids of which no output is left are looked for, and forgotten."""
LATEST_LINE_LOOK_CHARS = 4_000

_LOST = "mcp_notebook_lost"

Output = NotebookNode
"""An output of nbformat 4.5."""


class Message(TypedDict):
    """A Jupyter message; its type is ``header["msg_type"]``."""

    header: dict[str, Any]
    parent_header: dict[str, Any]
    metadata: dict[str, Any]
    content: dict[str, Any]
    buffers: list[bytes]


def lost(count: int) -> Message:
    """Stands among the messages of a cell for so many that the kernel sent and nobody has any more."""
    header = {"msg_type": _LOST}
    return Message(header=header, parent_header={}, metadata={}, content={"count": count}, buffers=[])


def is_lost(message: Message) -> bool:
    """Whether it is one of ``lost``."""
    return bool(message["header"]["msg_type"] == _LOST)


class Displays:
    """Which outputs, in whichever cells, show a display_id. One for each life of a kernel.

    An output is known only as long as somebody else holds it: the cell that was updated must hold
    the very node that its collector gave out.
    """

    def __init__(self) -> None:
        self._shown: dict[str, list[tuple[weakref.ref[Output], Cut | None]]] = {}
        self._look_again_at = MANY_DISPLAYS

    def register(self, display_id: str, output: Output, cut: Cut | None = None) -> None:
        """Let ``output`` change with later updates; ``cut`` shortens what they bring for it."""
        self._shown.setdefault(display_id, []).append((weakref.ref(output), cut))
        if len(self._shown) >= self._look_again_at:
            self._shown = {name: shown for name, shown in self._shown.items() if any(ref() for ref, _ in shown)}
            self._look_again_at = 2 * len(self._shown) + MANY_DISPLAYS

    def update(self, display_id: str, data: Mapping[str, Any], metadata: Mapping[str, Any]) -> int:
        """Show other data wherever ``display_id`` is shown; returns in how many outputs."""
        living = []
        for reference, cut in self._shown.get(display_id, ()):
            output = reference()
            if output is not None:
                output["data"] = _bundle(data, cut)
                output["metadata"] = output_node(metadata)
                living.append((reference, cut))
        if display_id in self._shown:
            self._shown[display_id] = living
        return len(living)


class OutputCollector:
    """The outputs of one execution of a cell, from its messages in the order of their arrival."""

    execution_count: int | None
    timings: dict[str, str]
    """ISO times under nbclient's names, such as "iopub.status.busy"."""
    held_bytes: int
    """What the outputs so far take, in the document and outside of it: UTF-8 of texts, base64 of images."""

    def __init__(
        self,
        displays: Displays,
        *,
        spill_over_chars: int = 1_000_000,
        open_long_text: OpenLongText | None = None,
        masking: Masking | None = None,
    ) -> None:
        """Without ``open_long_text`` every text stays whole in its output."""
        self.execution_count = None
        self.timings = {}
        self.held_bytes = 0
        self.masking = masking or Masking(enabled=False)
        self._displays = displays
        self._spilling = Spilling(spill_over_chars, open_long_text)
        self._nodes: list[Output] = []
        self._stream: _Stream | None = None  # what the last node shows, if more may be printed to it
        self._clear_before_next = False
        self._latest_line = ""

    @property
    def outputs(self) -> list[Output]:
        """The outputs so far, in a list of its own. A stream that grew is another node each time."""
        if self._stream and self._stream.grew:
            self._nodes[-1] = self._stream.node()
        return list(self._nodes)

    @property
    def spilled(self) -> dict[int, LongText]:
        """The whole texts of those outputs, by index, that hold only its head, a note and its tail."""
        return self._spilling.spilled

    @property
    def latest_line(self) -> str:
        """The last line of printed text that is not blank, without colours, shortened."""
        if self._stream:
            line = plain(self._stream.current.lstrip()[:LATEST_LINE_LOOK_CHARS]).strip()
            return (line or self._latest_line)[:LATEST_LINE_CHARS]
        return self._latest_line

    def restore(
        self, outputs: Sequence[Output], execution_count: int | None, timings: Mapping[str, str], held_bytes: int
    ) -> None:
        """Be as after the messages that gave this, as a notebook keeps it."""
        self._nodes = list(outputs)
        self.execution_count, self.timings, self.held_bytes = execution_count, dict(timings), held_bytes

    def restore_long_text(self, index: int, text: LongText) -> None:
        """The whole text of a restored output."""
        self._spilling.spilled[index] = text

    def add(self, message: Message) -> bool:
        """Take in one message; True if it changed outputs, of this cell or of another."""
        content, msg_type = message["content"], message["header"]["msg_type"]
        if "execution_count" in content:
            self.execution_count = content["execution_count"]
        match msg_type:
            case "stream":
                return self._print(content.get("name", "stdout"), content.get("text", ""))
            case "display_data" | "execute_result":
                return self._display(msg_type, self._masked(content))
            case "update_display_data":
                return self._update(self._masked(content)) > 0
            case "error":
                return self._fail({name: self.masking.data(value) for name, value in content.items()})
            case "clear_output":
                return self._clear_output(wait=bool(content.get("wait")))
            case "execute_input":
                self._keep_time("iopub.execute_input", message)
            case "status":
                return self._change_state(content.get("execution_state", ""), message)
            case "mcp_notebook_lost":
                self.note(f"Lost here: {content['count']:,} messages of the kernel. This output is not complete.")
                return True
        return False

    def note(self, text: str) -> None:
        """Say something in the product's own words, as an output on stderr of its own."""
        self._finish_stream()
        text = text if text.startswith("[mcp-notebook]") else f"[mcp-notebook] {text}"
        self._nodes.append(_stream_node("stderr", text.rstrip("\n") + "\n"))

    def clear(self) -> None:
        """Forget all outputs; counts, times and the latest line stay."""
        self._latest_line, self._stream = self.latest_line, None
        self._nodes = []
        self.held_bytes = 0
        self._spilling.clear()
        self._clear_before_next = False

    def _print(self, name: str, text: str) -> bool:
        if not text:
            return False
        if self._clear_before_next or self._stream is None or self._stream.name != name:
            self._make_room()
            self._stream = _Stream(name, self._spilling.text(len(self._nodes)), StreamMask(self.masking))
            self._nodes.append(_stream_node(name, ""))
        self.held_bytes += _bytes_of(text)
        self._latest_line = _last_line(self._stream.print(text)) or self._latest_line
        return True

    def _masked(self, content: dict[str, Any]) -> dict[str, Any]:
        return content | {"data": self.masking.bundle(content.get("data") or {})}

    def _display(self, msg_type: str, content: dict[str, Any]) -> bool:
        display_id = _display_id(content)
        if display_id:
            self._update(content)
        self._make_room()
        cut = partial(self._spilling.cut, len(self._nodes))
        self.held_bytes += sum(_bytes_of(part) for part in (content.get("data") or {}).values())
        data = _bundle(content.get("data") or {}, cut)
        node = output_node({"output_type": msg_type})
        node["metadata"], node["data"] = output_node(content.get("metadata") or {}), data
        if msg_type == "execute_result":
            node["execution_count"] = content.get("execution_count", self.execution_count)
        if display_id:
            self._displays.register(display_id, node, cut)
        self._nodes.append(node)
        return True

    def _update(self, content: dict[str, Any]) -> int:
        display_id = _display_id(content)
        if not display_id:
            return 0
        return self._displays.update(display_id, content.get("data") or {}, content.get("metadata") or {})

    def _fail(self, content: dict[str, Any]) -> bool:
        self._make_room()
        ename, evalue = content.get("ename", ""), content.get("evalue", "")
        lines = list(content.get("traceback") or ())
        whole = "\n".join(lines)
        self.held_bytes += _bytes_of(whole)
        if evalue not in whole and len(evalue) > self._spilling.limit_chars:
            whole = f"{ename}: {evalue}\n{whole}"
        shown = self._spilling.cut(len(self._nodes), whole)
        if shown != whole:
            lines, evalue = shown.split("\n"), ends_of(evalue)
        error = {"output_type": "error", "ename": ename, "evalue": evalue, "traceback": lines}
        self._nodes.append(output_node(error))
        return True

    def _clear_output(self, *, wait: bool) -> bool:
        if wait:
            self._clear_before_next = True
            return False
        changed = bool(self._nodes)
        self.clear()
        return changed

    def _make_room(self) -> None:
        """Before another output begins."""
        self._finish_stream()
        if self._clear_before_next:
            self.clear()

    def _finish_stream(self) -> None:
        if self._stream:
            self._latest_line = self.latest_line
            self._stream.settle()
            self._nodes[-1] = self._stream.node()
            self._stream = None

    def _change_state(self, state: str, message: Message) -> bool:
        if state not in ("busy", "idle"):
            return False
        self._keep_time(f"iopub.status.{state}", message)
        return state == "idle" and self._stream is not None and self._stream.settle_if_long()

    def _keep_time(self, name: str, message: Message) -> None:
        date = message["header"].get("date")
        if isinstance(date, datetime):
            date = date.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if date:
            self.timings[name] = date


class _Stream:
    """What one stream has printed since the last output of another kind."""

    def __init__(self, name: str, text: "Text", mask: StreamMask) -> None:
        self.name = name
        self.grew = False
        self._terminal = TerminalText()
        self._text = text
        self._mask = mask

    @property
    def current(self) -> str:
        """The unfinished line as it looks now."""
        return self._mask.peek(self._terminal.current)

    def print(self, text: str) -> str:
        """Returns the lines that became complete."""
        self.grew = True
        lines = self._mask.feed(self._terminal.feed(text))
        self._text.append(lines)
        return lines

    def settle(self) -> None:
        """Make the unfinished line part of the text, beyond the reach of carriage returns."""
        self.grew = True
        self._text.append(self._mask.end(self._terminal.current))
        self._terminal = TerminalText()

    def settle_if_long(self) -> bool:
        """After the last message: a text outside the document is whole. True if something changed."""
        line = self.current
        if line and self._text.is_long(len(line)):
            self.settle()
            return True
        return False

    def node(self) -> Output:
        self.grew = False
        return _stream_node(self.name, self._text.shown(self.current))


def _bytes_of(value: Any) -> int:
    text = value if isinstance(value, str) else str(value)
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _stream_node(name: str, text: str) -> Output:
    return output_node({"output_type": "stream", "name": name, "text": text})


def _bundle(data: Mapping[str, Any], cut: Cut | None) -> NotebookNode:
    bundle = bundle_node(data)
    text = bundle.get("text/plain")
    if cut is not None and isinstance(text, str):
        bundle["text/plain"] = cut(text)
    return bundle


def _display_id(content: Mapping[str, Any]) -> str | None:
    display_id: str | None = (content.get("transient") or {}).get("display_id")
    return display_id


def _last_line(lines: str) -> str:
    for line in reversed(lines.rstrip()[-LATEST_LINE_LOOK_CHARS:].split("\n")):
        if shown := plain(line).strip():
            return shown[:LATEST_LINE_CHARS]
    return ""
