"""Which hosts web calls may reach: the guard against requests to the inside of a network.

Pure: nothing is resolved here. The ranges are those of IANA's registries of special-purpose addresses,
https://www.iana.org/assignments/iana-ipv4-special-registry and its sister for IPv6, and not those of
``ipaddress``, which differ from one Python to the next.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

IPAddress = IPv4Address | IPv6Address

NOT_PUBLIC = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; a cloud's metadata is here too
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # a cloud's metadata at an address that looks public
        "169.254.0.0/16",  # link-local, and most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; a cloud's metadata is here too
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays of 6to4
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
    )
)
GLOBAL_UNICAST = IPv6Network("2000::/3")
NOT_PUBLIC_V6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, Teredo among them
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
    )
)
SIX_TO_FOUR = IPv6Network("2002::/16")
MAPPED = IPv6Network("::ffff:0:0/96")
NAT64 = IPv6Network("64:ff9b::/96")
ISATAP = {0x00005EFE, 0x02005EFE}
"""The middle of an address whose last 32 bits are those of an IPv4 host."""
INTERNAL_NAMES = ("localhost", "localdomain", "local", "internal", "metadata.goog")
"""Names, and what is below them, that are never public whatever they resolve to."""

_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LONGEST_NAME = 253


def is_public(address: IPAddress) -> bool:
    """Whether it is an ordinary address of the internet, and so is any IPv4 address inside it."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC)
    inner = _embedded(address)
    if address in MAPPED or address in NAT64:
        return inner is not None and is_public(inner)
    if address not in GLOBAL_UNICAST or any(address in network for network in NOT_PUBLIC_V6):
        return False
    return inner is None or is_public(inner)


def literal(host: str) -> IPAddress | None:
    """The address that ``host`` spells in the usual way; None for a name and for odd spellings.

    An IPv6 address with a zone is link-local by meaning and no usual spelling.
    """
    try:
        return None if "%" in host else ip_address(host.rstrip("."))
    except (AddressValueError, ValueError):
        return None


def is_odd(host: str) -> bool:
    """Whether resolvers take it for an IPv4 address in decimal, octal, hex or short form: ``0x7f.1``.

    So they do with every host whose last part is a number, https://url.spec.whatwg.org/#ends-in-a-number-checker.
    """
    return literal(host) is None and _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]) is not None


def is_internal(name: str) -> bool:
    """Whether it is a name that only this machine or its network gives a meaning."""
    bare = name.rstrip(".")
    return any(bare == internal or bare.endswith(f".{internal}") for internal in INTERNAL_NAMES)


def is_name(host: str) -> bool:
    """Whether DNS could know it: lower-case ASCII, as IDNA leaves it."""
    bare = host.removesuffix(".")
    return len(bare) <= _LONGEST_NAME and _NAME.fullmatch(bare) is not None


def _embedded(address: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that packets to ``address`` may end at."""
    value = int(address)
    if address in SIX_TO_FOUR:
        return IPv4Address(value >> 80 & 0xFFFFFFFF)
    if address in MAPPED or address in NAT64 or value >> 32 & 0xFFFFFFFF in ISATAP:
        return IPv4Address(value & 0xFFFFFFFF)
    return None
