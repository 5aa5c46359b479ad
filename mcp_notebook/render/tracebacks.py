"""Shorten the traceback of an error output to what its reader can act on.

Pure. Knows the forms in which IPython 7, 8 and 9 write frames (``Cell In[3], line 2``,
``Input In [3], in f(x)``, ``<ipython-input-3-...> in f(x)``, ``File path:12, in f(x)``,
and those of ``%xmode Plain``). A traceback of another language is left as it is.
"""

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath

from nbformat import NotebookNode

from mcp_notebook.terminal import plain

MOST_FRAMES = 12
"""Of more frames in a row (a recursion) the first and the last few are kept."""
_ENDS = 4
_PYTHON = re.compile(r"Traceback \(most recent call last\)")
_FRAME = re.compile(
    r"(?:  )?(?:"
    r"(?:Cell|Input) In ?\[\d+\][, ].*"
    r"|<ipython-input-\d+-\w+> in .*"
    r'|File "[^"]+", line \d+.*'
    r"|File \S.*?:\d+(?:,? in .*)?"
    r"|File \S.*? in .*"
    r"|[~/<.\w][^()]*(?:\.py|\.pyx|\.pxi|>) in .*"
    r")"
)
_BODY = re.compile(r"\s+\S|\d+ |-+> ?\d")
_INSTALLED = re.compile(r"site-packages|dist-packages|\.pyx\b|\.pxi\b")
_STANDARD = re.compile(r"[/\\]lib[/\\]python\d|[/\\]Lib[/\\]|<frozen |<decorator-gen|<__array_function__")
_RULE = re.compile(r"-{20,}")


@dataclass(frozen=True)
class _Block:
    kind: str  # "text", "kept" or "folded"
    lines: list[str]


def traceback_text(output: NotebookNode) -> str:
    """The traceback with each run of library frames folded into one line that counts them.

    Frames of cells and of the user's own modules stay, and so does everything from the
    exception's last line on, whatever its message looks like.
    """
    summary = plain(f"{output.get('ename', '')}: {output.get('evalue', '')}")
    entries = [plain(str(entry)) for entry in output.get("traceback") or []]
    if not any(entry.strip() for entry in entries):
        return summary
    frames, end = _split_end(entries, summary)
    if not _PYTHON.search(frames):
        return "\n".join(entries)
    text = "\n".join([*_shortened(_blocks(frames)), *([end] if end else [])])
    return text if _says(text, str(output.get("ename", ""))) else f"{text}\n{summary}"


def _says(text: str, ename: str) -> bool:
    """Whether the exception's own line is there: IPython writes some otherwise than ``evalue``."""
    return re.search(rf"^(?:[\w.]+\.)?{re.escape(ename)}(?::|$)", text, re.MULTILINE) is not None


def _split_end(entries: list[str], summary: str) -> tuple[str, str]:
    """The text before the exception's own lines, and these: a message may look like a frame."""
    if len(entries) > 1 and not _FRAME.match(entries[-1]):
        return "\n".join(entries[:-1]), entries[-1]
    text = "\n".join(entries)
    at = text.rfind(summary.strip())
    return (text[:at], text[at:]) if at > 0 else (text, "")


def _blocks(text: str) -> list[_Block]:
    """Frames with their lines of source, and each line that belongs to none."""
    blocks: list[_Block] = []
    in_frame = False
    for line in text.split("\n"):
        if _FRAME.fullmatch(line):
            blocks.append(_Block("folded" if _library(line) else "kept", [line]))
            in_frame = True
        elif in_frame and _BODY.match(line):
            blocks[-1].lines.append(line)
        elif line.strip() or not in_frame:
            in_frame = False
            blocks.append(_Block("text", [line]))
    return blocks


def _shortened(blocks: list[_Block]) -> list[str]:
    lines: list[str] = []
    for kind, run in groupby(blocks, key=lambda block: block.kind):
        texts = ["\n".join(block.lines) for block in run]
        if kind == "folded":
            lines.append(_fold(texts))
        elif kind == "kept":
            lines.extend(_without_middle(texts))
        else:
            lines.extend(_headings(texts))
    return lines


def _library(header: str) -> str | None:
    if _INSTALLED.search(header):  # first, since it lies in lib/python3.x too
        return "site-packages"
    return "the standard library" if _STANDARD.search(header) else None


def _fold(frames: list[str]) -> str:
    headers = [frame.partition("\n")[0] for frame in frames]
    places = dict.fromkeys(_library(header) for header in headers)
    count = f"{len(frames)} frame{'s' * (len(frames) > 1)}"
    return f"... {count} in {' and '.join(filter(None, places))} (last: {_short_header(headers[-1])})"


def _short_header(header: str) -> str:
    """``File /long/way/json/decoder.py:353, in f(a, b)`` as ``json/decoder.py:353, in f``."""
    place, said, function = header.strip().removeprefix("File ").partition(" in ")
    path = PurePosixPath(place.replace("\\", "/").replace('"', ""))
    return "/".join(path.parts[-2:]) + said + function.partition("(")[0]


def _without_middle(frames: list[str]) -> list[str]:
    if len(frames) <= MOST_FRAMES:
        return frames
    left_out = f"... {len(frames) - 2 * _ENDS} more frames"
    return [*frames[:_ENDS], left_out, *frames[-_ENDS:]]


def _headings(lines: list[str]) -> list[str]:
    """The lines between frames, without the dashes and the wide gap that IPython draws."""
    return [
        re.sub(r"(?<! ) {2,}(?=Traceback \(most)", " ", line) for line in lines if not _RULE.fullmatch(line.strip())
    ]
