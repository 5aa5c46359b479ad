"""web_extract against real servers: what comes back of a page, and what is refused."""

import os
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import anyio
import pytest

from mcp_notebook.policy import Policy
from mcp_notebook.runtime.web import Outside, Web, fetching
from mcp_notebook.runtime.web.excerpts import excerpt
from tests.runtime.web_pages import ANSWERS, LONG
from tests.runtime.web_servers import Server, Session, answer, serving

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One for all tests."""
    with serving(ANSWERS) as server:
        yield server


@pytest.fixture
def host(tmp_path: Path) -> Session:
    """A session that may read what is on this machine."""
    return Session(tmp_path, Policy(private_addresses=True))


async def read(host: Session, url: str, **options: Any) -> dict[str, Any]:
    """The result for one URL."""
    answer = await Web(host).extract([url], **options)
    (result,) = answer["results"]
    assert set(result) == {"url", "title", "content", "error"}
    assert result["url"] == url
    return dict(result)


async def test_a_page_becomes_markdown(host: Session, server: Server) -> None:
    """With title, headings, tables and links that can be followed, and without navigation."""
    result = await read(host, server.url("/article"))
    assert (result["error"], result["title"]) == (None, "On tides")
    assert "## Springs and neaps" in result["content"]
    assert f"[largest]({server.url('/most')})" in result["content"]
    assert "| Fundy | 16 m |" in result["content"]
    assert "Buy now" not in result["content"]
    assert server.asked[-1].headers["user-agent"] == "mcp-notebook"


@pytest.mark.parametrize("path", ["/zipped", "/hop", "/untyped", "/bare"])
async def test_ways_to_the_same_page(host: Session, server: Server, path: str) -> None:
    """Compressed, through redirects, without a content type."""
    result = await read(host, server.url(path))
    assert (result["error"], result["title"]) == (None, "On tides")


async def test_a_page_of_one_line_is_not_lost(host: Session, server: Server) -> None:
    """What is too short to be an article is still the page's text."""
    assert (await read(host, server.url("/short")))["content"] == "Hello"


async def test_a_title_is_a_line(host: Session, server: Server) -> None:
    """Of no more than 500 characters."""
    title = (await read(host, server.url("/endless-title")))["title"]
    assert title == ("On tides " * 100)[:500]


@pytest.mark.parametrize(
    "path", ["/latin-header", "/latin-meta", "/utf-8", "/unknown-charset", "/no-charset-at-all", "/utf-16", "/xhtml"]
)
async def test_characters_are_what_the_page_meant(host: Session, server: Server, path: str) -> None:
    """By the mark, the header, the page, or UTF-8."""
    result = await read(host, server.url(path))
    assert (result["error"], result["title"]) == (None, "Été")
    assert "élèves ont mangé des pâtes à Noël, déjà" in result["content"]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/plain", "just <b>text</b>"),
        ("/markdown", "# Title\n\n[a](b)"),
        ("/json", '{"a": [1, 2]}'),
        ("/feed", "<rss/>"),
        ("/broken", "Caf\ufffd é"),
    ],
)
async def test_text_passes_as_it_is(host: Session, server: Server, path: str, content: str) -> None:
    """Whatever its type; bytes that are no characters are replaced."""
    result = await read(host, server.url(path))
    assert (result["error"], result["title"], result["content"]) == (None, "", content)


@pytest.mark.parametrize("path", ["/pdf", "/pdf-untyped"])
async def test_a_pdf_is_read(host: Session, server: Server, path: str) -> None:
    """Its text and its title, also where the server does not know its type."""
    result = await read(host, server.url(path))
    assert (result["error"], result["title"], result["content"]) == (None, "On paper", "Read me")


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/missing", "HTTP 404"),
        ("/broken-server", "HTTP 503"),
        ("/image", "image/png"),
        ("/binary", "binary"),
        ("/not-a-pdf", "PDF cannot be read"),
        ("/empty", "without any content"),
        ("/nothing-in-it", "No text"),
        ("/bom-only", "No text"),
        ("/circle", "redirects more than 5 times"),
        ("/to-file", "Only http and https"),
        ("/to-nowhere", "cannot be read"),
        ("/with-password", "user name or a password"),
        ("/cut-short", "cannot be read"),
        ("/no-gzip", "cannot be read"),
        ("/huge", "longer than 10 MB"),
        ("/bomb", "longer than 10 MB"),
        ("/bomb-in-bomb", "longer than 10 MB"),
    ],
)
async def test_what_cannot_be_had_says_why(host: Session, server: Server, path: str, error: str) -> None:
    """An error in the result of the page, and no content."""
    result = await read(host, server.url(path))
    assert error in result["error"]
    assert (result["title"], result["content"]) == ("", "")
    assert "secret details" not in result["error"]


