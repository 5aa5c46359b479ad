"""A forge's REST API over HTTP: JSON in and out, and every way to fail told in a sentence.

The token goes to the forge's own origin and nowhere else: redirects to another one are refused.
"""

import json
import re
import ssl
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import anyio
import httpx2

from mcp_notebook.errors import ForgeFailed
from mcp_notebook.forges.git import in_one_line, without_secrets

ANSWER_S = 30.0
MOST_BYTES = 20_000_000
MOST_PAGES = 50
PAGE_SIZE = 50
_MOST_REDIRECTS = 3
_MOST_WORDS_CHARS = 400
_NUMBER = re.compile(r"[0-9]{1,15}")


@dataclass(frozen=True)
class Answer:
    """What the forge said."""

    status: int
    headers: httpx2.Headers
    body: Any
    """Of its JSON; None if it is none."""

    @property
    def words(self) -> str:
        """The forge's own reason, in one line; empty if it gave none."""
        said: list[Any] = [self.headers.get("message", "")]
        if isinstance(self.body, dict):
            said = [self.body.get("message"), *_details(self.body.get("errors"))]
        return in_one_line(" ".join(part for part in said if isinstance(part, str)))[:_MOST_WORDS_CHARS]


@dataclass(frozen=True)
class Api:
    """Of one forge, with one user's token."""

    name: str
    """How messages call the forge."""
    base: str
    """Such as ``https://codeberg.org/api/v1``."""
    headers: Mapping[str, str] = field(repr=False)
    source: str
    """Where the token is from."""
    client: httpx2.AsyncClient = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What must be in no message, should the forge repeat it."""

    async def get(self, path: str, **params: str | int) -> Any:
        """The JSON there. Raises ForgeFailed."""
        return self.good(await self.ask("GET", path, params=params))

    async def pages(self, path: str, inside: str | None = None, **params: str | int) -> list[Any]:
        """All items of a list, or of the list ``inside`` an object, page after page. Raises ForgeFailed."""
        items: list[Any] = []
        for page in range(1, MOST_PAGES + 1):
            answer = await self.ask("GET", path, params={**params, "page": page})
            body = self.good(answer)
            found = body.get(inside) if inside is not None and isinstance(body, dict) else body
            items += found if isinstance(found, list) else []
            if not found or not _goes_on(answer, len(items), len(found)):
                return [each for each in items if isinstance(each, dict)]
        raise ForgeFailed(f"{self.name} has more than {MOST_PAGES} pages of {path}: read them in a browser.")

    def good(self, answer: Answer) -> Any:
        """The answer's JSON. Raises ForgeFailed if it is a refusal, or no JSON."""
        if not 200 <= answer.status < 300:
            raise self.refusal(answer)
        if answer.body is None:
            raise ForgeFailed(f"{self.name} answered without JSON: is its API really at {self.base}?")
        return answer.body

    def refusal(self, answer: Answer) -> ForgeFailed:
        """What a status that is no success means, and what to do."""
        words = f" It says: {answer.words}" if answer.words else ""
        waits = _wait(answer)
        if waits is not None:
            return self._failed(f"{self.name} allows no more requests for now ({answer.status}). {waits}{words}")
        meaning = _MEANINGS.get(answer.status)
        if meaning is None:
            broken = answer.status >= 500
            meaning = "is in trouble: try again later" if broken else "did not do it"
        return self._failed(f"{self.name} {meaning.format(source=self.source)} ({answer.status}).{words}")

    async def ask(
        self, method: str, path: str, *, params: Mapping[str, str | int] | None = None, body: Any = None
    ) -> Answer:
        """One request, through redirects within the forge. Raises ForgeFailed if there is no answer."""
        url = httpx2.URL(
            self.base + path, params={name: str(value) for name, value in params.items()} if params else None
        )
        try:
            with anyio.fail_after(ANSWER_S):
                return await self._asked(method, url, body)
        except (TimeoutError, httpx2.TimeoutException):
            reason = f"did not answer within {ANSWER_S:g} s"
        except httpx2.ConnectError as exc:
            reason = f"cannot be reached ({exc})"
        except (httpx2.HTTPError, httpx2.InvalidURL, UnicodeError) as exc:
            reason = f"gave an answer that cannot be read ({type(exc).__name__})"
        raise self._failed(f"{self.name} {reason}. Check the network, the address {self.base} and try again.")

    async def _asked(self, method: str, url: httpx2.URL, body: Any) -> Answer:
        for _ in range(_MOST_REDIRECTS + 1):
            request = self.client.build_request(method, url, headers=self.headers, json=body)
            async with self.client.stream(request.method, request.url, **_sent(request)) as response:
                if not response.has_redirect_location:
                    return Answer(response.status_code, response.headers, await self._json(response))
                url = self._followed(method, url, response)
        raise self._failed(f"{self.name} redirects without end. Is {self.base} its address?")

    def _followed(self, method: str, url: httpx2.URL, response: httpx2.Response) -> httpx2.URL:
        target = url.join(response.headers["Location"])
        if _origin(target) != _origin(url):
            raise self._failed(
                f"{self.name} redirects to {_shown(target)}, which gets no token from here. If the repository has "
                "moved, set its new URL: git remote set-url."
            )
        if method != "GET" and response.status_code not in (307, 308):
            raise self._failed(f"{self.name} has moved the repository to {_shown(target)}: git remote set-url.")
        return target

    async def _json(self, response: httpx2.Response) -> Any:
        data = bytearray()
        async for part in response.aiter_bytes():
            data += part
            if len(data) > MOST_BYTES:
                raise ForgeFailed(f"{self.name} answered with more than {MOST_BYTES // 1_000_000} MB.")
        try:
            return json.loads(data) if data else None
        except (ValueError, RecursionError):
            return None

    def _failed(self, text: str) -> ForgeFailed:
        text = without_secrets(text)
        for secret in self.secrets:
            text = text.replace(secret, "[hidden]")
        return ForgeFailed(text)


