"""The guard of web_extract at work: what is refused is never connected to.

Other addresses of loopback stand for public ones, which the guard of these tests is told; all else is its own.
"""

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import httpx2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mcp_notebook.policy import Policy
from mcp_notebook.runtime.web import Outside, Web
from mcp_notebook.runtime.web.addresses import IPAddress, is_public
from mcp_notebook.runtime.web.fetching import BLOCKED, Guard, GuardedTransport
from tests.runtime.web_servers import Session, answer, redirect, serving

pytestmark = pytest.mark.anyio

PUBLIC = "127.0.0.2"
"""What stands for an address of the internet."""
NOBODY = "127.0.0.3"
"""One where nobody listens."""


def as_if_public(address: IPAddress) -> bool:
    """As the guard has it, but for two addresses."""
    return address in (ip_address(PUBLIC), ip_address(NOBODY)) or is_public(address)


class Names:
    """A resolver that answers with what it is given for each name, one after the other, and counts."""

    def __init__(self, **names: Sequence[Sequence[str]]) -> None:
        self._answers = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, name: str, port: int) -> Sequence[str]:
        self.asked.append(name)
        answers = self._answers.get(name)
        if not answers:
            raise OSError("no such name")
        return answers.pop(0) if len(answers) > 1 else answers[0]


def guarded(directory: Path, names: Names, certificates: ssl.SSLContext | None = None) -> Web:
    """Web calls whose guard is on."""
    return Web(Session(directory), Outside(guard=Guard(names, as_if_public), certificates=certificates))


async def read(web: Web, url: str) -> dict[str, Any]:
    """The result for one URL."""
    (result,) = (await web.extract([url]))["results"]
    return dict(result)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0",
        "127.0.0.1.",
        "127。0。0。1",  # IDNA takes these for dots
        "localhost",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "10.1.2.3",
        "100.64.0.1",
        "169.254.169.254",
        "metadata.google.internal",
    ],
)
async def test_a_place_inside_is_refused(tmp_path: Path, host: str) -> None:
    """However it is written; the server there is not asked."""
    with serving({"/": answer("inside")}) as server:
        result = await read(Web(Session(tmp_path)), server.url("/", host))
    assert result == {"url": server.url("/", host), "title": "", "content": "", "error": BLOCKED}
    assert server.asked == []


async def test_an_octal_address_is_no_url_at_all(tmp_path: Path) -> None:
    """Four numbers with zeros before them mean different things to different programs."""
    with serving({"/": answer("inside")}) as server:
        result = await read(Web(Session(tmp_path)), server.url("/", "0177.0.0.1"))
    assert result["error"] == "This is not a valid URL."
    assert server.asked == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], [PUBLIC, "127.0.0.1"], ["::1"], ["::ffff:127.0.0.1"], ["fe80::1%lo"], ["10.0.0.1"]]
)
async def test_a_name_that_leads_inside_is_refused(tmp_path: Path, addresses: list[str]) -> None:
    """Also if only one of its addresses does."""
    with serving({"/": answer("inside")}) as server:
        result = await read(guarded(tmp_path, Names(a_test=[addresses])), server.url("/", "a.test"))
    assert result["error"] == BLOCKED
    assert server.asked == []


