"""web_search and web_extract, as Hermes has them: what code in cells asks of the web, asked by the server.

A failure that the caller can do something about is an answer with ``error``, in the shape of each call.
"""

import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.to_thread
import httpx2

from mcp_notebook.runtime.host import Host
from mcp_notebook.runtime.web import extraction, fetching, providers
from mcp_notebook.runtime.web.excerpts import excerpt
from mcp_notebook.runtime.web.fetching import FetchFailed, Guard, GuardedTransport
from mcp_notebook.runtime.web.providers import PROVIDERS, Search, SearchFailed

MOST_URLS = 5
CHAR_LIMIT = 15_000
LEAST_CHAR_LIMIT = 2_000
MOST_CHAR_LIMIT = 500_000
MOST_QUERY_CHARS = 2_000
CONVERSIONS_AT_ONCE = 2


@dataclass(frozen=True)
class Outside:
    """What a ``Web`` takes of the world around it."""

    guard: Guard = field(default_factory=Guard)
    endpoints: Mapping[str, str] = field(default_factory=lambda: providers.ENDPOINTS)
    python: Sequence[str] = extraction.PYTHON
    """Runs the program that converts pages."""
    certificates: ssl.SSLContext | None = None
    """Those that are trusted; None: the machine's."""


class Web:
    """The web calls of one session."""

    def __init__(self, host: Host, outside: Outside | None = None) -> None:
        self._host = host
        self._outside = outside or Outside()
        self._context = self._outside.certificates
        self._searching: httpx2.AsyncClient | None = None
        self._converting = anyio.CapacityLimiter(CONVERSIONS_AT_ONCE)

    async def search(self, query: str, limit: int = 5) -> dict[str, Any]:
        """``{"success": True, "data": {"web": [{"title", "url", "description", "position"}]}}`` of the first provider
        that answers, else ``{"success": False, "error"}``. ``limit`` is brought within 1 and 20.
        """
        if (wrong := _wrong_query(query)) or (wrong := _wrong_number("limit", limit)):
            return _refused(wrong)
        limit = min(max(limit, 1), providers.MOST_RESULTS)
        failures = []
        for name, access in self._configured():
            search = Search(query.strip(), limit, access, self._outside.endpoints.get(name, ""), self._client())
            try:
                return {"success": True, "data": {"web": await PROVIDERS[name].search(search)}}
            except SearchFailed as exc:
                failures.append(f"{name} ({exc})")
        if failures:
            return _refused(f"No search provider answered: {'; '.join(failures)}.")
        return _refused(_how_to_configure(self._host.policy.search))

    async def extract(self, urls: list[str], char_limit: int | None = None) -> dict[str, Any]:
        """``{"results": [{"url", "title", "content", "error"}]}``, one for each of at most five URLs, in their order.

        ``content`` is Markdown of at most ``char_limit`` characters and a note of what is left out; ``error`` is None
        or says why there is no content. Results of ``search`` may be given for URLs. If the arguments mean nothing, or
        are too many, ``{"error"}``.
        """
        limit = CHAR_LIMIT if char_limit is None else char_limit
        if (wrong := _wrong_urls(urls)) or (wrong := _wrong_number("char_limit", limit)):
            return {"error": wrong}
        limit = min(max(limit, LEAST_CHAR_LIMIT), MOST_CHAR_LIMIT)
        results: list[dict[str, Any]] = [{} for _ in urls]

        async def fill(index: int, url: Any) -> None:
            results[index] = await self._extracted(url, limit)

        async with anyio.create_task_group() as group:
            for index, url in enumerate(urls):
                group.start_soon(fill, index, url)
        return {"results": results}

    async def aclose(self) -> None:
        """Close the connections to search providers. Nothing else stays open from one call to the next."""
        if self._searching is not None:
            client, self._searching = self._searching, None
            await client.aclose()

    def _configured(self) -> list[tuple[str, str]]:
        """The providers that can be asked, in the user's order, each with its key or address."""
        named = dict.fromkeys(self._host.policy.search)
        return [(name, access) for name in named if (access := PROVIDERS[name].access(self._host))]

    def _client(self) -> httpx2.AsyncClient:
        """Of the providers, which are the user's choice: through the user's proxy, if there is one."""
        if self._searching is None:
            self._searching = httpx2.AsyncClient(
                timeout=providers.TIMEOUT,
                headers={"User-Agent": fetching.HEADERS["User-Agent"]},
                verify=self._certificates(),
            )
        return self._searching

    async def _extracted(self, item: Any, limit: int) -> dict[str, Any]:
        url = item.get("url") or item.get("href") if isinstance(item, dict) else item
        if not isinstance(url, str) or not url.strip():
            return _result("", error="This is no URL: a string is needed, or a result of web_search.")
        try:
            with anyio.fail_after(fetching.PAGE_S):
                async with self._reader() as client:
                    page = await fetching.fetch(url.strip(), client)
                async with self._converting:
                    text = await extraction.text_of(page, self._outside.python)
            content = await anyio.to_thread.run_sync(excerpt, text.content, limit, url.strip(), self._host.directory)
        except FetchFailed as exc:
            return _result(url, error=str(exc))
        except TimeoutError:
            return _result(url, error=f"Reading the page took longer than {fetching.PAGE_S:.0f} s and was given up.")
        return _result(url, text.title, content)

    def _reader(self) -> httpx2.AsyncClient:
        """For one page: no cookie and no connection is there for the next."""
        options: dict[str, Any] = {"timeout": fetching.TIMEOUT, "headers": fetching.HEADERS}
        if self._host.policy.private_addresses:
            return httpx2.AsyncClient(**options, verify=self._certificates())
        transport = GuardedTransport(self._outside.guard, self._certificates())
        return httpx2.AsyncClient(**options, transport=transport, trust_env=False)

    def _certificates(self) -> ssl.SSLContext:
        """Those of a machine are many: they are read once."""
        if self._context is None:
            self._context = httpx2.create_ssl_context()
        return self._context


def _refused(why: str) -> dict[str, Any]:
    return {"success": False, "error": why}


def _result(url: str, title: str = "", content: str = "", error: str | None = None) -> dict[str, Any]:
    return {"url": url, "title": title, "content": content, "error": error}


def _wrong_query(query: Any) -> str | None:
    if not isinstance(query, str) or not query.strip():
        return "query must be a string that is not empty."
    if len(query) > MOST_QUERY_CHARS:
        return f"query has {len(query):,} characters; at most {MOST_QUERY_CHARS:,} are searched for."
    if any("\ud800" <= character <= "\udfff" for character in query):
        return "query holds half a surrogate pair, which is no text."
    return None


def _wrong_number(name: str, value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return None if whole else f"{name} must be a whole number, not {type(value).__name__}."


def _wrong_urls(urls: Any) -> str | None:
    if not isinstance(urls, list | tuple) or not urls:
        return "urls must be a list of at least one URL."
    if len(urls) > MOST_URLS:
        return f"At most {MOST_URLS} URLs can be read in one call; there are {len(urls)}. Call again for the rest."
    return None


def _how_to_configure(names: Sequence[str]) -> str:
    needs = [f"{name}: {PROVIDERS[name].needs}" for name in names]
    if not needs:
        return f"No search provider is named by search in [runtime] of settings.toml: {', '.join(PROVIDERS)}."
    return f"No search provider is configured. Any one of these makes web_search work: {'; '.join(needs)}."