async def test_the_body_of_a_redirect_is_not_read(host: Session, server: Server) -> None:
    """It may have no end."""
    with anyio.fail_after(20):
        assert (await read(host, server.url("/for-ever")))["title"] == "On tides"


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("ftp://example.com/", "Only http and https"),
        ("file:///etc/passwd", "Only http and https"),
        ("example.com", "Only http and https"),
        ("javascript:alert(1)", "Only http and https"),
        ("http://", "names no host"),
        ("http://127.0.0.1:99999/", "no port 99999"),
        ("http://127.0.0.1:0/", "no port 0"),
        ("http://127.0.0.1:x/", "not a valid URL"),
        ("http://[::1/", "not a valid URL"),
        ("http://a\nb/", "not a valid URL"),
        ("http://a/\ud800", "not a valid URL"),
        ("http://" + "a" * 70_000, "not a valid URL"),
        ("http://user:word@127.0.0.1/", "user name or a password"),
        ("http://user@127.0.0.1/", "user name or a password"),
    ],
)
async def test_a_url_that_is_none(host: Session, url: str, error: str) -> None:
    """Refused before anything is sent."""
    assert error in (await read(host, url))["error"]


async def test_nobody_listens(host: Session) -> None:
    """The server's port is closed by then."""
    with serving({}) as gone:
        url = gone.url()
    assert "cannot be read" in (await read(host, url))["error"]


@pytest.mark.parametrize("urls", [None, "http://a.example/", {}, [], 7])
async def test_urls_must_be_a_list(host: Session, urls: Any) -> None:
    """What is none is refused as a whole."""
    refused = await Web(host).extract(urls)
    assert set(refused) == {"error"}
    assert "list" in refused["error"]


@pytest.mark.parametrize("limit", ["many", 1.5, True, [3]])
async def test_char_limit_must_be_a_number(host: Session, limit: Any) -> None:
    """What is none is refused as a whole."""
    refused = await Web(host).extract(["http://a.example/"], char_limit=limit)
    assert refused == {"error": f"char_limit must be a whole number, not {type(limit).__name__}."}


async def test_more_than_five_are_refused(host: Session, server: Server) -> None:
    """None of them is read: the caller is to know what was."""
    before = len(server.asked)
    refused = await Web(host).extract([server.url("/plain")] * 6)
    assert set(refused) == {"error"}
    assert "At most 5 URLs" in refused["error"]
    assert len(server.asked) == before


async def test_each_item_has_its_own_result(host: Session, server: Server) -> None:
    """In the order of the URLs; results of web_search are taken for URLs."""
    items: list[Any] = [server.url("/missing"), {"url": server.url("/plain")}, 7, {"title": "no address"}]
    results = (await Web(host).extract(items))["results"]
    assert [result["url"] for result in results] == [items[0], items[1]["url"], "", ""]
    assert results[1]["content"] == "just <b>text</b>"
    assert ["HTTP 404" in results[0]["error"], results[1]["error"]] == [True, None]
    assert all("This is no URL" in result["error"] for result in results[2:])


async def test_pages_are_read_at_the_same_time(host: Session) -> None:
    """The server answers none of the five before all five have asked."""
    all_here = threading.Barrier(5, timeout=20)

    def together(handler: BaseHTTPRequestHandler) -> None:
        all_here.wait()
        answer("here", "text/plain")(handler)

    with serving({f"/{n}": together for n in range(5)}) as server:
        results = (await Web(host).extract([server.url(f"/{n}") for n in range(5)]))["results"]
    assert [result["content"] for result in results] == ["here"] * 5


