"""Real HTTP servers on loopback for the web calls, and the session that makes these calls."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from mcp_notebook.policy import Policy
from tests.serving import in_threads


@dataclass
class Session:
    """A ``Host`` with a directory and a policy, and nothing else of a session."""

    directory: Path
    policy: Policy = field(default_factory=Policy)
    credentials: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def workspace(self) -> Path:
        """Not used by the web calls."""
        return self.directory

    async def ask(self, question: str, schema: Mapping[str, Any]) -> Any:
        """Not used by the web calls."""
        raise AssertionError(f"the web calls ask nobody, and asked {question!r}")

    def notebook(self) -> dict[str, Any]:
        """Not used by the web calls."""
        raise AssertionError("the web calls want no notebook")


@dataclass(frozen=True)
class Asked:
    """A request that a server got; the names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


Answer = Callable[[BaseHTTPRequestHandler], None]


def answer(body: bytes | str = b"", kind: str | None = "text/html", status: int = 200, **headers: str) -> Answer:
    """Such an answer; underscores in the names of headers are hyphens."""
    data = body.encode() if isinstance(body, str) else body

    def give(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if kind is not None:
            handler.send_header("Content-Type", kind)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return give


def redirect(location: str, status: int = 302) -> Answer:
    """To another place."""
    return answer(status=status, Location=location)


@dataclass
class Server:
    """What it answers, by path without the query, and what it was asked."""

    answers: dict[str, Answer]
    port: int = 0
    address: str = "127.0.0.1"
    asked: list[Asked] = field(default_factory=list)

    def url(self, path: str = "/", host: str | None = None, scheme: str = "http") -> str:
        """Of a page, by the server's address or by another name of it."""
        return f"{scheme}://{host or self.address}:{self.port}{path}"


@contextmanager
def serving(
    answers: dict[str, Answer], address: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> Iterator[Server]:
    """A server in threads of this process."""
    server = Server(answers, address=address)
    http = ThreadingHTTPServer((address, port), _handler(server))
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True, do_handshake_on_connect=False)
    server.port = http.server_port
    with in_threads(http):
        yield server


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server.asked.append(Asked(self.command, self.path, headers, body))
            try:
                server.answers.get(self.path.partition("?")[0], answer("nothing here", status=404))(self)
            except OSError:
                self.close_connection = True  # the client had enough

        do_POST = do_GET  # noqa: N815 - as the base class wants it

        def log_message(self, *args: Any) -> None:
            """Stay silent."""

        def handle(self) -> None:
            try:
                super().handle()
            except OSError:
                self.close_connection = True

    return Handler
