"""The providers of web_search: one entry of ``PROVIDERS`` each, in which all that is particular to it lies.

Requests go to the addresses in the table and to the user's own SearXNG, which may be on loopback, and follow no
redirect: a key goes nowhere else. What fails is said in our own words, since those of others may hold the key.
"""

import importlib
import importlib.util
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import anyio
import anyio.to_thread
import httpx2

from mcp_notebook.runtime.host import Host
from mcp_notebook.runtime.web.fetching import FetchFailed, read

SEARCH_S = 20.0
"""For each provider."""
MOST_RESULTS = 20
MOST_BYTES = 5_000_000
MOST_FIELD_CHARS = 2_000
TIMEOUT = httpx2.Timeout(SEARCH_S, connect=10.0)
ENDPOINTS = {
    "brave": "https://api.search.brave.com/res/v1/web/search",
    "tavily": "https://api.tavily.com/search",
    "exa": "https://api.exa.ai/search",
}

Hit = dict[str, Any]
"""One result: ``title``, ``url``, ``description`` and ``position``."""


class SearchFailed(Exception):
    """This provider gave no results; the message, without any secret, says why."""


@dataclass(frozen=True)
class Search:
    """What one provider is asked, and with what."""

    query: str
    limit: int
    access: str
    """The key, or the URL of the user's instance."""
    endpoint: str
    client: httpx2.AsyncClient


@dataclass(frozen=True)
class Provider:
    """How to tell whether it can be used, and how it is asked."""

    needs: str
    """What the user would have to do to have it."""
    access: Callable[[Host], str | None]
    search: Callable[[Search], Awaitable[list[Hit]]]


