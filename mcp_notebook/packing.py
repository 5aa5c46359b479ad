"""JSON as kernels and the journal have it, by pydantic's parser; what that refuses goes to the standard library's.

Refused are halves of surrogate pairs and what is nested very deeply; both do occur in outputs.
"""

import json
from typing import Any

from pydantic_core import from_json, to_json

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_encode_in_ascii = json.JSONEncoder(separators=(",", ":")).encode


def pack(value: Any) -> bytes:
    """Compact JSON in UTF-8; keys of mappings are texts."""
    try:
        return to_json(value, inf_nan_mode="constants")
    except ValueError:
        return pack_nodes(value)


def pack_nodes(value: Any) -> bytes:
    """The same, twice as fast where mappings are of a class of their own, as those of notebooks are."""
    try:
        return _encode(value).encode()
    except UnicodeEncodeError:
        return _encode_in_ascii(value).encode()


def unpack(data: bytes) -> Any:
    """What ``data`` says. Raises ValueError, and RecursionError for what is nested too deeply for Python."""
    try:
        return from_json(data)
    except ValueError:
        return json.loads(data.decode("utf-8", "surrogatepass"))
