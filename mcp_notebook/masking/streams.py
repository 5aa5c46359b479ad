"""Printed text without its secrets, which may come in pieces: of a line, and of a key in many lines."""

import re

from mcp_notebook.masking.forms import PRIVATE_KEY
from mcp_notebook.masking.masking import Masking

HELD_CHARS = 8_192
"""Of a line that does not end. What is longer is no secret."""

_KEY_LINE = re.compile(r"\s*(?:[A-Za-z0-9+/=]{0,80}|(?:Proc-Type|DEK-Info|Comment|Version):.*)\s*")


class StreamMask:
    """Takes what a terminal has finished, which is whole lines, but for those that never end."""

    def __init__(self, masking: Masking) -> None:
        self._masking = masking
        self._held = ""
        """The end of a line that may go on with the rest of a secret."""
        self._in_key = False

    def feed(self, text: str) -> str:
        """What can be given out now."""
        if not self._masking.enabled or not text:
            return text
        text = self._held + text
        cut = len(text) if text.endswith("\n") else self._before_secrets(text, len(text) - HELD_CHARS)
        self._held = text[cut:]
        masked, self._in_key = self._masked(text[:cut])
        return masked

    def end(self, line: str) -> str:
        """The unfinished line, of which no more comes."""
        text, self._held = self._held + line, ""
        masked, self._in_key = self._masked(text)
        return masked

    def peek(self, line: str) -> str:
        """The unfinished line as it may be shown meanwhile."""
        return self._masked(self._held + line)[0]

    def _before_secrets(self, text: str, cut: int) -> int:
        newline = text.rfind("\n") + 1
        if newline > cut:
            return newline
        return next((start for start, end, _ in self._masking.spans(text) if start < cut < end), cut)

    def _masked(self, text: str) -> tuple[str, bool]:
        """``text`` without secrets, and whether a key goes on behind it."""
        if not self._masking.enabled or not text:
            return text, self._in_key
        in_key = self._in_key
        if in_key:
            text, in_key = _after_key(text)
        begun = text.rfind("-----BEGIN", 0, max(0, text.rfind("PRIVATE KEY")))
        if begun >= 0 and _after_key(text[begun:].partition("\n")[2])[1]:
            return f"{self._masking.text(text[:begun])}[masked: {PRIVATE_KEY}]", True
        return self._masking.text(text), in_key


def _after_key(text: str) -> tuple[str, bool]:
    """What comes behind the lines of a key, and whether the key goes on."""
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if "-----END" in line:
            return "".join((line.rpartition("-----")[2], *lines[number + 1 :])), False
        if not _KEY_LINE.fullmatch(line):
            return "".join(lines[number:]), False
    return "", True