def hits(found: Any, *, url: str = "url", description: str, limit: int) -> list[Hit]:
    """The results of a provider's answer in the shape of ours, those without an address left out.

    Raises:
        SearchFailed: it is no list of results.
    """
    if not isinstance(found, list):
        raise SearchFailed("its answer is not what its API promises")
    whole = [each for each in found if isinstance(each, dict) and _text(each.get(url))]
    return [
        {
            "title": _text(each.get("title")),
            "url": _text(each[url]),
            "description": _text(each.get(description)),
            "position": position,
        }
        for position, each in enumerate(whole[:limit], 1)
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = " ".join(part for part in value if isinstance(part, str))
    text = value if isinstance(value, str) else ""
    return text[:MOST_FIELD_CHARS].encode("utf-8", "replace").decode().strip()


def _key(*names: str) -> Callable[[Host], str | None]:
    def access(host: Host) -> str | None:
        return next((key for name in names if (key := host.credentials.get(name, "").strip())), None)

    return access


async def _searxng(search: Search) -> list[Hit]:
    url = _searxng_url(search.access)
    # The client's log shows the URL, which therefore must not hold a password.
    auth = (url.username, url.password) if url.userinfo else None
    bare = url.copy_with(userinfo=b"")
    answer = await _ask(search, "GET", bare, params={"q": search.query, "format": "json"}, auth=auth)
    found = hits(answer.get("results"), description="content", limit=search.limit)
    if not found and (silent := answer.get("unresponsive_engines")):
        engines = ", ".join(_text(each)[:60] for each in silent[:5]) if isinstance(silent, list) else ""
        raise SearchFailed(f"none of its engines answered ({engines})")
    return found


def _searxng_url(configured: str) -> httpx2.URL:
    try:
        url = httpx2.URL(configured)
    except (httpx2.InvalidURL, UnicodeError):
        raise SearchFailed("searxng_url is not a valid URL") from None
    if url.scheme not in ("http", "https") or not url.raw_host:
        raise SearchFailed("searxng_url is not a URL that begins with http:// or https://")
    return url.copy_with(path=url.path.rstrip("/").removesuffix("/search") + "/search", query=None, fragment=None)


async def _brave(search: Search) -> list[Hit]:
    params = {"q": search.query, "count": str(search.limit), "text_decorations": "false"}
    answer = await _ask(search, "GET", search.endpoint, params=params, headers={"X-Subscription-Token": search.access})
    web = answer.get("web") or {"results": []}  # without results there is no "web"
    return hits(web.get("results") if isinstance(web, dict) else None, description="description", limit=search.limit)


async def _tavily(search: Search) -> list[Hit]:
    question = {"query": search.query, "max_results": search.limit}
    headers = {"Authorization": f"Bearer {search.access}"}
    answer = await _ask(search, "POST", search.endpoint, json=question, headers=headers)
    return hits(answer.get("results"), description="content", limit=search.limit)


async def _exa(search: Search) -> list[Hit]:
    question = {"query": search.query, "numResults": search.limit, "contents": {"highlights": True}}
    answer = await _ask(search, "POST", search.endpoint, json=question, headers={"x-api-key": search.access})
    return hits(answer.get("results"), description="highlights", limit=search.limit)


async def _ask(search: Search, method: str, url: httpx2.URL | str, **request: Any) -> dict[str, Any]:
    """The JSON object that the provider answers with."""
    try:
        with anyio.fail_after(SEARCH_S):
            async with search.client.stream(method, url, **request) as response:
                if not response.is_success:
                    raise SearchFailed(_refusal(response.status_code))
                answer = json.loads(await read(response, MOST_BYTES))
    except (TimeoutError, httpx2.TimeoutException):
        raise SearchFailed("it did not answer in time") from None
    except (UnicodeEncodeError, httpx2.LocalProtocolError):
        raise SearchFailed("its key has characters that no key has") from None
    except httpx2.ConnectError:
        raise SearchFailed("it cannot be reached") from None
    except (httpx2.HTTPError, FetchFailed, ValueError, RecursionError):
        raise SearchFailed("its answer cannot be read as JSON") from None
    if not isinstance(answer, dict):
        raise SearchFailed("its answer is not what its API promises")
    return answer


def _refusal(status: int) -> str:
    reasons = {
        401: ": the key was refused",
        403: ": the key was refused, or, of SearXNG, the format json is not among search.formats in its settings.yml",
        429: ": too many requests, or the quota is used up",
    }
    return f"HTTP {status}{reasons.get(status, '')}"


def _ddgs_installed(host: Host) -> str | None:
    return "installed" if importlib.util.find_spec("ddgs") else None


async def _ddgs(search: Search) -> list[Hit]:
    with anyio.move_on_after(SEARCH_S):
        found = await anyio.to_thread.run_sync(_ask_ddgs, search.query, search.limit, abandon_on_cancel=True)
        return hits(found, url="href", description="body", limit=search.limit)
    raise SearchFailed("it did not answer in time")


def _ask_ddgs(query: str, limit: int) -> Any:
    ddgs = importlib.import_module("ddgs")
    try:
        return ddgs.DDGS(timeout=10).text(query, max_results=limit)
    except ddgs.exceptions.RatelimitException:
        raise SearchFailed("too many requests") from None
    except ddgs.exceptions.TimeoutException:
        raise SearchFailed("its engines did not answer in time") from None
    except Exception as exc:  # its HTTP client's errors have no other base, and show the proxy with its password
        found_none = isinstance(exc, ddgs.exceptions.DDGSException) and "No results found" in str(exc)
        why = "no engine found anything, or none answered" if found_none else "none of its engines can be reached"
        raise SearchFailed(why) from None


PROVIDERS: Mapping[str, Provider] = {
    "searxng": Provider(
        "searxng_url in [runtime] of settings.toml", lambda host: host.policy.searxng_url.strip() or None, _searxng
    ),
    "brave": Provider("BRAVE_API_KEY", _key("BRAVE_API_KEY", "BRAVE_SEARCH_API_KEY"), _brave),
    "tavily": Provider("TAVILY_API_KEY", _key("TAVILY_API_KEY"), _tavily),
    "exa": Provider("EXA_API_KEY", _key("EXA_API_KEY"), _exa),
    "ddgs": Provider("pip install 'mcp-notebook[web]'", _ddgs_installed, _ddgs),
}
