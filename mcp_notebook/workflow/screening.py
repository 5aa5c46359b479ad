"""Secrets in what is to be committed: where each is, never what it is. Pure."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mcp_notebook.errors import CommitRefused

FindSecrets = Callable[[str], Iterable[tuple[int, int, str]]]
"""Of a text the places of secrets: from where, to where, and what is there."""

_MOST_NAMED = 10
_BINARY = re.compile(r"(image/(?!svg)|audio/|video/|font/|application/pdf)")
"""Types whose data are base64."""


def refuse_secrets(files: Mapping[str, bytes], said: Mapping[str, str], find: FindSecrets) -> None:
    """Raises CommitRefused if there is a secret in a file, or in what is ``said`` beside; it names the places."""
    places = [f"{what} ({label})" for what, text in said.items() for _, _, label in find(text)]
    places = list(dict.fromkeys([*places, *secrets_in(files, find)]))
    if not places:
        return
    more = f" and {len(places) - _MOST_NAMED} more" if len(places) > _MOST_NAMED else ""
    raise CommitRefused(
        f"Nothing was committed, since there would be a secret in it: {'; '.join(places[:_MOST_NAMED])}{more}. Take it "
        "out (read it from os.environ instead) and, if it was ever shared, revoke it. Then save and commit again. If "
        "it is none, the user can commit it himself, with git."
    )


def secrets_in(files: Mapping[str, bytes], find: FindSecrets) -> list[str]:
    """The place and the kind of each secret."""
    places = []
    for name, data in files.items():
        if in_name := [f"the name of a file ({label})" for _, _, label in find(name)]:
            places += in_name  # and no place inside of it, which would repeat the name
            continue
        texts = _parts(name, data, find) if name.endswith(".ipynb") else None
        for where, text in texts or [(name, data.decode(errors="replace"))]:
            places += [f"{where} line {_line(text, start)} ({label})" for start, _, label in find(text)]
    return places


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _parts(name: str, data: bytes, find: FindSecrets) -> Sequence[tuple[str, str]] | None:
    """Places and texts of a notebook's JSON, so that a place is a cell and a line; None if it is none."""
    try:
        document = json.loads(data)
        cells = [cell for cell in document.pop("cells") if isinstance(cell, dict)]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    found = [(f"{name} metadata", _text(document))]
    for index, cell in enumerate(cells):
        number = f"#{index}"
        own = str(cell.get("id", number))
        where = f"{name} cell {number if list(find(own)) else own}"
        found.append((where, _joined(cell.pop("source", ""))))
        found += [(f"{where} output", text) for text in _outputs(cell.pop("outputs", None))]
        attached = cell.pop("attachments", None)
        bundles = attached.items() if isinstance(attached, dict) else ()
        found += [(f"{where} attachment", text) for each, bundle in bundles for text in (each, *_bundle(bundle))]
        found.append((f"{where} metadata", _text(cell)))
    return found


def _outputs(outputs: Any) -> Iterator[str]:
    for output in outputs if isinstance(outputs, list) else ():
        if isinstance(output, dict):
            yield from _bundle(output.pop("data", None))
            yield _joined(output.pop("text", ""))
            yield from map(_text, output.values())


def _bundle(bundle: Any) -> Iterator[str]:
    """Of data by their types."""
    if isinstance(bundle, dict):
        yield from (_joined(value) for mime, value in bundle.items() if not _BINARY.match(mime))


def _joined(value: Any) -> str:
    """A text of several lines, which notebooks also have as a list."""
    is_lines = isinstance(value, list) and all(isinstance(part, str) for part in value)
    return "".join(value) if is_lines else _text(value)


def _text(value: Any) -> str:
    """All that is in it, by lines; not as JSON, which writes some letters in another way."""
    if isinstance(value, dict):
        return "\n".join(f"{name}: {_text(each)}" for name, each in value.items())
    return "\n".join(map(_text, value)) if isinstance(value, list) else str(value)
