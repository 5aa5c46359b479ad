"""Which hosts the guard of web calls lets through."""

from ipaddress import ip_address

import pytest

from mcp_notebook.runtime.web.addresses import is_internal, is_name, is_odd, is_public, literal

PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "93.184.215.14",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "192.169.0.0",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2a00:1450:4001:82a::200e",
    "64:ff9b::8.8.8.8",
    "::ffff:8.8.8.8",
    "2002:808:808::1",
    "2606:4700::5efe:8.8.8.8",
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.255.255.255",
    "10.0.0.0",
    "10.255.255.255",
    "100.64.0.1",
    "100.100.100.200",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "168.63.129.16",
    "169.254.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b:1::8.8.8.8",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:192.168.0.1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fec0::1",
    "ff02::1",
]
ODD = [
    "0",
    "127.1",
    "127.0.1",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.01",
    "127.0.0.0x1",
    "1.2.3.4.5",
    "256.256.256.256",
    "3232235777",
    "0x",
    "127.1.",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_public(address: str) -> None:
    """Ordinary addresses, those at the edges of the ranges, and those that hold an ordinary one."""
    assert is_public(ip_address(address))


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_everything_else_is_not(address: str) -> None:
    """Private, local, reserved, of a cloud's metadata, or an IPv6 address that leads to such an IPv4 address."""
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("host", ODD)
def test_odd_spellings_of_ipv4_are_seen(host: str) -> None:
    """Whatever a resolver takes for numbers of an address is no name."""
    assert is_odd(host)
    assert literal(host) is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "8.8.8.8", "8.8.8.8.", "::1", "example.com", "1.example", "0x7f.com", "x1"]
)
def test_usual_hosts_are_not_odd(host: str) -> None:
    """Names may begin with numbers, and addresses may end in a dot."""
    assert not is_odd(host)


def test_an_address_is_read_as_it_is_written() -> None:
    """Usual spellings only; one with a zone belongs to a link."""
    assert literal("127.0.0.1.") == ip_address("127.0.0.1")
    assert literal("::ffff:7f00:1") == ip_address("::ffff:127.0.0.1")
    assert literal("fe80::1%25eth0") is None
    assert literal("fe80::1%eth0") is None
    assert literal("example.com") is None


@pytest.mark.parametrize("name", ["localhost", "localhost.", "a.localhost", "localhost.localdomain", "metadata.goog"])
def test_names_of_the_inside(name: str) -> None:
    """They are refused before anything is resolved."""
    assert is_internal(name)


@pytest.mark.parametrize("name", ["example.com", "localhost.example.com", "notlocalhost", "internal.example.com"])
def test_other_names_are_resolved(name: str) -> None:
    """Only the end of a name counts."""
    assert not is_internal(name)


def test_what_dns_could_not_know_is_no_name() -> None:
    """Encoded, overlong and empty ones among them."""
    assert all(map(is_name, ["example.com", "example.com.", "_dmarc.example.com", "xn--bcher-kva.example", "intranet"]))
    wrong = ["", ".", "a..b", "%6cocalhost", "a b", "a/b", "-x.com", "é.com", "x" * 64, "a." * 127 + "com", "[::1]"]
    assert not any(map(is_name, wrong))
