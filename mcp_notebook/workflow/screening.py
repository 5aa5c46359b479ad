"""Secrets in what is to be committed: where each is, never what it is. Pure."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from mcp_notebook.errors import CommitRefused

FindSecrets = Callable[[str], Iterable[tuple[int, int, str]]]
"""Of a text the places of secrets: from where, to where, and what is there."""

_MOST_NAMED = 10
_BINARY = ("image/", "audio/", "video/", "font/", "application/pdf")


def refuse_secrets(files: Mapping[str, bytes], message: str, find: FindSecrets) -> None:
    """Raises CommitRefused if there is a secret in a file or in the message; it names the places."""
    places = [f"the message ({label})" for _, _, label in find(message)]
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
        texts = _cells(name, data) if name.endswith(".ipynb") else None
        for where, text in texts or [(name, data.decode(errors="replace"))]:
            places += [f"{where} line {_line(text, start)} ({label})" for start, _, label in find(text)]
    return places


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


def _cells(name: str, data: bytes) -> Sequence[tuple[str, str]] | None:
    """Places and texts of a notebook's JSON, so that a place is a cell and a line; None if it is none."""
    try:
        document = json.loads(data)
        cells = [cell for cell in document["cells"] if isinstance(cell, dict)]
    except (ValueError, LookupError, TypeError, RecursionError):
        return None
    found = [(f"{name} metadata", _dumped(document.get("metadata", {})))]
    for index, cell in enumerate(cells):
        where = f"{name} cell {cell.get('id', f'#{index}')}"
        found.append((where, _joined(cell.get("source", ""))))
        found.append((f"{where} metadata", _dumped(cell.get("metadata", {}))))
        found += [(f"{where} output", text) for text in _outputs(cell.get("outputs") or [])]
    return found


def _outputs(outputs: Iterable[Any]) -> Iterator[str]:
    for output in outputs:
        if isinstance(output, dict):
            yield from (_joined(output[key]) for key in ("text", "evalue", "traceback") if key in output)
            bundle = output["data"] if isinstance(output.get("data"), dict) else {}
            yield from (_joined(value) for mime, value in bundle.items() if not mime.startswith(_BINARY))


def _joined(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return "".join(value)
    return _dumped(value)


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=0)
