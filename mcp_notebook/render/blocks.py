"""Outputs of a cell as MCP content blocks, within what a reader and the wire can bear.

Pure but for the time that images take: call ``render`` from a thread when there may be
some. Nothing here changes an output. The blocks are those of
https://modelcontextprotocol.io/specification/2025-11-25/server/tools#tool-result.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mcp_types import ContentBlock, ImageContent, TextContent

from mcp_notebook.long_text import kept_outside
from mcp_notebook.outputs import Output
from mcp_notebook.render.bundles import bundle_text, shown_image
from mcp_notebook.render.tracebacks import traceback_text
from mcp_notebook.terminal import plain

MOST_BYTES = 60_000
"""Of text in one result, as UTF-8."""
MOST_IMAGES = 8
MOST_IMAGE_CHARS = 700_000
"""Of base64 in one result: with 60 KB of text, escaped three times as long, below 900 KB."""
_HEAD_SHARE = 0.6
_NOTE_CHARS = 80


@dataclass(frozen=True)
class _Body:
    """All text of a result, and the images with the place in the text where each belongs."""

    text: str
    images: list[tuple[int, ImageContent]]


def header_line(
    *,
    execution_count: int | None,
    status: str,
    elapsed_s: float | None,
    cell_id: str,
    revision: str,
    more: str = "",
) -> str:
    """``[7] ok 0.31 s cell=a1b2c3d4 rev=9f86d081``; ``[ ]`` where nothing was counted."""
    count = "[ ]" if execution_count is None else f"[{execution_count}]"
    elapsed = "" if elapsed_s is None else f"{elapsed_s:.2f} s"
    parts = (count, status, elapsed, f"cell={cell_id}", f"rev={revision}", more)
    return " ".join(part for part in parts if part)


def output_text(output: Output) -> str:
    """One output as text, its image as ``[image/png 640x480]``."""
    text = _text(output)
    mime = shown_image(_data(output))
    return _joined([text, _label(mime, output)]) if mime else text


def outputs_text(outputs: Sequence[Output]) -> str:
    """All outputs of a cell in order, each beginning a line."""
    return _joined(output_text(output) for output in outputs)


def render(header: str, outputs: Sequence[Output], *, chars: int, more: str, images: bool = True) -> list[ContentBlock]:
    """The header, then the outputs: text in as few blocks as the images between allow.

    Beyond ``chars`` (or 60 KB) the middle of the text is left out, and the result ends with
    ``more``, the call that fetches it. Of more than 8 images the further ones are named.
    """
    header = shortened(_sound(header), max(chars, 1000), MOST_BYTES // 2)
    body = _illustrated(outputs) if images else _Body(outputs_text(outputs), [])
    room = chars - len(header) - len(more) - _NOTE_CHARS
    size = MOST_BYTES - len(header.encode()) - len(more.encode()) - _NOTE_CHARS
    gap = _gap(body.text, room, size)
    if gap is None:
        return _blocks(header, body, "")
    return _blocks(header, _without(body, *gap), _sound(more))


def shortened(text: str, chars: int, size: int = MOST_BYTES) -> str:
    """Head and tail of a text of more than ``chars`` characters or ``size`` bytes of UTF-8."""
    gap = _gap(text, chars - _NOTE_CHARS, size - _NOTE_CHARS) if _is_over(text, chars, size) else None
    return text if gap is None else _without(_Body(text, []), *gap).text


def _text(output: Output) -> str:
    match output.get("output_type"):
        case "stream":
            text = output.get("text", "")
            return _sound(plain("".join(text) if isinstance(text, list) else str(text)))
        case "error":
            return _sound(traceback_text(output))
    return _sound(bundle_text(_data(output)))


def _data(output: Output) -> Mapping[str, Any]:
    data = output.get("data")
    return data if isinstance(data, dict) else {}


def _label(mime: str, output: Output) -> str:
    from mcp_notebook.render import images  # Pillow costs 10 ms, which results without images need not pay

    return images.label(mime, _data(output)[mime])


def _illustrated(outputs: Sequence[Output]) -> _Body:
    """Text and images in order; an image that cannot be shown, or is one too many, as text."""
    shown, notes = _pictures(outputs)
    parts: list[str] = []
    placed: list[tuple[int, ImageContent]] = []
    at = 0
    for index, output in enumerate(outputs):
        part = _joined([_text(output), notes.get(index, "")])
        if part and at and not parts[-1].endswith("\n"):
            part = f"\n{part}"
        if part:
            parts.append(part)
            at += len(part)
        if index in shown:
            placed.append((at, shown[index]))
    return _Body("".join(parts), placed)


def _pictures(outputs: Sequence[Output]) -> tuple[dict[int, ImageContent], dict[int, str]]:
    """By index of the output: the images to show, and what is to be said of images."""
    wanted = [(index, mime) for index, output in enumerate(outputs) if (mime := shown_image(_data(output)))]
    if not wanted:
        return {}, {}
    from mcp_notebook.render import images  # Pillow costs 10 ms, which results without images need not pay

    pictures: dict[int, images.Picture] = {}
    notes: dict[int, str] = {}
    for done, (index, mime) in enumerate(wanted):
        if len(pictures) == MOST_IMAGES:
            notes[index] = _too_many(len(wanted) - done)
            break
        try:
            pictures[index] = images.read(_data(outputs[index])[mime])
        except images.ImageError as exc:
            notes[index] = f"[{mime}, {exc}]"
    fitted = dict(zip(pictures, images.fit(list(pictures.values()), MOST_IMAGE_CHARS), strict=True))
    notes |= {index: picture.note for index, picture in fitted.items() if picture.note}
    return {i: ImageContent(data=p.data, mime_type=p.mime) for i, p in fitted.items()}, notes


def _too_many(left: int) -> str:
    images = "1 more image is" if left == 1 else f"{left:,} more images are"
    return (
        f"[{images} in the notebook and not shown here: {MOST_IMAGES} are the most in one answer. "
        "To see one, display it alone in a cell]"
    )


def _is_over(text: str, chars: int, size: int) -> bool:
    return len(text) > chars or (len(text) * 4 > size and len(text.encode()) > size)


def _gap(text: str, chars: int, size: int) -> tuple[int, int] | None:
    """Start and end of what is left out, at line boundaries where there are some near."""
    if not _is_over(text, chars, size):
        return None
    start = _head(text, int(chars * _HEAD_SHARE), int(size * _HEAD_SHARE))
    end = len(text) - _tail(text, int(chars * (1 - _HEAD_SHARE)), int(size * (1 - _HEAD_SHARE)))
    return start, max(start, end)


def _head(text: str, chars: int, size: int) -> int:
    """How many characters from the start on fit."""
    if chars <= 0 or size <= 0:
        return 0
    piece = text[:chars].encode()[:size].decode(errors="ignore")
    newline = piece.rfind("\n")
    return newline + 1 if newline >= len(piece) // 2 else len(piece)


def _tail(text: str, chars: int, size: int) -> int:
    """How many characters at the end fit."""
    if chars <= 0 or size <= 0:
        return 0
    piece = text[-chars:].encode()[-size:].decode(errors="ignore")
    newline = piece.find("\n")
    return len(piece) - newline - 1 if 0 <= newline < len(piece) // 2 else len(piece)


def _without(body: _Body, start: int, end: int) -> _Body:
    """The body with a note in place of ``text[start:end]``; images that stood there follow the note."""
    text = body.text
    outside = kept_outside(text[start:end])
    lines = "" if outside else f" ({text.count(chr(10), start, end):,} lines)"
    before = "" if start == 0 or text[start - 1] == "\n" else "\n"
    note = f"{before}[... {end - start + outside:,} characters{lines} left out ...]\n"
    shift = start + len(note) - end

    def moved(at: int) -> int:
        return at if at <= start else max(at, end) + shift

    return _Body(text[:start] + note + text[end:], [(moved(at), image) for at, image in body.images])


def _blocks(header: str, body: _Body, more: str) -> list[ContentBlock]:
    blocks: list[ContentBlock] = []
    pending, at = f"{header}\n", 0
    for place, image in body.images:
        blocks += _text_block(pending + body.text[at:place])
        blocks.append(image)
        pending, at = "", place
    rest = _joined([pending + body.text[at:], more])
    return blocks + _text_block(rest)


def _text_block(text: str) -> list[ContentBlock]:
    stripped = text.strip("\n")
    return [TextContent(text=stripped)] if stripped else []


def _joined(texts: Iterable[str]) -> str:
    """The texts that are not empty, each beginning a line."""
    parts: list[str] = []
    for text in texts:
        if text:
            parts.append(text if not parts or parts[-1].endswith("\n") else f"\n{text}")
    return "".join(parts)


def _sound(text: str) -> str:
    """Without lone surrogates, which neither UTF-8 nor JSON can carry; pairs become what they mean."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
