"""Which values of an environment are secrets. Pure.

A variable counts by its name; its value then by what it looks like, for names that look secret also hold
numbers, paths, words and addresses, which must stay readable. URLs count by the password in them, whatever
the variable is called, and JSON by the texts below keys that look secret.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from mcp_notebook.nodes import is_too_deep

SECRET_WORDS = (
    "KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL", "PASSWD", "AUTH", "DSN", "WEBHOOK", "CREDS", "BEARER",
    "APIKEY",
)  # fmt: skip
HARMLESS = ("SSH_AUTH_SOCK", "XAUTHORITY", "DBUS_SESSION_BUS_ADDRESS")
"""Names that look secret and hold none."""
LEAST_CHARS = 8
LONGEST_WORD = 16
LONGEST_NUMBER = 5
"""Digits of a number beside words, such as a port or a year."""

_STRICT = re.compile("PASSWORD|PASSWD|SECRET|TOKEN|API_?KEY|CREDS", re.IGNORECASE)
_AUTHOR = re.compile("AUTHOR(?!I)", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PATH = re.compile(r"(?:~|\.{1,2})?/|[A-Za-z]:[\\/]")
_BASE64_OF_30_BYTES = re.compile(r"(?=.*[0-9])(?=.*[a-z])(?=.*[A-Z])[A-Za-z0-9/+]{40}")
_NUMBER = re.compile(r"[\d.,:_+-]+")
_MAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[A-Za-z]{2,})+")
_BETWEEN_WORDS = re.compile(r"[-_./:,@+=]+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NO_WORD = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}", re.IGNORECASE)
_RANDOM = re.compile(r"(?=[A-Za-z_-]*\d)(?=[\d_-]*[A-Za-z])[A-Za-z0-9_-]{16,}")
_PLACEHOLDER = re.compile(r"[$%]?\{.*\}|<.*>|\$\w+|%\w+%")


def looks_secret(name: str) -> bool:
    """Whether a variable of this name, or a key, is one that programs keep secrets in."""
    upper = name.upper()
    return name not in HARMLESS and any(word in upper for word in SECRET_WORDS)


def values_of(environment: Mapping[str, str], secret: frozenset[str] = frozenset()) -> dict[str, str]:
    """The secret values, each with the name of its variable; those named ``secret`` count by their value alone."""
    found: dict[str, str] = {}
    for name, value in environment.items():
        is_named = name in secret or (looks_secret(name) and not _AUTHOR.search(name))
        for each in _secrets_in(value.strip(), is_named=is_named, is_strict=bool(_STRICT.search(name))):
            found.setdefault(each, name)
    return found


def is_common(value: str, *, is_strict: bool = True) -> bool:
    """Whether it may stand in any text: too short, a number, a path, words, an address, a placeholder.

    Where that is not ``is_strict``, words may have numbers beside them: ``ubuntu22.04``, ``localhost:5432``.
    """
    return (
        len(value) < LEAST_CHARS
        or len(set(value)) < 4
        or _NUMBER.fullmatch(value) is not None
        or (_PATH.match(value) is not None and not _BASE64_OF_30_BYTES.fullmatch(value))
        or _MAIL.fullmatch(value) is not None
        or _PLACEHOLDER.fullmatch(value) is not None
        or _is_words(value, is_strict=is_strict)
    )


def _secrets_in(value: str, *, is_named: bool, is_strict: bool) -> Iterator[str]:
    if _URL.match(value):
        yield from _of_url(value, is_named=is_named)
    elif is_named and value[:1] in ("{", "[") and (data := _json(value)) is not None:
        yield from _of_json(data, is_named=isinstance(data, list))
    elif is_named:
        if not is_common(value, is_strict=is_strict):
            yield value
        if "\n" in value:
            lines = (line.strip() for line in value.splitlines())
            yield from (
                line for line in lines if len(line) >= 16 and not re.search(r"\s", line) and not is_common(line)
            )


def _of_url(value: str, *, is_named: bool) -> Iterator[str]:
    try:
        parts = urlsplit(value)
    except ValueError:
        return
    if parts.password is not None:
        secrets = [each for each in dict.fromkeys((parts.password, unquote(parts.password))) if not is_common(each)]
    else:
        secrets = _RANDOM.findall(f"{parts.path}?{parts.query}") if is_named else []
    yield from secrets
    if is_named and secrets:
        yield value


def _of_json(data: Any, *, is_named: bool) -> Iterator[str]:
    if isinstance(data, Mapping):
        for key, value in data.items():
            yield from _of_json(value, is_named=is_named or looks_secret(str(key)))
    elif isinstance(data, list):
        for value in data:
            yield from _of_json(value, is_named=is_named)
    elif isinstance(data, str):
        yield from _secrets_in(data.strip(), is_named=is_named, is_strict=True)


def _json(value: str) -> Any:
    try:
        data = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return None if is_too_deep(data) else data


def _is_words(value: str, *, is_strict: bool) -> bool:
    pieces = [piece for piece in _BETWEEN_WORDS.split(value) if piece]
    words = [word for piece in pieces for word in _HUMP.split(piece)]
    if sum(map(len, words)) < 3 * len(words):  # humps at random
        words = pieces
    return all(_is_word(word, is_strict=is_strict) for word in words)


def _is_word(word: str, *, is_strict: bool) -> bool:
    letters = word if is_strict else word.rstrip("0123456789")
    if len(word) - len(letters) > LONGEST_NUMBER or len(letters) > LONGEST_WORD:
        return False
    cased = not letters or (
        letters.isascii() and letters.isalpha() and letters[1:] in (letters[1:].lower(), letters[1:].upper())
    )
    return cased and _NO_WORD.search(letters) is None
