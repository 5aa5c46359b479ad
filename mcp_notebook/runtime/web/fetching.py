"""Pages over HTTP within bounds, from addresses that the guard has checked.

A name is resolved once, all its addresses are checked, and the connection goes to one of exactly these: a
resolver that answers otherwise the next time changes nothing. This holds for each redirect. The ``Host``
header and the check of the certificate stay those of the name.
"""

import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address

import anyio
import httpx2

from mcp_notebook.runtime.web.addresses import IPAddress, is_internal, is_name, is_odd, is_public, literal

BLOCKED = "Blocked: URL targets a private or internal network address"
MOST_BYTES = 10_000_000
"""Of a page, after decompression."""
MOST_REDIRECTS = 5
CONNECT_S = 10.0
PAGE_S = 30.0
TIMEOUT = httpx2.Timeout(PAGE_S, connect=CONNECT_S)
HEADERS = {
    "User-Agent": "mcp-notebook",
    "Accept": "text/html,application/xhtml+xml,text/markdown;q=0.9,text/plain;q=0.9,*/*;q=0.5",
    "Accept-Language": "en,*;q=0.5",
}

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a name; raises OSError for a name that has none."""


class FetchFailed(Exception):
    """The page cannot be had; the message says why, for the caller of ``web_extract``."""


@dataclass(frozen=True)
class Page:
    """What a server answered with: its bytes, and what it said they are."""

    url: str
    media_type: str
    charset: str | None
    body: bytes


async def resolve(name: str, port: int) -> Sequence[str]:
    """As the machine does it, /etc/hosts included."""
    found = await anyio.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


@dataclass(frozen=True)
class Guard:
    """Which addresses a host stands for, if all of them may be reached."""

    resolve: Resolve = resolve
    is_public: Callable[[IPAddress], bool] = is_public

    async def addresses(self, host: str, port: int) -> list[IPAddress]:
        """At least one.

        Raises:
            FetchFailed: one of them is not public, or there are none.
        """
        written = literal(host)
        if written is None and (is_odd(host) or is_internal(host) or ":" in host):
            raise FetchFailed(BLOCKED)
        found = [written] if written is not None else await self._resolved(host, port)
        if not all(map(self.is_public, found)):
            raise FetchFailed(BLOCKED)
        return found

    async def _resolved(self, name: str, port: int) -> list[IPAddress]:
        try:
            found = await self.resolve(name, port) if is_name(name) else ()
            # IPv4 first: where a network has no route to IPv6 each try costs time.
            distinct = dict.fromkeys(ip_address(text) for text in found)
        except (OSError, ValueError):
            distinct = {}
        if not distinct:
            raise FetchFailed(
                f"The name {name[:100]!r} cannot be resolved. Check the URL, and that there is a network."
            )
        return sorted(distinct, key=lambda address: not isinstance(address, IPv4Address))


@dataclass
class GuardedTransport(httpx2.AsyncBaseTransport):
    """Sends each request to addresses that ``guard`` gave for its host, and resolves nothing again."""

    guard: Guard
    context: ssl.SSLContext
    _inner: httpx2.AsyncHTTPTransport = field(init=False)

    def __post_init__(self) -> None:
        # A kept connection would serve another name of the same address, whose certificate nobody checked.
        limits = httpx2.Limits(max_keepalive_connections=0)
        self._inner = httpx2.AsyncHTTPTransport(verify=self.context, trust_env=False, limits=limits)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The answer of the first address that can be connected to."""
        url = request.url
        addresses = await self.guard.addresses(_host(url), url.port or (443 if url.scheme == "https" else 80))
        failure: httpx2.TransportError | None = None
        for address in addresses:
            try:
                return await self._inner.handle_async_request(_sent_to(address, request))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
                failure = exc
        assert failure is not None
        raise failure

    async def aclose(self) -> None:
        """Close what is still connected."""
        await self._inner.aclose()


def _sent_to(address: IPAddress, request: httpx2.Request) -> httpx2.Request:
    host = _host(request.url)
    extensions = dict(request.extensions)
    if literal(host) is None:
        extensions["sni_hostname"] = host.rstrip(".")
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=str(address)),
        headers=request.headers,  # with the Host of the name
        stream=request.stream,
        extensions=extensions,
    )


def _host(url: httpx2.URL) -> str:
    return url.raw_host.decode("ascii")


async def fetch(url: str, client: httpx2.AsyncClient) -> Page:
    """Get the page, through at most five redirects.

    Raises:
        FetchFailed: for every reason there is.
    """
    try:
        request = client.build_request("GET", _checked(_parsed(url)))
        for _ in range(MOST_REDIRECTS + 1):
            # The client would read the body of a redirect whole, whatever its length: it is not left to it.
            response = await client.send(request, stream=True, follow_redirects=False)
            try:
                if response.next_request is None:
                    return await _page(response)
                _checked(response.next_request.url)
                request = response.next_request
            finally:
                await response.aclose()
    except httpx2.TimeoutException:
        raise FetchFailed("The server did not answer in time.") from None
    except (httpx2.InvalidURL, UnicodeError):
        raise FetchFailed("The page redirects to what is no valid URL.") from None
    except httpx2.HTTPError as exc:
        raise FetchFailed(f"The page cannot be read: {str(exc) or type(exc).__name__}") from None
    raise FetchFailed(f"The page redirects more than {MOST_REDIRECTS} times.")


def _parsed(url: str) -> httpx2.URL:
    try:
        return httpx2.URL(url)
    except (httpx2.InvalidURL, UnicodeError):
        raise FetchFailed("This is not a valid URL.") from None


def _checked(url: httpx2.URL) -> httpx2.URL:
    if url.scheme not in ("http", "https"):
        raise FetchFailed("Only http and https URLs can be read.")
    if not url.raw_host:
        raise FetchFailed("The URL names no host.")
    if url.port is not None and not 0 < url.port < 65536:
        raise FetchFailed(f"There is no port {url.port}.")
    if url.userinfo:
        raise FetchFailed(
            "The URL holds a user name or a password, which are not sent. Leave out what is before the @."
        )
    return url


async def _page(response: httpx2.Response) -> Page:
    if response.is_error:
        raise FetchFailed(f"The server answered HTTP {response.status_code} {response.reason_phrase}".rstrip())
    body = await read(response, MOST_BYTES)
    if not body:
        raise FetchFailed(f"The server answered HTTP {response.status_code} without any content.")
    media_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return Page(str(response.url), media_type, response.charset_encoding, body)


async def read(response: httpx2.Response, most: int) -> bytes:
    """The body, counted after decompression.

    Raises:
        FetchFailed: it is longer than ``most`` bytes.
    """
    body = bytearray()
    async for data in response.aiter_bytes():  # of a compressed body at most 1 MiB each
        body += data
        if len(body) > most:
            raise FetchFailed(f"The page is longer than {most // 1_000_000} MB.")
    return bytes(body)
