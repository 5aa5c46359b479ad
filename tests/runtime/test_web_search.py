"""web_search: a real SearXNG, servers that keep the contracts of the others, and what is said when none answers."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mcp_notebook.policy import NAMES, Policy
from mcp_notebook.runtime.web import Outside, Web
from mcp_notebook.runtime.web.providers import PROVIDERS
from tests.runtime.searxng import searxng
from tests.runtime.web_servers import Answer, Server, Session, answer, redirect, serving

pytestmark = pytest.mark.anyio

PAGES = [
    ("On tides", "https://tides.example/a", "The rise and fall of the sea"),
    ("Tide tables", "https://tides.example/b", "When the water is high, é"),
    ("Mountains", "https://mountains.example/", "They do not move"),
]
KEY = "a-key-that-nobody-may-see"
KEYS = {"BRAVE_API_KEY": KEY, "TAVILY_API_KEY": KEY, "EXA_API_KEY": KEY}


def results(*, description: str, more: int = 0) -> list[dict[str, Any]]:
    """What a provider finds, one without an address among it."""
    found = [{"title": "First", "url": "https://a.example/", description: "The first"}, {"title": "No address"}]
    return found + [{"title": f"{n}", "url": f"https://{n}.example/"} for n in range(more)]


def as_json(data: Any, **options: Any) -> Answer:
    """A provider's answer."""
    return answer(json.dumps(data), "application/json", **options)


BRAVE = as_json({"web": {"results": results(description="description", more=40)}})
TAVILY = as_json({"results": results(description="content")})
EXA = as_json({"results": [{"title": "First", "url": "https://a.example/", "highlights": ["The", "first"]}]})


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a SearXNG."""
    with searxng(tmp_path_factory.mktemp("searxng"), PAGES) as url:
        yield url


async def search(
    directory: Path,
    server: Server | None,
    *providers: str,
    query: Any = "x",
    limit: Any = 5,
    searxng: str = "",
    **keys: str,
) -> dict[str, Any]:
    """What web_search answers where these are the providers, whose addresses are paths of the server."""
    endpoints = {name: server.url(f"/{name}") for name in ("brave", "tavily", "exa")} if server else {}
    policy = Policy(search=providers, searxng_url=searxng)
    web = Web(Session(directory, policy, credentials=keys or KEYS), Outside(endpoints=endpoints))
    try:
        return await web.search(query, limit)
    finally:
        await web.aclose()


async def test_searxng_finds_pages(tmp_path: Path, engine: str) -> None:
    """A real one, on loopback, which the user's setting allows."""
    found = await search(tmp_path, None, "searxng", searxng=engine + "/", query="  tide ")
    assert found == {
        "success": True,
        "data": {
            "web": [
                {"title": title, "url": url, "description": text, "position": position}
                for position, (title, url, text) in enumerate(PAGES[:2], 1)
            ]
        },
    }


async def test_one_instance_is_asked_again_and_again(tmp_path: Path, engine: str) -> None:
    """Also after its connections were closed; what is not there is no failure."""
    web = Web(Session(tmp_path, Policy(searxng_url=engine)))
    assert len((await web.search("tide", limit=1))["data"]["web"]) == 1
    assert (await web.search("nothing has this in it"))["data"] == {"web": []}
    await web.aclose()
    assert (await web.search("mountains"))["data"]["web"][0]["title"] == "Mountains"
    await web.aclose()
    await web.aclose()


async def test_searxng_without_json_says_what_to_change(tmp_path: Path) -> None:
    """Its settings do not allow the format at first."""
    with searxng(tmp_path, PAGES, formats="html") as url:
        found = await search(tmp_path, None, "searxng", searxng=url, query="tides")
    assert found["success"] is False
    assert "HTTP 403" in found["error"] and "search.formats" in found["error"]


async def test_searxng_whose_engines_are_silent_has_not_answered(tmp_path: Path) -> None:
    """The next provider is asked; with none left, the engines are named."""
    silent = as_json({"results": [], "unresponsive_engines": [["google", "timeout"]]})
    with serving({"/search": silent, "/tavily": TAVILY}) as server:
        failed = await search(tmp_path, server, "searxng", searxng=server.url(""))
        found = await search(tmp_path, server, "searxng", "tavily", searxng=server.url(""))
    assert "none of its engines answered (google timeout)" in failed["error"]
    assert found["success"] is True


