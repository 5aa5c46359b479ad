"""What a fetched page says, as text: HTML and PDF are converted, text passes as it is, the rest is refused."""

import codecs
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process

from mcp_notebook.runtime.web.fetching import FetchFailed, Page

PROGRAM = Path(__file__).with_name("converting.py")
PYTHON = (sys.executable, "-P")
INSTALL = "pip install 'mcp-notebook[web]'"
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "HOME", "PYTHONPATH", "LANG")
"""All that the converting process has of the server's environment: no key, no token."""
MOST_ANSWER_BYTES = 50_000_000
MOST_TITLE_CHARS = 500
HTML = ("text/html", "application/xhtml+xml")
PDF = ("application/pdf", "application/x-pdf")
TEXT = (
    "application/json",
    "application/javascript",
    "application/toml",
    "application/x-ndjson",
    "application/x-sh",
    "application/xml",
    "application/yaml",
    "application/x-yaml",
)

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_DECLARED = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([A-Za-z0-9._:-]{1,40})", re.IGNORECASE)
_DECLARED_WITHIN = 4096
_AS_BROWSERS_DO = {"ascii": "cp1252", "iso8859-1": "cp1252", "utf-16": "utf-16-le"}
# Names of codecs that are no character sets of pages, some of which take quadratic time.
_NO_CHARSETS = {"idna", "punycode", "raw-unicode-escape", "raw_unicode_escape", "undefined", "unicode-escape", "utf-7"}


@dataclass(frozen=True)
class Text:
    """Of one page."""

    title: str
    content: str


async def text_of(page: Page, python: Sequence[str] = PYTHON) -> Text:
    """The page's title, where it has one, and its content, in Markdown if it was HTML.

    Raises:
        FetchFailed: it holds no text.
    """
    kind = _kind(page)
    if kind == "pdf":
        return await _converted("pdf", page.url, page.body, python)
    text = decoded(page)
    if "\0" in text:
        raise FetchFailed("The page is not text but binary data.")
    if kind == "html":
        return await _converted("html", page.url, text.encode("utf-8", "replace"), python)
    return Text("", text)


def _kind(page: Page) -> str:
    """``html``, ``pdf`` or ``text``; what names no type is looked at."""
    declared = page.media_type
    if declared in HTML:
        return "html"
    if declared in PDF or page.body.startswith(b"%PDF-"):
        return "pdf"
    if declared.startswith("text/") or declared.endswith(("+json", "+xml", "+yaml")) or declared in TEXT:
        return "text"
    if not declared:
        return "html" if page.body.lstrip()[:1] == b"<" else "text"
    raise FetchFailed(f"Content of type {declared[:100]} cannot be read as text.")


def decoded(page: Page) -> str:
    """The text by the byte order mark, the header, the page's own word, or else as UTF-8, in this order."""
    for charset in (*_charsets(page), "utf-8"):
        with contextlib.suppress(LookupError, ValueError):  # no charset that Python knows
            name = codecs.lookup(charset).name
            if name not in _NO_CHARSETS:
                return page.body.decode(_AS_BROWSERS_DO.get(name, name), "replace").removeprefix("\ufeff")
    raise AssertionError("UTF-8 with replacement decodes everything")


def _charsets(page: Page) -> Iterator[str]:
    yield from (name for mark, name in _BOMS if page.body.startswith(mark))
    if page.charset:
        yield page.charset
    if page.media_type in HTML and (found := _DECLARED.search(page.body, 0, _DECLARED_WITHIN)):
        yield found[1].decode("ascii")


async def _converted(kind: str, url: str, body: bytes, python: Sequence[str]) -> Text:
    answer = await _run([*python, str(PROGRAM), kind], url.encode() + b"\n" + body)
    if "missing" in answer:
        raise FetchFailed(f"Reading {kind.upper()} pages needs {answer['missing']}. Install it: {INSTALL}")
    if "error" in answer:
        raise FetchFailed(answer["error"])
    if not answer["content"].strip():
        raise FetchFailed("No text was found in the page: it may be made by scripts, or of images.")
    return Text(" ".join(answer["title"].split())[:MOST_TITLE_CHARS], answer["content"])


async def _run(command: Sequence[str], question: bytes) -> dict[str, Any]:
    """What the program answers; it is killed when this is cancelled, and when it says too much."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    with anyio.CancelScope(shield=True):  # a process that is begun must come into our hands
        process = await anyio.open_process(
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, start_new_session=True
        )
    try:
        answer = await _ask(process, question)
        code = await process.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await process.aclose()
    if code or not answer:
        raise FetchFailed("The page cannot be read: its conversion to text failed, or needed too much memory or time.")
    found: dict[str, Any] = json.loads(answer)
    return found


async def _ask(process: Process, question: bytes) -> bytes:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(anyio.BrokenResourceError, BrokenPipeError, ConnectionResetError):  # its exit code tells
        await process.stdin.send(question)  # it says nothing before it has read all
        await process.stdin.aclose()
    answer = bytearray()
    async for data in process.stdout:
        answer += data
        if len(answer) > MOST_ANSWER_BYTES:
            raise FetchFailed(f"The text of the page is longer than {MOST_ANSWER_BYTES // 1_000_000} MB.")
    return bytes(answer)
