"""Turn a page into text: python converting.py html|pdf <question >answer

A process of its own, which the server can kill: pages come from strangers, and a parser that loops, crashes or
eats memory must not be the server's. Reads a line with the page's URL and then the page, and when it has all
writes one JSON object with ``title`` and ``content``, or with ``missing``, a package that is not installed, or
with ``error``.
"""

import contextlib
import io
import json
import logging
import resource
import sys
from typing import Any

MEMORY_BYTES = 2_000_000_000
CPU_S = 30
LOOKED_AT = 4_096


def html(page: bytes, url: str) -> dict[str, str]:
    """The main text in Markdown, without navigation and advertisements; ``page`` is UTF-8."""
    import trafilatura

    text = page.decode()
    if "<html" not in text[:LOOKED_AT].lower():  # HTML may leave it out, which trafilatura takes for no HTML
        text = f"<html>{text}</html>"
    tree = trafilatura.load_html(text)
    if tree is None:
        return {"title": "", "content": ""}
    found: Any = trafilatura.extract_metadata(tree)
    content = trafilatura.extract(
        tree, url=url, output_format="markdown", include_links=True, include_tables=True, include_comments=False
    )
    return {"title": found.title or "", "content": content or trafilatura.html2txt(tree) or ""}


def pdf(page: bytes, url: str) -> dict[str, str]:
    """The text of all pages of the document."""
    import pypdf

    try:
        reader = pypdf.PdfReader(io.BytesIO(page))
        title = str(reader.metadata.title or "") if reader.metadata else ""
        content = "\n\n".join(text for each in reader.pages if (text := each.extract_text().strip()))
    except (pypdf.errors.PyPdfError, ValueError, KeyError, RecursionError) as exc:
        return {"error": f"The PDF cannot be read: {exc}"}
    return {"title": title, "content": content}


def main() -> None:
    """Convert what comes on standard input."""
    with contextlib.suppress(OSError, ValueError):  # not every system has them
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    logging.disable()
    answers, sys.stdout = sys.stdout, sys.stderr  # what a library prints is no answer
    try:
        url, _, page = sys.stdin.buffer.read().partition(b"\n")
        answer = {"html": html, "pdf": pdf}[sys.argv[1]](page, url.decode())
    except ModuleNotFoundError as exc:
        answer = {"missing": exc.name or ""}
    answers.write(json.dumps(answer))


if __name__ == "__main__":
    main()