async def test_searxng_below_a_path_and_with_a_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The password goes into a header, and into no log."""
    caplog.set_level(logging.DEBUG)
    with serving({"/sx/search": as_json({"results": []})}) as server:
        url = server.url("/sx/?a=b").replace("//", "//me:s3cret-word@")
        found = await search(tmp_path, server, "searxng", searxng=url, query="a&b=c")
    assert found == {"success": True, "data": {"web": []}}
    assert server.asked[0].path == "/sx/search?q=a%26b%3Dc&format=json"
    assert server.asked[0].headers["authorization"].startswith("Basic ")
    assert "s3cret-word" not in caplog.text


async def test_a_redirect_of_searxng_is_not_followed(tmp_path: Path) -> None:
    """It would lead code in cells to places that the user did not name."""
    with serving({"/search": redirect("/inside"), "/inside": as_json({"results": []})}) as server:
        found = await search(tmp_path, server, "searxng", searxng=server.url(""))
    assert "HTTP 302" in found["error"]
    assert [asked.path.partition("?")[0] for asked in server.asked] == ["/search"]


@pytest.mark.parametrize("url", ["searx.example", "ftp://searx.example", "http://[x]", "http://", "http://a\ud800"])
async def test_a_searxng_url_that_is_none(tmp_path: Path, url: str) -> None:
    """The error names the setting."""
    assert "searxng_url is not" in (await search(tmp_path, None, "searxng", searxng=url))["error"]


async def test_brave_is_asked_as_its_api_wants(tmp_path: Path) -> None:
    """At most 20 results, whatever is asked for; those without an address do not count."""
    with serving({"/brave": BRAVE}) as server:
        found = await search(tmp_path, server, "brave", query="x y", limit=1000)
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("GET", "/brave?q=x+y&count=20&text_decorations=false")
    assert asked.headers["x-subscription-token"] == KEY
    hits = found["data"]["web"]
    assert hits[0] == {"title": "First", "url": "https://a.example/", "description": "The first", "position": 1}
    assert [hit["position"] for hit in hits] == list(range(1, 21))


async def test_brave_finds_nothing(tmp_path: Path) -> None:
    """Its answer then has no list at all."""
    with serving({"/brave": as_json({"type": "search"})}) as server:
        assert (await search(tmp_path, server, "brave"))["data"] == {"web": []}


async def test_tavily_is_asked_as_its_api_wants(tmp_path: Path) -> None:
    """At least one result, whatever is asked for."""
    with serving({"/tavily": TAVILY}) as server:
        found = await search(tmp_path, server, "tavily", limit=-3)
    (asked,) = server.asked
    assert (asked.method, json.loads(asked.body)) == ("POST", {"query": "x", "max_results": 1})
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert [hit["description"] for hit in found["data"]["web"]] == ["The first"]


async def test_exa_is_asked_as_its_api_wants(tmp_path: Path) -> None:
    """Its highlights make the description."""
    with serving({"/exa": EXA}) as server:
        found = await search(tmp_path, server, "exa")
    (asked,) = server.asked
    assert json.loads(asked.body) == {"query": "x", "numResults": 5, "contents": {"highlights": True}}
    assert asked.headers["x-api-key"] == KEY
    assert found["data"]["web"][0]["description"] == "The first"


BAD_ANSWERS: list[tuple[str, Answer]] = [
    ("HTTP 401: the key was refused", as_json({"detail": f"bad key {KEY}"}, status=401)),
    ("HTTP 429: too many", answer(status=429)),
    ("HTTP 500", answer(KEY, status=500)),
    ("HTTP 302", redirect("http://elsewhere.example/")),
    ("its answer cannot be read as JSON", answer("<html>")),
    ("its answer cannot be read as JSON", answer("[" * 100_000)),
    ("its answer cannot be read as JSON", answer(b"x" * 6_000_000)),
    ("its answer cannot be read as JSON", answer(b"{}", Content_Encoding="gzip")),
    ("its answer is not what its API promises", as_json([KEY])),
    ("its answer is not what its API promises", as_json({"results": {"a": KEY}})),
    ("its answer is not what its API promises", as_json({"results": None})),
]


@pytest.mark.parametrize(("why", "bad"), BAD_ANSWERS)
async def test_the_next_provider_is_tried(
    tmp_path: Path, why: str, bad: Answer, caplog: pytest.LogCaptureFixture
) -> None:
    """After whatever a provider does wrong; with none left, the error says what that was, and no secret."""
    caplog.set_level(logging.DEBUG)
    with serving({"/tavily": bad, "/exa": EXA}) as server:
        assert (await search(tmp_path, server, "tavily", "exa"))["success"] is True
        failed = await search(tmp_path, server, "tavily")
    assert failed["success"] is False
    assert f"tavily ({why}" in failed["error"]
    assert KEY not in failed["error"] + caplog.text


async def test_an_answer_of_nonsense_does_no_harm(tmp_path: Path) -> None:
    """Results of other shapes are left out or empty, texts are cut, and are characters."""
    strange = [
        3,
        {"url": 7},
        {"url": " "},
        {"url": "https://a.example/", "title": ["t", 1], "content": "\ud800" * 9_999},
    ]
    with serving({"/tavily": as_json({"results": strange})}) as server:
        found = await search(tmp_path, server, "tavily")
    assert found["data"]["web"] == [
        {"title": "t", "url": "https://a.example/", "description": "?" * 2_000, "position": 1}
    ]


async def test_the_order_is_the_users(tmp_path: Path) -> None:
    """And a provider without a key is not asked; the other name of Brave's key is known too."""
    with serving({"/brave": BRAVE, "/exa": EXA, "/tavily": TAVILY}) as server:
        names = ("tavily", "exa", "brave")
        assert (await search(tmp_path, server, *names, BRAVE_SEARCH_API_KEY=KEY, EXA_API_KEY=KEY))["success"] is True
        assert [asked.path for asked in server.asked] == ["/exa"]
        assert (await search(tmp_path, server, "brave", BRAVE_SEARCH_API_KEY=f" {KEY}\n"))["success"] is True


