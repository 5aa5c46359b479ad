"""The text of one mime bundle: the representation that says most to a reader without a screen.

Pure; images are only named here. A mime bundle holds the same thing in several forms, see
https://jupyter-client.readthedocs.io/en/stable/messaging.html#display-data.
"""

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from typing import Any

from mcp_notebook.terminal import plain

SHOWN_IMAGES = ("image/png", "image/jpeg", "image/jpg")
"""In the order in which one is chosen when there are several."""
_BARE = re.compile(r"<[^<>\n]*>")
"""``<Figure size 640x480 with 1 Axes>``: names the object and says nothing of what it shows."""
_SPACES = re.compile(r"\s+")
SCRAP = "application/scrapbook.scrap."
_UNSHOWN = ("image/", "audio/", "video/", "application/pdf")


def bundle_text(data: Mapping[str, Any]) -> str:
    """``text/plain`` when it says something, else Markdown, LaTeX, JSON or the text of HTML.

    What no text stands for is named with its size. Images that can be shown are left to the caller.
    """
    said = plain(_joined(data.get("text/plain", ""))).strip("\n")
    has_image = shown_image(data) is not None
    unshown = [mime for mime in data if mime.startswith(_UNSHOWN) and mime not in SHOWN_IMAGES]
    notes = [] if has_image else [_note(mime, data[mime]) for mime in unshown]
    if said and not _BARE.fullmatch(said):
        return "\n".join([said, *notes])
    if has_image:
        return ""
    return _other_text(data) or "\n".join(notes) or said or "\n".join(_note(*item) for item in data.items())


def shown_image(data: Mapping[str, Any]) -> str | None:
    """The mime type of the image to show, if there is one that clients show."""
    return next((mime for mime in SHOWN_IMAGES if mime in data), None)


def _other_text(data: Mapping[str, Any]) -> str:
    for mime in ("text/markdown", "text/latex"):
        if mime in data:
            return plain(_joined(data[mime])).strip("\n")
    if "application/json" in data:
        return plain(json.dumps(data["application/json"], indent=1, ensure_ascii=False, default=str))
    return _text_of_html(_joined(data.get("text/html", "")))


def _note(mime: str, value: object) -> str:
    if mime.startswith(SCRAP) and isinstance(value, Mapping):
        return f"[kept in the notebook as the scrap {value.get('name')!r}]"
    return f"[{mime}, {_size(mime, value)}, not shown: in the output's resource]"


def _size(mime: str, value: object) -> str:
    text = _joined(value) if isinstance(value, str | list) else json.dumps(value, default=str)
    is_base64 = mime.startswith(_UNSHOWN) and mime != "image/svg+xml"
    count = len(text) * 3 // 4 if is_base64 else len(text.encode("utf-8", "surrogatepass"))
    return f"{count} bytes" if count < 1000 else f"{count / 1000:,.0f} kB"


def _joined(value: object) -> str:
    """nbformat allows a text as a list of its lines."""
    return "".join(str(line) for line in value) if isinstance(value, list) else str(value)


def _text_of_html(html: str) -> str:
    reader = _Text()
    reader.feed(html)
    reader.close()
    lines = (line.strip(" |") for line in "".join(reader.parts).splitlines())
    return plain("\n".join(line for line in lines if line))


class _Text(HTMLParser):
    """Collects what a page would show: cells of a table parted by bars, blocks by newlines."""

    def __init__(self) -> None:
        super().__init__()
        self.parts: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in _HIDDEN

    def handle_endtag(self, tag: str) -> None:
        self._hidden = max(0, self._hidden - (tag in _HIDDEN))
        if tag in ("td", "th"):
            self.parts.append(" | ")
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.parts.append(_SPACES.sub(" ", data))


_HIDDEN = frozenset({"script", "style", "head", "template"})
_BLOCKS = frozenset({"p", "div", "br", "li", "tr", "table", "pre", "h1", "h2", "h3", "h4", "h5", "h6"})
