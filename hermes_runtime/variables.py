"""What is defined in a Python kernel: names, types, shapes, sizes, short previews.

Sent into the kernel as source when first asked for; standard library only. It is called beside running code,
so it changes nothing, imports nothing, and reads the values of known types only in ways that cannot take long; a
``repr`` of the user's own is called and may.
"""

from __future__ import annotations

import inspect
import reprlib
import sys
import time
import types
from itertools import islice
from typing import Any

MOST = 200
PREVIEW_CHARS = 120
DEPTH_CHARS = 4000
MOST_ITEMS = 20
PREVIEWS_WITHIN_S = 2.0
"""Then variables are only named: their reprs take too long."""
MOST_PREVIEWED_ROWS = 1_000_000
"""Larger arrays and tables are described, not printed."""


def overview(shell: Any) -> dict[str, Any]:
    """The user's variables: at most ``MOST``, in the order of their definition, and how many there are."""
    names = _user_names(shell)
    until = time.monotonic() + PREVIEWS_WITHIN_S
    variables = []
    for name in names[:MOST]:
        if name in shell.user_ns:
            value = shell.user_ns[name]
            in_time = time.monotonic() < until
            variables.append(_summary(name, value) if in_time else {"name": name, "type": _type_name(value)})
    return {"variables": variables, "total": len(names)}


def detail(shell: Any, name: str) -> dict[str, Any]:
    """One variable in depth; ``{"found": False, "names": [...]}`` when there is none of that name."""
    if name not in shell.user_ns:
        return {"found": False, "names": _user_names(shell)[:MOST]}
    value = shell.user_ns[name]
    found = {"found": True, **_summary(name, value), "preview": _preview(value, DEPTH_CHARS)}
    doc = inspect.getdoc(value) if callable(value) or _is_a(value, types.ModuleType) else None
    if doc:
        found["doc"] = doc[:DEPTH_CHARS]
    if _is_a(value, types.FunctionType, type):
        found["signature"] = _signature(value)
    found.update(_parts(value))
    return found


def _user_names(shell: Any) -> list[str]:
    hidden = shell.user_ns_hidden
    return [
        name
        for name, value in list(shell.user_ns.items())
        if not name.startswith("_") and name not in hidden and not _is_a(value, types.ModuleType)
    ]


def _summary(name: str, value: Any) -> dict[str, Any]:
    summary: dict[str, Any] = {"name": name, "type": _type_name(value)}
    shape = _shape(value)
    if shape is not None:
        summary["shape"] = shape
    size = _size(value)
    if size is not None:
        summary["size_bytes"] = size
    summary["preview"] = _preview(value, PREVIEW_CHARS)
    return summary


def _type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _shape(value: Any) -> list[int] | None:
    """The shape of an array or table, the length of a container."""
    try:
        if _has(value, "shape"):
            return [int(n) for n in value.shape]
        if _is_a(value, str, bytes, list, tuple, dict, set, frozenset):
            return [len(value)]
    except BaseException:  # a foreign object may raise anything
        return None
    return None


def _size(value: Any) -> int | None:
    try:
        if _has(value, "nbytes"):
            return int(value.nbytes)
        if _has(value, "memory_usage") and _has(value, "columns"):
            return int(value.memory_usage(deep=False).sum())  # getsizeof would visit every text of a table
        return sys.getsizeof(value)
    except BaseException:  # a foreign object may raise anything
        return None


def _preview(value: Any, chars: int) -> str:
    try:
        text = _text(value, chars)
    except BaseException as exc:  # a repr may raise anything
        text = f"<its repr raised {type(exc).__name__}>"
    return text if len(text) <= chars else text[: chars - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _text(value: Any, chars: int) -> str:
    shape = _shape(value)
    if _has(value, "shape") and shape and _product(shape) > MOST_PREVIEWED_ROWS:
        return f"<{_type_name(value)} of {' x '.join(map(str, shape))}>"
    short = _Short()
    short.maxstring = short.maxother = chars
    short.maxlist = short.maxtuple = short.maxset = short.maxfrozenset = short.maxdict = MOST_ITEMS
    return short.repr(value)


class _Short(reprlib.Repr):
    """Looks at the beginning of a value only, where the standard one sorts or prints all of it."""

    def repr_dict(self, value: dict[Any, Any], level: int) -> str:
        return super().repr_dict(dict(islice(value.items(), self.maxdict + 1)), level)

    def repr_set(self, value: set[Any], level: int) -> str:
        return super().repr_set(set(islice(value, self.maxset + 1)), level)

    def repr_frozenset(self, value: frozenset[Any], level: int) -> str:
        return super().repr_frozenset(frozenset(islice(value, self.maxfrozenset + 1)), level)

    def repr_bytes(self, value: bytes | bytearray, _level: int) -> str:
        return repr(value[: self.maxother]) + ("..." if len(value) > self.maxother else "")

    repr_bytearray = repr_bytes


def _parts(value: Any) -> dict[str, Any]:
    """What a value is made of: items of a container, columns of a table, attributes of an object."""
    try:
        if _is_a(value, dict):
            items = islice(value.items(), MOST_ITEMS)
            return {"items": {_preview(key, PREVIEW_CHARS): _preview(item, PREVIEW_CHARS) for key, item in items}}
        if _is_a(value, list, tuple):
            return {"items": [_preview(item, PREVIEW_CHARS) for item in value[:MOST_ITEMS]]}
        if _has(value, "dtypes") and _has(value, "columns"):
            columns = list(value.columns)[: MOST_ITEMS * 5]
            return {"columns": {str(column): str(kind) for column, kind in zip(columns, value.dtypes)}}  # noqa: B905 - Python 3.9
        if _has(value, "dtype"):
            return {"dtype": str(value.dtype)}
        attributes = [name for name in vars(value) if not name.startswith("_")] if hasattr(value, "__dict__") else []
        return {"attributes": attributes[: MOST_ITEMS * 5]} if attributes else {}
    except BaseException:  # a foreign object may raise anything
        return {}


def _is_a(value: Any, *kinds: type) -> bool:
    """Asks the class alone: ``isinstance`` asks the value too, and a proxy's answer may raise."""
    return issubclass(type(value), kinds)


def _has(value: Any, attribute: str) -> bool:
    """Asks the class, so that an object that makes up its attributes is not woken."""
    return inspect.getattr_static(type(value), attribute, None) is not None


def _signature(value: Any) -> str:
    try:
        return f"{value.__name__}{inspect.signature(value)}"
    except (TypeError, ValueError):
        return str(value.__name__)


def _product(numbers: list[int]) -> int:
    product = 1
    for number in numbers:
        product *= number
    return product
