"""The public keys of the configured issuer, from a file or a URL: kept, and had anew when they change.

The format is https://www.rfc-editor.org/rfc/rfc7517#section-5.
"""

import asyncio
import json
import logging
from pathlib import Path
from time import monotonic as now
from typing import Any

import anyio
import anyio.to_thread
import httpx2

from mcp_notebook.admission import CannotVerify
from mcp_notebook.auth import Auth, is_loopback

FRESH_S = 300.0
"""So long are fetched keys taken for the present ones."""
USABLE_S = 3600.0
"""So long are they used when newer ones cannot be had."""
AGAIN_S = 5.0
"""Between two attempts, whatever tokens name for keys."""
WITHIN_S = 5.0
MOMENT_S = 1.0
"""So long does who finds the keys old wait for newer ones, as some may have been withdrawn, before he uses these."""
LONGEST_BYTES = 1 << 20
MOST_KEYS = 50

Jwk = dict[str, Any]

logger = logging.getLogger(__name__)


class NoKeys(Exception):
    """What was read holds no set of keys."""


class KeyFile:
    """Keys from a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, ...] | None = None
        self._keys: list[Jwk] = []

    async def find(self, key_id: str | None) -> list[Jwk]:
        """Raises CannotVerify."""
        try:
            await anyio.to_thread.run_sync(self._refresh)
        except (OSError, NoKeys) as exc:
            self._seen = None
            logger.warning("The keys in %s cannot be read (%s).", self._path, exc)
            raise _unavailable() from exc
        return _with_id(self._keys, key_id)

    def _refresh(self) -> None:
        found = self._path.stat()
        seen = (found.st_ino, found.st_mtime_ns, found.st_size)
        if seen != self._seen:
            with self._path.open("rb") as file:
                self._keys = _keys(file.read(LONGEST_BYTES + 1))
            self._seen = seen


class KeyUrl:
    """Keys from a URL, asked for rarely."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: list[Jwk] = []
        self._fetched_at = self._tried_at = float("-inf")
        self._fetching = anyio.Lock()
        self._renewing: asyncio.Task[None] | None = None

    async def find(self, key_id: str | None) -> list[Jwk]:
        """A key that is not known may be a new one: then they are fetched. Old ones are used while newer ones are on
        their way. Raises CannotVerify."""
        if not _with_id(self._keys, key_id) or self._age() >= USABLE_S:
            await self._have(key_id)
        elif self._age() >= FRESH_S:
            await self._renew(key_id)
        if self._age() >= USABLE_S:
            raise _unavailable()
        return _with_id(self._keys, key_id)

    async def _have(self, key_id: str | None) -> None:
        async with self._fetching:
            if self._age() >= FRESH_S or not _with_id(self._keys, key_id):  # nobody fetched meanwhile
                await self._fetch()

    async def _renew(self, key_id: str | None) -> None:
        if self._renewing is None or self._renewing.done():
            # In nobody's task group: the request that finds the keys old may be over before they are here.
            self._renewing = asyncio.create_task(self._have(key_id), name=f"keys of {self._url}")
            await asyncio.wait([self._renewing], timeout=MOMENT_S)

    def _age(self) -> float:
        return now() - self._fetched_at

    async def _fetch(self) -> None:
        if now() - self._tried_at < AGAIN_S:
            return
        self._tried_at = now()
        try:
            self._keys = _keys(await self._read())
            self._fetched_at = now()
        except (httpx2.HTTPError, NoKeys, TimeoutError) as exc:
            logger.warning("The keys at %s cannot be had (%s).", self._url, exc or type(exc).__name__)
        finally:
            self._tried_at = now()  # who has waited meanwhile does not wait once more

    async def _read(self) -> bytes:
        data = bytearray()
        with anyio.fail_after(WITHIN_S):
            async with (
                httpx2.AsyncClient(timeout=WITHIN_S, trust_env=not is_loopback(self._url)) as client,
                client.stream("GET", self._url, headers={"Accept": "application/json"}) as response,
            ):
                if response.status_code != httpx2.codes.OK:
                    raise NoKeys(f"the answer has status {response.status_code}")
                async for chunk in response.aiter_bytes():
                    data += chunk
                    if len(data) > LONGEST_BYTES:
                        break
        return bytes(data)


def keys_of(auth: Auth) -> KeyFile | KeyUrl:
    """Where the settings say that they are."""
    return KeyUrl(auth.jwks_url) if auth.jwks_url else KeyFile(Path(auth.jwks_file).expanduser())


def _keys(data: bytes) -> list[Jwk]:
    if len(data) > LONGEST_BYTES:
        raise NoKeys(f"there are more than {LONGEST_BYTES:,} bytes")
    try:
        found = json.loads(data)["keys"]
    except (ValueError, LookupError, TypeError, RecursionError) as exc:
        raise NoKeys("it is no JSON object with `keys`") from exc
    if not isinstance(found, list):
        raise NoKeys("`keys` is no list")
    return [each for each in found if isinstance(each, dict)][:MOST_KEYS]


def _with_id(keys: list[Jwk], key_id: str | None) -> list[Jwk]:
    return keys if key_id is None else [key for key in keys if key.get("kid") == key_id]


def _unavailable() -> CannotVerify:
    return CannotVerify("The keys of the tokens' issuer cannot be had now: ask again in a minute.")
