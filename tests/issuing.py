"""An issuer of JSON web tokens: its keys, their file, and a server that publishes them."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.serving import in_threads

ISSUER = "https://issuer.example"
AUDIENCE = "https://box.example/mcp"


class Key:
    """A key of the issuer's, which signs."""

    def __init__(self, algorithm: str, key_id: str | None = "one") -> None:
        self.algorithm = algorithm
        self.key_id = key_id
        self.private: Any
        if algorithm.startswith(("RS", "PS")):
            self.private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        elif algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
        else:
            self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def jwk(self) -> dict[str, Any]:
        """What is published of it."""
        algorithms = jwt.get_algorithm_by_name(self.algorithm)
        public: dict[str, Any] = algorithms.to_jwk(self.private.public_key(), as_dict=True)
        return public | ({"kid": self.key_id} if self.key_id else {}) | {"use": "sig"}

    @property
    def pem(self) -> bytes:
        """The public key as everybody has it."""
        return bytes(
            self.private.public_key().public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )

    def token(self, algorithm: str | None = None, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token for alice; a claim that is None is left out."""
        known = {"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "exp": int(time.time()) + 600} | claims
        given = {name: value for name, value in known.items() if value is not None}
        kid = {"kid": self.key_id} if self.key_id else {}
        signing = jwt.PyJWS()  # which looks at no claims
        return signing.encode(
            json.dumps(given).encode(), self.private, algorithm or self.algorithm, headers=kid | (headers or {})
        )


def part(data: dict[str, Any] | bytes) -> str:
    """One of the three parts of a token, as somebody writes it by hand."""
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def publish(path: Path, *keys: Key) -> None:
    """Write the file of the keys, whole at once."""
    draft = path.with_suffix(".new")
    draft.write_text(json.dumps({"keys": [key.jwk for key in keys]}))
    draft.replace(path)


class Published:
    """What the server answers, and how often it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.keys: list[Key] = []
        self.body: bytes | None = None
        self.status = 200
        self.asked = 0
        self.on_asked: Callable[[], object] = lambda: None
        """Called before it answers, which may be when the test is over."""

    def answer(self) -> bytes:
        """The keys, or what stands for them."""
        self.asked += 1
        self.on_asked()
        return self.body if self.body is not None else json.dumps({"keys": [key.jwk for key in self.keys]}).encode()


@contextmanager
def published(*keys: Key) -> Iterator[Published]:
    """A server on loopback."""
    it = Published()
    it.keys = list(keys)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = it.answer()
            self.send_response(it.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing is logged."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    it.url = f"http://127.0.0.1:{server.server_port}/jwks"
    with in_threads(server):
        yield it