async def test_nobody_is_there(tmp_path: Path) -> None:
    """Every provider that was tried is named with its reason."""
    with serving({"/exa": answer(status=403)}) as server:
        with serving({}) as gone:
            url = gone.url("")
        failed = await search(tmp_path, server, "searxng", "exa", searxng=url)
    assert failed["success"] is False
    assert failed["error"].startswith("No search provider answered: searxng (it cannot be reached); exa (HTTP 403")


@pytest.mark.parametrize("key", ["two\nlines", "schlüssel-schlüssel", "nul\0nul"])
async def test_a_key_that_no_header_takes(tmp_path: Path, key: str, caplog: pytest.LogCaptureFixture) -> None:
    """It is not repeated in the error, as the HTTP library would."""
    caplog.set_level(logging.DEBUG)
    with serving({}) as server:
        failed = await search(tmp_path, server, "brave", BRAVE_API_KEY=key)
    assert "brave (its key has characters that no key has)" in failed["error"]
    assert key not in failed["error"] + caplog.text
    assert server.asked == []


def test_every_provider_can_be_named_in_the_settings() -> None:
    """And no other."""
    assert tuple(PROVIDERS) == NAMES["search"]


async def test_without_any_provider_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    """The settings and the variables of those that the user allows."""
    failed = await search(tmp_path, None, "searxng", "brave", SOMETHING="else")
    assert failed == {
        "success": False,
        "error": "No search provider is configured. Any one of these makes web_search work: searxng: searxng_url in"
        " [runtime] of settings.toml; brave: BRAVE_API_KEY.",
    }
    failed = await search(tmp_path, None)
    assert "named by search in [runtime]" in failed["error"]


@pytest.mark.parametrize("query", ["", "  ", None, 7, ["x"], "x" * 2_001, "half \ud83d"])
async def test_a_query_that_is_none(tmp_path: Path, query: Any) -> None:
    """Refused before anybody is asked."""
    with serving({"/exa": EXA}) as server:
        refused = await search(tmp_path, server, "exa", query=query)
    assert (refused["success"], refused["error"].startswith("query ")) == (False, True)
    assert server.asked == []


@pytest.mark.parametrize("limit", ["5", 2.0, None, True])
async def test_a_limit_that_is_none(tmp_path: Path, limit: Any) -> None:
    """Refused before anybody is asked."""
    refused = await search(tmp_path, None, "exa", limit=limit)
    assert refused == {"success": False, "error": f"limit must be a whole number, not {type(limit).__name__}."}


@pytest.mark.parametrize("proxy", ["http://me:s3cret-word@127.0.0.1:{}", "nonsense:s3cret-word"])
async def test_ddgs_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """The real package; its proxy is a port that nobody listens on, or none, so that it has no network anywhere."""
    with serving({}) as gone:
        monkeypatch.setenv("DDGS_PROXY", proxy.format(gone.port))
    failed = await search(tmp_path, None, "ddgs", query="tides")
    assert failed == {
        "success": False,
        "error": "No search provider answered: ddgs (none of its engines can be reached).",
    }
