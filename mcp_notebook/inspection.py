"""What is defined in a kernel, asked for on its control channel."""

import itertools
import json
from functools import lru_cache
from typing import Any

import anyio.to_thread

from mcp_notebook.errors import BadRequest
from mcp_notebook.kernels.base import Kernel
from mcp_notebook.kernels.launch import RUNTIME

MOST_BYTES = 24_000
"""Of JSON, which is sent twice, as text and as structured content."""


async def inspect_kernel(kernel: Kernel, name: str | None) -> dict[str, Any]:
    """``{"variables": [...], "total": n}`` with as many as fit, or one variable in depth.

    See ``hermes_runtime/variables.py``.

    Raises:
        BadRequest: no variable of that name.
        KernelError: not a Python kernel, or it did not answer.
    """
    call, args = ("variables.detail", {"name": name}) if name else ("variables.overview", {})
    answer: dict[str, Any] = await kernel.ask(call, args)
    if "send_source" in answer:
        source = await anyio.to_thread.run_sync(_source)
        answer = await kernel.ask(call, args, source=source)
    if answer.get("found") is False:
        known = ", ".join(answer["names"]) or "nothing yet"
        raise BadRequest(f"No variable is called {name!r}. Defined: {known}.")
    clean: dict[str, Any] = _encodable(answer)
    return _within(clean, MOST_BYTES)


def _within(answer: dict[str, Any], size: int) -> dict[str, Any]:
    """Fewer variables, or less of one, until it fits."""
    variables = answer.get("variables")
    if variables is not None:
        sizes = itertools.accumulate(_size(variable) for variable in variables)
        return {**answer, "variables": [each for each, sum_ in zip(variables, sizes, strict=True) if sum_ <= size]}
    for part in ("items", "attributes", "columns", "doc"):
        if _size(answer) > size:
            answer = {key: value for key, value in answer.items() if key != part}
    return answer


def _size(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


@lru_cache(maxsize=1)
def _source() -> str:
    return (RUNTIME / "variables.py").read_text(encoding="utf-8")


def _encodable(value: Any) -> Any:
    """Without lone surrogates, which no JSON writer takes."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    return value
