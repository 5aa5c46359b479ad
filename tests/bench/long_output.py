"""Much output: 200,000 lines, 20,000 flushed prints, an image of 5 MB; and what the server keeps of it."""

import re
from contextlib import AsyncExitStack, suppress
from queue import Empty
from typing import Any

from mcp import Client
from mcp_types import CallToolResult

from tests.bench import jupyter
from tests.bench.figure import Bar, Figure, at_most
from tests.bench.mcp_client import ours, run_cell, size_of
from tests.bench.place import Place
from tests.bench.processes import rss_bytes
from tests.bench.stopwatch import Stopwatch
from tests.calls import call, text_of, value

LINES = 200_000
PRINT_LINES = f"for i in range({LINES}): print('line', i)"
TEXT_CHARS = sum(len(f"line {i}\n") for i in range(LINES))
SOUGHT = 123_456
PRINT_FLUSHED = "for i in range(20_000): print(i, flush=True)"
MAKE_IMAGE = """
import os, struct, zlib
from IPython.display import Image, display

def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

def noise(side):
    rows = b"".join(b"\\0" + os.urandom(side * 3) for _ in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + b"".join(
        chunk(*each) for each in ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    )

image = Image(noise(1300))
"""
SHOW_IMAGE = "display(image)"
CELLS = {"lines": (PRINT_LINES, 3), "flushed": (PRINT_FLUSHED, 2), "image": (SHOW_IMAGE, 3)}
"""What is timed, and how many rounds of it."""
ATTEMPTS = 3
GROWTH_CELLS = 10
ANSWER_LIMIT_BYTES = 60_000
IMAGE_LIMIT_BYTES = 900_000
PLAIN = "jupyter_client (c) collecting all of it"


async def measure(place: Place) -> list[Figure]:
    """Growth first, in a server that has done nothing else."""
    watch = Stopwatch()
    answers: dict[str, CallToolResult] = {}
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ours(place))
        grown = await _growth(client, place)
        _, plain = await stack.enter_async_context(jupyter.jupyter_kernel(place))
        await run_cell(client, MAKE_IMAGE)
        await jupyter.run_cell(plain, MAKE_IMAGE)
        for name, (source, rounds) in CELLS.items():
            for _ in range(rounds):
                await _plain(plain, name, source, watch)
                with watch(f"our {name}"):
                    answers[name] = await run_cell(client, source)
        read, found = await _read_back(client, value(text_of(answers["lines"]), "execution_id"))
    return _figures(watch, answers, grown, read, found)


async def _plain(plain: Any, name: str, source: str, watch: Stopwatch) -> None:
    """Until it has received all once."""
    for _ in range(ATTEMPTS):
        with suppress(Empty), watch(f"plain {name}"):
            await jupyter.run_cell(plain, source)
            return
    raise RuntimeError(f"jupyter_client lost messages {ATTEMPTS} times: the machine is too busy.")


async def _growth(client: Client, place: Place) -> float:
    """Bytes by which the server's process grows while it runs ten cells of 200,000 lines."""
    await run_cell(client, "print('warm')")
    pid = place.server_pid()
    before = rss_bytes(pid)
    for _ in range(GROWTH_CELLS):
        await run_cell(client, PRINT_LINES)
    return float(rss_bytes(pid) - before)


async def _read_back(client: Client, execution_id: str) -> tuple[int, int]:
    """How many of the lines come back, each once and in order, by paging; and how many lines a search finds."""
    lines: list[str] = []
    arguments: dict[str, Any] | None = {"execution_id": execution_id, "cursor": f"{execution_id}@0"}
    while arguments:
        page = await call(client, "get_output", **arguments)
        lines += re.findall(r"^line \d+$", page, re.MULTILINE)
        following = re.search(r'^Next: get_output\(cursor="([^"]+)"', page, re.MULTILINE)
        arguments = {"cursor": following[1]} if following else None
    right = sum(line == f"line {number}" for number, line in enumerate(lines)) - max(0, len(lines) - LINES)
    found = await call(client, "get_output", execution_id=execution_id, search=f" {SOUGHT}$")
    return right, len(re.findall(rf"^{SOUGHT + 1}: line {SOUGHT}$", found, re.MULTILINE))


def _figures(watch: Stopwatch, answers: dict[str, CallToolResult], grown: float, read: int, found: int) -> list[Figure]:
    s = {name: watch.median(name) for name in watch.samples}
    kb = {name: size_of(answer) / 1000 for name, answer in answers.items()}
    limit, image_limit = ANSWER_LIMIT_BYTES / 1000, IMAGE_LIMIT_BYTES / 1000
    ten = f"{GROWTH_CELLS} such cells: growth of the server"
    return [
        Figure("200,000 printed lines", s["our lines"], s["plain lines"], "s", PLAIN, at_most(1.15)),
        Figure("... size of the answer", kb["lines"], limit, "KB", "the limit of an answer", at_most(1)),
        Figure("... read back by get_output", read, LINES, "lines", "what was printed", Bar("=", 1)),
        Figure("... found by get_output(search=)", found, 1, "lines", "what is there", Bar("=", 1)),
        Figure(ten, grown / 1e6, TEXT_CHARS / 1e6, "MB", "the text of one", at_most(5)),
        Figure("20,000 flushed prints", s["our flushed"], s["plain flushed"], "s", PLAIN),
        Figure("5 MB image", s["our image"] * 1000, s["plain image"] * 1000, "ms", PLAIN),
        Figure("... size of the answer", kb["image"], image_limit, "KB", "the limit of a message", at_most(1)),
    ]
