"""Search the text of an execution with a regular expression, for a bounded time."""

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import ByteSendStream

from mcp_notebook.errors import BadRequest

SEARCH_WITHIN_S = 15.0
PROGRAM = Path(__file__).with_name("search_lines.py")


@dataclass(frozen=True)
class Found:
    """Matching lines with their numbers from 1; ``following`` is the next line to go on from."""

    lines: list[tuple[int, str]]
    matching: int
    searched: int
    following: int | None


async def search_text(chunks: Iterable[str], pattern: str, *, first_line: int, chars: int, size: int) -> Found:
    """Look for ``pattern`` in each line; the lines found have at most ``chars`` and ``size`` bytes of UTF-8.

    Raises:
        BadRequest: not a regular expression, or one that takes too long.
    """
    question = json.dumps({"pattern": pattern, "first_line": first_line, "chars": chars, "size": size}) + "\n"
    with anyio.move_on_after(SEARCH_WITHIN_S):
        answer = json.loads(await _run([question], chunks))
        if "error" in answer:
            raise BadRequest(
                f"search={pattern!r} is not a regular expression of Python's re ({answer['error']}). "
                "Put a backslash before characters that are meant as they are, such as ( [ . * + ?"
            )
        return _found(answer)
    raise BadRequest(
        f"Searching for {pattern!r} took more than {SEARCH_WITHIN_S:.0f} s and was stopped. "
        "Use a simpler pattern: nested repetitions such as (a+)+ can take for ever."
    )


def _found(answer: dict[str, Any]) -> Found:
    lines = [(number, line) for number, line in answer["found"]]
    return Found(lines, answer["matching"], answer["lines"], answer["next"])


async def _run(head: Iterable[str], chunks: Iterable[str]) -> bytes:
    """Everything the program prints; it is killed when this is cancelled."""
    command = [sys.executable, "-I", "-S", str(PROGRAM)]
    process = await anyio.open_process(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        # It says nothing before it has read all: reading while writing is not needed.
        await _feed(process.stdin, head)
        await _feed(process.stdin, chunks)
        await process.stdin.aclose()
        return b"".join([data async for data in process.stdout])
    except BaseException:
        process.kill()
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await process.aclose()


async def _feed(stdin: ByteSendStream, chunks: Iterable[str]) -> None:
    iterator = iter(chunks)
    while (data := await anyio.to_thread.run_sync(_next, iterator)) is not None:
        try:
            await stdin.send(data)
        except (anyio.BrokenResourceError, BrokenPipeError, ConnectionResetError):
            return  # it has said all: the pattern was wrong


def _next(chunks: Iterator[str]) -> bytes | None:
    for chunk in chunks:
        if chunk:
            return chunk.encode("utf-8", "replace")
    return None