_MEANINGS = {
    401: "refuses the token from {source}: it is wrong, expired or revoked. Make a new one in its web interface",
    403: "does not allow this to the token from {source}. It needs the right to write to the repository and its "
    "pull requests (Gitea and Forgejo: write:repository and write:issue; GitHub: repo, or Pull requests: write)",
    404: "has no such repository, branch or pull request, or the token from {source} may not see it",
    405: "does not allow this here",
    409: "says that this is there already, or contradicts what is there",
    413: "has no room left for this user: the quota is used up",
    422: "does not accept what was asked",
    423: "keeps this repository as an archive: it must be unarchived before anything in it can change",
}


def part(text: str) -> str:
    """``text`` as one segment of a path, slashes and all."""
    return quote(text, safe="")


def client_for(url: str, environment: Mapping[str, str]) -> httpx2.AsyncClient:
    """A client that goes to ``url`` through the proxy, and with the authorities, that ``environment`` names."""
    authorities = environment.get("SSL_CERT_FILE") or environment.get("GIT_SSL_CAINFO")
    try:
        verify = ssl.create_default_context(cafile=authorities) if authorities else True
    except (OSError, ssl.SSLError) as exc:
        raise ForgeFailed(f"The certificates in {authorities} cannot be read ({exc}).") from exc
    agent = {"User-Agent": "mcp-notebook", "Accept": "application/json"}
    try:
        return httpx2.AsyncClient(
            verify=verify, proxy=_proxy(url, environment), trust_env=False, timeout=ANSWER_S, headers=agent
        )
    except ImportError:
        raise ForgeFailed(
            "The proxy that the environment names speaks SOCKS, for which mcp-notebook needs one more package: pip "
            "install socksio beside it, or set https_proxy to a proxy that speaks HTTP."
        ) from None
    except (ValueError, httpx2.InvalidURL):
        raise ForgeFailed("The proxy that the environment names is not a URL that can be used.") from None


def _proxy(url: str, environment: Mapping[str, str]) -> str | None:
    parsed = httpx2.URL(url)
    named = {name.lower(): value for name, value in environment.items() if value}
    bypassed = {"no": named.get("no_proxy", "")}
    if urllib.request.proxy_bypass_environment(parsed.host, bypassed):  # type: ignore[attr-defined]  # undocumented
        return None
    proxy = named.get(f"{parsed.scheme}_proxy") or named.get("all_proxy")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy  # as curl and git read it


def _sent(request: httpx2.Request) -> dict[str, Any]:
    return {"headers": request.headers, "content": request.content, "follow_redirects": False}


def _origin(url: httpx2.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _shown(url: httpx2.URL) -> str:
    return f"{url.scheme}://{url.host}{url.path}"


def _details(errors: Any) -> list[str]:
    """GitHub has objects in its list of errors, Gitea texts."""
    found = errors if isinstance(errors, list) else []
    return [each.get("message") or each.get("code") or "" if isinstance(each, dict) else str(each) for each in found]


def _goes_on(answer: Answer, so_far: int, here: int) -> bool:
    """Whether there is another page: by the links, else by the count of all, else by a page that is full."""
    if "Link" in answer.headers:
        return 'rel="next"' in answer.headers["Link"]
    total = _number(answer.headers.get("X-Total-Count"))
    if total is None and isinstance(answer.body, dict):  # of these it may be the count on this page
        total = _number(answer.body.get("total_count"))
    return so_far < total if total is not None else here >= PAGE_SIZE


def _number(value: Any) -> int | None:
    return int(value) if _NUMBER.fullmatch(str(value)) else None


def _wait(answer: Answer) -> str | None:
    """What to do about a limit of requests; None if it is none."""
    limited = answer.status == 429 or (
        answer.status == 403 and (answer.headers.get("X-RateLimit-Remaining") == "0" or "Retry-After" in answer.headers)
    )
    if not limited:
        return None
    after, reset = _number(answer.headers.get("Retry-After")), _number(answer.headers.get("X-RateLimit-Reset"))
    seconds = after if after is not None else reset - int(time.time()) if reset is not None else 60
    return f"Try again in {max(seconds, 1)} s."
