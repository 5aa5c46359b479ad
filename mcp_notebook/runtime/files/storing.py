"""A new content for a file, written by the conventions that the file has.

Lines end as they did and a byte order mark stays. Data that does not parse is refused before anything is written.
"""

from dataclasses import dataclass
from typing import Any

from mcp_notebook.errors import FileRefused
from mcp_notebook.runtime.files import lint, texts, writing
from mcp_notebook.runtime.files.places import Place


@dataclass(frozen=True)
class Stored:
    """What was written."""

    name: str
    text: str
    bytes_written: int
    before: texts.Text | None

    def lint(self, *, compared: bool = False) -> dict[str, Any]:
        """What the parser of such files says; ``compared`` with what it said of the text before."""
        if not compared or self.before is None:
            return lint.verdict(self.name, self.text)
        return lint.verdict(self.name, self.text, self.before.text)


def store(place: Place, name: str, content: str, before: texts.Text | None = None) -> Stored:
    """Write the content. With ``before``, what it was made from, its lines are ended already.

    Raises:
        FileRefused: it does not parse, cannot be encoded, is no file, or changed since ``before``.
        OSError: the system says no; nothing was changed.
    """
    if refusal := lint.refusal(name, content):
        raise FileRefused(refusal)
    if before is None:
        before = _before(place, name)
        newline, marked = (before.newline, before.marked) if before else _conventions(place)
        content = texts.with_newlines(content, "\r\n") if newline == "\r\n" else content
        expected = None
    else:
        marked, expected = before.marked, before.stamp
    data = texts.encoded(content, marked=marked)
    writing.write(place, data, expected)
    return Stored(name, content, len(data), before)


def _before(place: Place, name: str) -> texts.Text | None:
    """The old text, where the parser is to be asked about it too."""
    if lint.suffix_of(name) not in lint.PARSERS:
        return None
    try:
        return texts.load(place)
    except (FileRefused, OSError):
        return None


def _conventions(place: Place) -> tuple[str | None, bool]:
    try:
        return texts.conventions(place)
    except (FileRefused, OSError):  # a new file, or one that the writing will refuse
        return None, False
