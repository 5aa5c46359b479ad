"""What is masked in the outputs of one session, and how."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, TypeVar

from mcp_notebook.errors import NotebookError
from mcp_notebook.masking.forms import PASSWORD, SHORTEST_TOKEN, Span, forms_of, tokens_in
from mcp_notebook.masking.values import is_common, values_of
from mcp_notebook.nodes import is_too_deep
from mcp_notebook.terminal import CONTROLS, INVISIBLE

OWN = "by mask_patterns"

_BINARY = re.compile(r"image/(?!svg)|audio/|video/|font/|application/(?:pdf|octet-stream|zip)")

Cell = TypeVar("Cell", bound=MutableMapping[str, Any])


@dataclass(frozen=True)
class _Known:
    """The values that are secret; replaced as a whole, since other threads may be masking."""

    needles: tuple[str, ...]
    """Of which each form of a value contains one."""
    pattern: re.Pattern[str]
    """Of all forms; the number of the group that matched is that of the needle, from 1."""
    labels: tuple[str, ...]


class Masking:
    """It only ever learns: a kernel keeps what it was given, whoever uses it later."""

    def __init__(self, patterns: Sequence[str] = (), *, secret: Sequence[str] = (), enabled: bool = True) -> None:
        """``patterns`` are regular expressions of what is masked besides; ``secret`` are patterns (fnmatch) of the
        names of variables that are secret though they do not look it.

        Raises:
            re.error: one of ``patterns`` is none.
        """
        self.enabled = enabled
        self._secret = secret
        self._own = [re.compile(pattern) for pattern in patterns]
        self._values: dict[str, str] = {}
        """The name of the variable, by value."""
        self._known: _Known | None = None
        self._least_chars = 1 if self._own else SHORTEST_TOKEN

    @property
    def names(self) -> list[str]:
        """The variables whose values are masked."""
        return sorted(set(self._values.values()))

    def learn(self, environment: Mapping[str, str]) -> bool:
        """Mask the secrets in it; True if some are new."""
        if not self.enabled:
            return False
        named = {name for name in environment if any(fnmatchcase(name, pattern) for pattern in self._secret)}
        found = values_of(environment, frozenset(named))
        new = {value: name for value, name in found.items() if value not in self._values}
        if new:
            self._values |= new
            self._compile()
        return bool(new)

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """What the block raises of ours tells no secret, such as one that a program has printed."""
        try:
            yield
        except NotebookError as exc:
            exc.args = (self.text(str(exc)),)
            raise

    def text(self, text: str) -> str:
        """``text``, with ``[masked: NAME]`` in place of each secret; the same object where there is none."""
        spans = self.spans(text)
        if not spans:
            return text
        parts, at = [], 0
        for start, end, label in spans:
            # Colours that begin or end within it go on behind it.
            parts += [text[at:start], f"[masked: {label}]", *INVISIBLE.findall(text, start, end)]
            at = end
        return "".join((*parts, text[at:]))

    def spans(self, text: str) -> list[Span]:
        """Where secrets are, in order and apart from each other; colours and control characters hide none."""
        if not self.enabled or len(text) < self._least_chars:
            return []
        if not CONTROLS.search(text):
            return self._found(text)
        shown, places = _shown(text)
        return [(_place(places, start), _place(places, end - 1) + 1, label) for start, end, label in self._found(shown)]

    def data(self, value: Any) -> Any:
        """The same for the texts in lists and mappings; keys stay, and so does what no notebook can hold."""
        return value if is_too_deep(value) else self._data(value)

    def bundle(self, data: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same for a mime bundle, whose images and other binary data stay."""
        if not self.enabled:
            return data
        return {mime: value if _BINARY.match(mime) else self.data(value) for mime, value in data.items()}

    def cells(self, cells: Iterable[Cell]) -> list[Cell]:
        """Mask the outputs of these cells, in place; returns the cells that had a secret."""
        return [cell for cell in cells if sum(map(self._mask, cell.get("outputs") or ()))]

    def _data(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {key: self._data(item) for key, item in value.items()}
        return [self._data(item) for item in value] if isinstance(value, list | tuple) else value

    def _mask(self, output: MutableMapping[str, Any]) -> bool:
        masked = {name: self.data(output[name]) for name in ("text", "evalue", "traceback") if name in output}
        if "data" in output:
            masked["data"] = self.bundle(output["data"])
        changed = {name: value for name, value in masked.items() if value != output[name]}
        output.update(changed)
        return bool(changed)

    def _compile(self) -> None:
        forms = {needle: (form, name) for value, name in self._values.items() for needle, form in forms_of(value)}
        needles = sorted(forms, key=len, reverse=True)
        pattern = re.compile("|".join(f"({forms[needle][0]})" for needle in needles), re.ASCII)
        self._least_chars = 1 if self._own else min(SHORTEST_TOKEN, *map(len, needles))
        self._known = _Known(tuple(needles), pattern, tuple(forms[needle][1] for needle in needles))

    def _found(self, text: str) -> list[Span]:
        found: list[Span] = []
        known = self._known
        if known is not None and any(needle in text for needle in known.needles):
            found += [
                (*each.span(), known.labels[each.lastindex - 1])
                for each in known.pattern.finditer(text)
                if each.lastindex
            ]
        found += [each for each in tokens_in(text) if not (each[2] == PASSWORD and is_common(text[each[0] : each[1]]))]
        found += [(*each.span(), OWN) for pattern in self._own for each in pattern.finditer(text)]
        return _apart(found)


def _apart(spans: list[Span]) -> list[Span]:
    """In order; those that overlap are one, under the name of the first."""
    apart: list[Span] = []
    for start, end, label in sorted(spans, key=lambda span: (span[0], -span[1])):
        if start == end:  # of a pattern of the user's
            continue
        if apart and start < apart[-1][1]:
            first, last, name = apart[-1]
            apart[-1] = (first, max(last, end), name)
        else:
            apart.append((start, end, label))
    return apart


def _shown(text: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without what is not shown, and where its pieces begin: in it, and in ``text``."""
    pieces: list[str] = []
    places: list[tuple[int, int]] = []
    at = chars = 0
    for hidden in INVISIBLE.finditer(text):
        if hidden.start() > at:
            places.append((chars, at))
            pieces.append(text[at : hidden.start()])
            chars += hidden.start() - at
        at = hidden.end()
    places.append((chars, at))
    return "".join((*pieces, text[at:])), places


def _place(places: list[tuple[int, int]], char: int) -> int:
    shown, there = places[bisect_right(places, char, key=lambda place: place[0]) - 1]
    return there + char - shown
