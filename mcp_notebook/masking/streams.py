"""Printed text without its secrets, which may come in pieces: of a line, and of a key in many lines."""

import re

from mcp_notebook.masking.forms import KEY_FIELD, KEY_HEADER, PRIVATE_KEY
from mcp_notebook.masking.masking import Masking
from mcp_notebook.terminal import INVISIBLE

HELD_CHARS = 8_192
"""Of a line that does not end. What is longer is no secret."""

_HEADER = re.compile(KEY_HEADER)
_ABOVE = re.compile(rf"\s*(?:{KEY_FIELD})?\s*")
"""A line between the header and the key."""
_LINE = re.compile(r"\s*[A-Za-z0-9+/=]{16,}\s*")
_SHORT = re.compile(r"\s*[A-Za-z0-9+/=]{1,15}\s*")
_UNFINISHED = re.compile(r"(?:[\sA-Za-z0-9+/=]|\\[nr]?)*+")
"""What may become a key's first line."""


class StreamMask:
    """Takes what a terminal has finished, which is whole lines, but for those that never end.

    All of it together is what ``Masking.text`` gives for the whole.
    """

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._held = ""
        """The end of a line that may go on with the rest of a secret, and the lines before it that may be a key's."""
        self._in_key = False

    def feed(self, text: str) -> str:
        """What can be given out now."""
        if not self._masking.enabled or not text:
            return text
        text = self._held + text
        cut = len(text) if text.endswith("\n") else self._before_secrets(text, len(text) - HELD_CHARS)
        masked, unsure, self._in_key = self._masked(text[:cut])
        if len(unsure) > HELD_CHARS:
            masked, unsure, self._in_key = masked + self._masking.text(unsure), "", False
        self._held = unsure + text[cut:]
        return masked

    def end(self, line: str) -> str:
        """The unfinished line, of which no more comes."""
        masked, unsure, self._in_key = self._masked(self._held + line)
        self._held = ""
        return masked + self._masking.text(unsure)

    def peek(self, line: str) -> str:
        """The unfinished line as it may be shown meanwhile."""
        masked, unsure, in_key = self._masked(self._held + line)
        return masked if in_key or not unsure else f"{masked}[masked: {PRIVATE_KEY}]"

    def _before_secrets(self, text: str, cut: int) -> int:
        newline = text.rfind("\n") + 1
        if newline > cut:
            return newline
        return next((start for start, end, _ in self._masking.spans(text) if start < cut < end), cut)

    def _masked(self, text: str) -> tuple[str, str, bool]:
        """``text`` without secrets; its end, if what follows tells what it is; whether a key goes on behind it."""
        if not self._masking.enabled or not text:
            return text, "", self._in_key
        if self._in_key:
            end, goes_on = _end_of_key(text)
            if goes_on:
                return "", text[end:], True
            text = text[end:]
        header = _last_header(text)
        if header is None or (begin := _begin_of_key(text, header.end())) is None:
            return self._masking.text(text), "", False
        before = self._masking.text(text[: header.start()])
        if begin == len(text):
            return before, text[header.start() :], False
        end, goes_on = _end_of_key(text[begin:])
        if not goes_on:
            return self._masking.text(text), "", False
        return f"{before}[masked: {PRIVATE_KEY}]", text[begin + end :], True


def _last_header(text: str) -> re.Match[str] | None:
    if "PRIVATE KEY" not in text:
        return None
    return max(_HEADER.finditer(text), key=re.Match.start, default=None)


def _begin_of_key(text: str, at: int) -> int | None:
    """Where the lines of a key begin behind its header, which ends ``at``: at the end if they may come yet."""
    for line in text[at:].splitlines(keepends=True):
        shown = INVISIBLE.sub("", line)
        if _LINE.fullmatch(shown):
            return at
        if not line.endswith("\n") and _UNFINISHED.fullmatch(shown):
            return len(text)
        if not _ABOVE.fullmatch(shown):
            return None
        at += len(line)
    return at


def _end_of_key(text: str) -> tuple[int, bool]:
    """Where a key ends, within whose lines ``text`` begins, and whether it may go on behind ``text``.

    A short line is its last one: it belongs to the key if the key's footer follows.
    """
    at, last = 0, None
    for line in text.splitlines(keepends=True):
        if "-----END" in line:
            return at + line.rindex("-----") + 5, False
        shown = INVISIBLE.sub("", line)
        if last is None and _SHORT.fullmatch(shown):
            last = at
        elif shown.strip() and (last is not None or not _LINE.fullmatch(shown)):
            return at if last is None else last, False
        at += len(line)
    return at if last is None else last, True
