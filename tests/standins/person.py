"""Somebody else at the forge: a reviewer or a CI, who uses its API too."""

import json
import urllib.request
from dataclasses import dataclass
from typing import Any

from tests.standins.git_server import Server


@dataclass(frozen=True)
class Person:
    """With a token of her own."""

    server: Server
    token: str = "token-of-bob-0123456789"
    scheme: str = "token"

    def post(self, path: str, **body: Any) -> Any:
        """What the forge answers; it must be a success."""
        request = urllib.request.Request(
            f"{self.server.url}{path}",
            data=json.dumps(body).encode(),
            headers={"Authorization": f"{self.scheme} {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as response:
            data = response.read()
        return json.loads(data) if data else None
