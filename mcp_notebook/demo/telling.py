"""The client of the story: it makes each call, and tells what it was, what came and how long it took."""

import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mcp import Client
from mcp_types import CallToolResult, TextContent


class OnProgress(Protocol):
    """Called with what the server reports while a call waits."""

    async def __call__(self, progress: float, total: float | None, message: str | None) -> None: ...


class DemoFailed(Exception):
    """The story did not go as it must; the message says where."""


@dataclass
class Teller:
    """Calls tools, and tells of it."""

    client: Client

    async def call(self, tool: str, *, on_progress: OnProgress | None = None, **arguments: Any) -> CallToolResult:
        """Call the tool and tell of it; a refusal ends the story."""
        started = time.perf_counter()
        result = await self.client.call_tool(tool, arguments, progress_callback=on_progress)
        took_ms = (time.perf_counter() - started) * 1000
        tell(f"> {tool}({_inline(arguments)})   {took_ms:,.0f} ms")
        tell(indented(_long_source(arguments), "    | "))
        tell(indented(_brief(result)))
        if result.is_error:
            raise DemoFailed(f"{tool} was refused.")
        return result

    async def run(self, expected: str = "ok", **arguments: Any) -> CallToolResult:
        """Run a cell whose status must be the expected one."""
        result = await self.call("execute_cell", **arguments)
        status = named(result, r"\[.*?\] (\w+)", "status")
        if status != expected:
            raise DemoFailed(f"The cell should have ended {expected!r}, not {status!r}.")
        return result


def tell(text: str) -> None:
    """Print a part of the story at once; nothing, if it is empty."""
    if text:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


def indented(text: str, margin: str = "    ") -> str:
    """Below a call, what came of it."""
    return "\n".join(f"{margin}{line}".rstrip() for line in text.rstrip().splitlines())


def text_of(result: CallToolResult) -> str:
    """All the text of an answer."""
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def named(result: CallToolResult, pattern: str, what: str) -> str:
    """What the first line of a cell's answer says."""
    found = re.search(pattern, text_of(result))
    if found is None:
        raise DemoFailed(f"The answer names no {what}.")
    return found[1]


def _inline(arguments: Mapping[str, Any]) -> str:
    """The arguments as one line; source of several lines is shown below it."""
    return ", ".join(f"{name}=..." if "\n" in str(value) else f"{name}={value!r}" for name, value in arguments.items())


def _long_source(arguments: Mapping[str, Any]) -> str:
    return "\n".join(value for value in arguments.values() if "\n" in str(value))


def _brief(result: CallToolResult) -> str:
    """The text of an answer; of the structured ones, what a reader of the story wants to know."""
    match result.structured_content:
        case {"session": handle, "kernel": {"display_name": kernel, "interpreter": interpreter}}:
            return f"session {handle}\nkernel  {kernel}, {interpreter}"
        case {"variables": list(variables)}:
            return "\n".join(_variable(**variable) for variable in variables)
        case {"sessions": list(sessions)}:
            return "\n".join(f"session {each['session']}, {each['state']}" for each in sessions)
    return text_of(result)


def _variable(name: str, type: str, shape: Sequence[int] = (), **_: Any) -> str:  # noqa: A002 - the answer's
    return f"{name:10} {type:30} {' x '.join(map(str, shape))}"