@pytest.mark.parametrize("there", ["127.0.0.1", "inside.test", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_redirect_inside_is_refused(tmp_path: Path, there: str) -> None:
    """The first place is public, the next is not; in between is another redirect."""
    names = Names(outside_test=[[PUBLIC]], inside_test=[["127.0.0.1"]])
    with serving({"/": answer("inside")}) as inside:
        answers = {"/": redirect("/further"), "/further": redirect(inside.url("/", there))}
        with serving(answers, PUBLIC) as outside:
            result = await read(guarded(tmp_path, names), outside.url("/", "outside.test"))
    assert result["error"] == BLOCKED
    assert [asked.path for asked in outside.asked] == ["/", "/further"]
    assert inside.asked == []


async def test_the_second_answer_of_a_resolver_is_never_used(tmp_path: Path) -> None:
    """The connection goes to the address that was checked, with the name as its Host."""
    names = Names(a_test=[[PUBLIC], ["127.0.0.1"]])
    with (
        serving({"/": answer("outside", "text/plain")}, PUBLIC) as outside,
        serving({"/": answer("inside", "text/plain")}, port=outside.port) as inside,
    ):
        result = await read(guarded(tmp_path, names), outside.url("/", "a.test"))
    assert (result["content"], result["error"]) == ("outside", None)
    assert names.asked == ["a.test"]
    assert outside.asked[0].headers["host"] == f"a.test:{outside.port}"
    assert inside.asked == []


async def test_a_redirect_is_resolved_and_checked_anew(tmp_path: Path) -> None:
    """A name that was public a moment ago is refused where it now leads inside."""
    names = Names(a_test=[[PUBLIC], ["127.0.0.1"]])
    with serving({"/": redirect("/again"), "/again": answer("outside")}, PUBLIC) as outside:
        result = await read(guarded(tmp_path, names), outside.url("/", "a.test"))
    assert result["error"] == BLOCKED
    assert len(outside.asked) == 1


async def test_the_next_address_is_tried(tmp_path: Path) -> None:
    """Where a name has several, and the first does not answer."""
    with serving({"/": answer("outside", "text/plain")}, PUBLIC) as outside:
        result = await read(guarded(tmp_path, Names(a_test=[[NOBODY, PUBLIC]])), outside.url("/", "a.test"))
    assert (result["content"], result["error"]) == ("outside", None)


@pytest.mark.parametrize("name", ["missing.test", "%6c%6fcalhost", "a..test", "xn--.test"])
async def test_a_name_without_addresses(tmp_path: Path, name: str) -> None:
    """And what cannot be a name, for which nobody is asked."""
    assert "cannot be resolved" in (await read(guarded(tmp_path, Names()), f"http://{name}/"))["error"]


async def test_the_machines_own_resolver_is_used(tmp_path: Path) -> None:
    """Top-level names below ``invalid`` are never there."""
    result = await read(Web(Session(tmp_path)), "http://nothing.invalid/")
    assert "'nothing.invalid' cannot be resolved" in result["error"]


async def test_a_proxy_of_the_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would resolve names itself, unchecked."""
    with serving({}) as proxy, serving({"/": answer("outside", "text/plain")}, PUBLIC) as outside:
        for variable in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(variable, proxy.url())
        result = await read(guarded(tmp_path, Names(a_test=[[PUBLIC]])), outside.url("/", "a.test"))
    assert result["content"] == "outside"
    assert proxy.asked == []


async def test_the_policy_opens_the_inside(tmp_path: Path) -> None:
    """``private_addresses`` is the user's word for it."""
    with serving({"/": answer("inside", "text/plain")}) as server:
        result = await read(Web(Session(tmp_path, Policy(private_addresses=True))), server.url())
    assert result["content"] == "inside"


async def test_the_certificate_is_checked_for_the_name(tmp_path: Path) -> None:
    """Not for the address that is connected to."""
    server_side, client_side = certificates(tmp_path, "a.test")
    names = Names(a_test=[[PUBLIC]], b_test=[[PUBLIC]])
    web = guarded(tmp_path, names, client_side)
    with serving({"/": answer("safe", "text/plain")}, PUBLIC, tls=server_side) as server:
        assert (await read(web, server.url("/", "a.test", "https")))["content"] == "safe"
        other = await read(web, server.url("/", "b.test", "https"))
        bare = await read(web, server.url("/", PUBLIC, "https"))
    assert "certificate verify failed" in other["error"]
    assert "certificate verify failed" in bare["error"]
    assert len(server.asked) == 1


async def test_a_connection_does_not_serve_another_name(tmp_path: Path) -> None:
    """One to an address that two names share is not kept: its certificate is that of the first name."""
    server_side, client_side = certificates(tmp_path, "a.test")
    guard = Guard(Names(a_test=[[PUBLIC]], b_test=[[PUBLIC]]), as_if_public)
    with serving({"/": answer("a's", "text/plain")}, PUBLIC, tls=server_side) as server:
        async with httpx2.AsyncClient(transport=GuardedTransport(guard, client_side)) as client:
            assert (await client.get(server.url("/", "a.test", "https"))).text == "a's"
            with pytest.raises(httpx2.ConnectError, match="certificate verify failed"):
                await client.get(server.url("/", "b.test", "https"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("there", ["http:///x", "http://[x]/", "http://a..b:99999999999/", "https://\xff/", "//"])
async def test_a_redirect_to_nonsense_is_an_error(tmp_path: Path, there: str) -> None:
    """Of the page, not of the server; also where the first name is none that IDNA knows."""
    with serving({"/": redirect(there)}, PUBLIC) as server:
        result = await read(guarded(tmp_path, Names(**{"xn--a_test": [[PUBLIC]]})), server.url("/", "xn--a.test"))
    assert result["error"]
    assert len(server.asked) >= 1


def certificates(directory: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server that is ``name``, and for a client that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_side.load_cert_chain(directory / "certificate.pem", directory / "key.pem")
    return server_side, ssl.create_default_context(cafile=directory / "certificate.pem")
