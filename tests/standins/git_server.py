"""A real git server: `git http-backend` behind a small HTTP server that wants a token.

What the server is asked goes to one of several rooms by its path: repositories to git, ``/api`` to whoever stands in
for a forge's API.
"""

import base64
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.serving import in_threads

TOKEN = "a-token-of-the-tests-0123456789"


@dataclass(frozen=True)
class Asked:
    """A request; the names of headers are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Given:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


Room = Callable[[Asked], Given]


@dataclass
class Server:
    """What it serves: bare repositories below ``root``, and what is at paths that begin with a name of ``rooms``."""

    root: Path
    rooms: dict[str, Room] = field(default_factory=dict)
    port: int = 0
    asked: list[Asked] = field(default_factory=list)

    @property
    def site(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """Without a slash at its end."""
        return f"http://{self.site}"

    def bare(self, name: str) -> Path:
        """A new empty repository, such as ``ada/project``."""
        path = self.root / f"{name}.git"
        subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", path], check=True)
        subprocess.run(["git", "config", "http.receivepack", "true"], cwd=path, check=True)
        return path

    def answer(self, asked: Asked) -> Given:
        """By the room of its path, else by git."""
        self.asked.append(asked)
        for beginning, room in self.rooms.items():
            if asked.path.startswith(beginning):
                return room(asked)
        if not _may_enter(asked):
            return Given(401, {"WWW-Authenticate": 'Basic realm="git"'})
        return self._git(asked)

    def _git(self, asked: Asked) -> Given:
        """As CGI: https://git-scm.com/docs/git-http-backend."""
        variables = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "HOME": str(self.root),
            "REMOTE_USER": "ada",
            "REMOTE_ADDR": "127.0.0.1",
            "REQUEST_METHOD": asked.method,
            "PATH_INFO": asked.path,
            "QUERY_STRING": asked.query,
            "CONTENT_TYPE": asked.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(asked.body)),
            "HTTP_CONTENT_ENCODING": asked.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": asked.headers.get("git-protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=asked.body, env=variables, capture_output=True, check=False
        )
        head, _, body = done.stdout.partition(b"\r\n\r\n")
        lines = [line.partition(": ") for line in head.decode().split("\r\n") if line]
        headers = {name: value for name, _, value in lines}
        status = int(headers.pop("Status", "200").split()[0])
        return Given(status, headers, body)


def _may_enter(asked: Asked) -> bool:
    scheme, _, given = asked.headers.get("authorization", "").partition(" ")
    try:
        return scheme == "Basic" and base64.b64decode(given).decode().partition(":")[2] == TOKEN
    except ValueError:
        return False


@contextmanager
def serving(root: Path) -> Iterator[Server]:
    """In threads of this process."""
    root.mkdir(exist_ok=True)
    server = Server(root)
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    server.port = http.server_port
    with in_threads(http):
        yield server


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            asked = Asked(self.command, parts.path, parts.query, headers, self._body())
            given = server.answer(asked)
            self.send_response(given.status)
            for name, value in given.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(given.body)))
            self.end_headers()
            self.wfile.write(given.body)

        do_POST = do_PATCH = do_PUT = do_DELETE = do_GET  # noqa: N815 - as the base class wants it

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True  # the client had enough

        def log_message(self, *args: Any) -> None:
            """Stay silent."""

    return Handler
