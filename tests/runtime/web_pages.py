"""What the web server of the tests of web_extract answers, page by page: good ones and hostile ones."""

import gzip
from http.server import BaseHTTPRequestHandler

from tests.runtime.web_servers import Answer, answer, redirect

ARTICLE = """<!doctype html><html><head><title>On tides</title></head><body>
<nav><a href="/">Home</a> <a href="/buy">Buy now</a></nav>
<article><h1>On tides</h1>
<p>The tide is the rise and fall of the sea, which the moon and the sun cause by their gravity together.</p>
<h2>Springs and neaps</h2>
<p>Around full and new moon both pull in line, and the range is at its <a href="/most">largest</a>.</p>
<table><tr><th>Place</th><th>Range</th></tr><tr><td>Fundy</td><td>16 m</td></tr></table>
</article><footer>All rights reserved. Cookie settings.</footer></body></html>"""
LONG = "\n".join(f"line {number} of a long page" for number in range(4_000))
FRENCH = (
    "<html><head><title>Été</title>{}</head><body><p>Les élèves ont mangé des pâtes à Noël, déjà.</p></body></html>"
)


def pdf(text: str) -> bytes:
    """A document of one page, as small as one can be."""
    stream = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Title (On paper) >>",
    ]
    document, places = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        places.append(len(document))
        document += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    trailer = b"trailer << /Size 7 /Root 1 0 R /Info 6 0 R >>\nstartxref\n%d\n%%%%EOF" % len(document)
    return document + b"xref\n0 7\n0000000000 65535 f \n" + table + trailer


def for_ever(handler: BaseHTTPRequestHandler) -> None:
    """A redirect whose body never ends."""
    handler.send_response(302)
    handler.send_header("Location", "/article")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """Less than was promised."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"<p>That is")
    handler.close_connection = True


ANSWERS: dict[str, Answer] = {
    "/article": answer(ARTICLE),
    "/short": answer("<p>Hello</p>"),
    "/latin-header": answer(FRENCH.format("").encode("latin-1"), "text/html; charset=ISO-8859-1"),
    "/latin-meta": answer(FRENCH.format('<meta charset="iso-8859-1">').encode("latin-1")),
    "/utf-8": answer(FRENCH.format("").encode()),
    "/unknown-charset": answer(FRENCH.format("").encode(), "text/html; charset=unheard-of"),
    "/no-charset-at-all": answer(FRENCH.format("").encode(), "text/html; charset=zlib"),
    "/utf-16": answer(FRENCH.format("").encode("utf-16")),
    "/xhtml": answer(
        '<?xml version="1.0" encoding="utf-8"?>' + FRENCH.format("").replace("<html>", '<html xmlns="x">'),
        "application/xhtml+xml",
    ),
    "/untyped": answer(ARTICLE, None),
    "/endless-title": answer("<html><head><title>" + "On tides " * 100_000 + "</title></head><body><p>Hello</p>"),
    "/bare": answer("<title>On tides</title><p>The tide is the rise and fall of the sea."),
    "/broken": answer(b"Caf\xff \xc3\xa9", "text/plain"),
    "/plain": answer("just <b>text</b>", "text/plain; charset=utf-8"),
    "/markdown": answer("# Title\n\n[a](b)", "text/markdown"),
    "/json": answer('{"a": [1, 2]}', "application/json"),
    "/feed": answer("<rss/>", "application/rss+xml"),
    "/long": answer(LONG, "text/plain"),
    "/pdf": answer(pdf("Read me"), "application/pdf"),
    "/pdf-untyped": answer(pdf("Read me"), "application/octet-stream"),
    "/not-a-pdf": answer("%PDF-1.4 but no more", "application/pdf"),
    "/image": answer(b"\x89PNG\r\n", "image/png"),
    "/binary": answer(b"a\0b", "text/plain"),
    "/empty": answer(),
    "/nothing-in-it": answer("<html><body><script>run()</script></body></html>"),
    "/bom-only": answer(b"\xef\xbb\xbf", "text/html"),
    "/broken-server": answer("secret details", status=503),
    "/hop": redirect("/hop2", 301),
    "/hop2": redirect("article", 307),
    "/circle": redirect("/circle"),
    "/to-file": redirect("file:///etc/passwd"),
    "/to-nowhere": redirect("http://[nonsense/"),
    "/with-password": redirect("http://user:word@127.0.0.1/"),
    "/for-ever": for_ever,
    "/cut-short": cut_short,
    "/zipped": answer(gzip.compress(ARTICLE.encode()), Content_Encoding="gzip"),
    "/bomb": answer(gzip.compress(bytes(200_000_000), 9), "text/plain", Content_Encoding="gzip"),
    "/bomb-in-bomb": answer(
        gzip.compress(gzip.compress(bytes(200_000_000), 9), 9), "text/plain", Content_Encoding="gzip, gzip"
    ),
    "/no-gzip": answer(b"not compressed", Content_Encoding="gzip"),
    "/huge": answer(bytes(10_000_001), "text/plain"),
}