async def test_of_a_long_page_head_and_tail_come_back(host: Session, server: Server) -> None:
    """With a note of what is missing and the file that has it all, which only the user may read."""
    result = await read(host, server.url("/long"))
    content, note = result["content"], result["content"].partition("\n\n[... ")[2].partition(" ...]\n\n")[0]
    assert content.startswith("line 0 of") and content.endswith("line 3999 of a long page")
    assert len(content) == 15_000 + len(note) + len("\n\n[...  ...]\n\n")
    assert note.startswith(f"{len(LONG) - 15_000:,} of {len(LONG):,} characters are left out")
    check_kept(Path(note.rpartition(" ")[2]), host.directory)


def check_kept(file: Path, directory: Path) -> None:
    """It is the session's, whole, and nobody else may read it."""
    assert file.is_relative_to(directory)
    assert file.read_text() == LONG
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("limit", "shown"), [(1, 2_000), (-5, 2_000), (3_000, 3_000), (10**9, len(LONG))])
async def test_the_limit_is_the_callers_within_bounds(host: Session, server: Server, limit: int, shown: int) -> None:
    """At least 2,000 characters, at most 500,000."""
    content = (await read(host, server.url("/long"), char_limit=limit))["content"]
    assert sum(map(len, re.split(r"\n\n\[\.\.\. .* \.\.\.\]\n\n", content))) == shown


def test_a_page_that_cannot_be_kept_still_comes_back(tmp_path: Path) -> None:
    """The note says why there is no file."""
    (tmp_path / "web").write_text("a file where the directory should be")
    short = excerpt("x" * 30_000, 2_000, "http://a.example/", tmp_path)
    assert "could not be kept (File exists): raise char_limit" in short


def test_kept_pages_do_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest go when there are too many."""
    monkeypatch.setattr("mcp_notebook.runtime.web.excerpts.MOST_KEPT_BYTES", 70_000)
    for number in range(4):
        excerpt("x" * 30_000, 2_000, f"http://{number}.example/../a b", tmp_path)
        for age, file in enumerate(sorted((tmp_path / "web").iterdir(), reverse=True)):
            os.utime(file, (1_000 - age, 1_000 - age))
    kept = sorted(file.name[:9] for file in (tmp_path / "web").iterdir())
    assert kept == ["2.example", "3.example"]


@pytest.mark.parametrize(("path", "what"), [("/article", "trafilatura"), ("/pdf", "pypdf")])
async def test_without_the_packages_the_error_says_what_to_install(
    host: Session, server: Server, path: str, what: str
) -> None:
    """The interpreter here has the standard library only."""
    web = Web(host, Outside(python=(sys.executable, "-I", "-S")))
    (result,) = (await web.extract([server.url(path)]))["results"]
    assert result["error"].endswith(f"needs {what}. Install it: pip install 'mcp-notebook[web]'")


@pytest.mark.parametrize("python", [("false",), ("sh", "-c", "kill -9 $$"), ("sh", "-c", "exit 3"), ("true",)])
async def test_a_converter_that_crashes_is_one_pages_error(
    host: Session, server: Server, python: tuple[str, ...]
) -> None:
    """The page that crashes it is no danger to the server."""
    web = Web(host, Outside(python=python))
    results = (await web.extract([server.url("/article"), server.url("/plain")]))["results"]
    assert "conversion to text failed" in results[0]["error"]
    assert results[1]["error"] is None


async def test_a_cancelled_call_leaves_no_process(host: Session, server: Server, tmp_path: Path) -> None:
    """The program that converts is killed with it."""
    os.mkfifo(tmp_path / "running")
    web = Web(host, Outside(python=("sh", "-c", f'echo $$ >"{tmp_path}/running"; exec sleep 600')))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(web.extract, [server.url("/article")])
            pid = int(await anyio.to_thread.run_sync((tmp_path / "running").read_text))
            group.cancel_scope.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_page_that_takes_too_long_is_given_up(
    host: Session, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that never ends does not keep the others from coming back."""
    go = threading.Event()
    monkeypatch.setattr(fetching, "PAGE_S", 2.0)
    with serving({"/": lambda handler: _held(go, handler)}) as slow:
        results = (await Web(host).extract([slow.url(), server.url("/plain")]))["results"]
        go.set()
    assert "took longer than 2 s" in results[0]["error"]
    assert results[1]["error"] is None


def _held(go: threading.Event, handler: BaseHTTPRequestHandler) -> None:
    go.wait(60)
    answer("at last")(handler)
