"""Which IP addresses are on the public internet."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_MOST_KEPT: Final = 1024  # cached verdicts
_PUBLIC_V6: Final = ipaddress.IPv6Network("2000::/3")  # the only range that IANA has assigned for global unicast
# Listed here instead of using `ipaddress.is_global`, whose lists differ between Python releases.
_SPECIAL: Final[tuple[tuple[IpNetwork, str], ...]] = tuple(
    (ipaddress.ip_network(network), why)
    for why, networks in {  # a network stands before those that contain it
        "this machine": ("0.0.0.0/8", "127.0.0.0/8", "::/128", "::1/128"),
        "a private network": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
        "a carrier's network": ("100.64.0.0/10",),
        "a link-local address": ("169.254.0.0/16", "fe80::/10"),
        "a documentation address": ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
        "a test network": ("198.18.0.0/15",),
        "a multicast address": ("224.0.0.0/4", "ff00::/8"),
        "a 6to4 relay": ("192.88.99.0/24",),
        "a 6to4 address": ("2002::/16",),
        "a NAT64 address": ("64:ff9b::/96", "64:ff9b:1::/48"),
        "a Teredo address": ("2001::/32",),
        "an IPv4 address in IPv6": ("::ffff:0:0/96", "::ffff:0:0:0/96", "::/96"),
        "a reserved address": ("192.0.0.0/24", "240.0.0.0/4", "100::/64", "2001::/23"),
    }.items()
    for network in networks
)
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})  # RFC 5214: these values are followed by an IPv4 address


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedHosts:
    """Private hosts (in the form of `plain_host`), whatever their address, and networks that the operator allows for
    result URLs. Without any, protects against server-side request forgery: only public addresses are left."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[IpNetwork, ...] = ()

    def has(self, host: str) -> bool:
        """Whether this plain host is allowed. Names are not resolved."""
        return host in self.hosts or self._has_address(host)

    def refusal(self, host: str, address: str) -> str | None:
        """Why no connection may be made to this numeric address, to which the `host` of a URL was resolved; None if it
        may. The address is checked instead of the name, because a name may resolve differently next time."""
        if host in self.hosts or self._has_address(address):
            return None
        found = parse_address(address.partition("%")[0])
        return "not an IP address" if found is None else why_not_public(found)

    def _has_address(self, text: str) -> bool:
        address = parse_address(text.partition("%")[0])
        return address is not None and any(
            address.version == network.version and address in network for network in self.networks
        )


NO_HOSTS: Final = AllowedHosts()


def parse_address(text: str) -> IpAddress | None:
    """The IP address in a text; None if it is not one."""
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


@lru_cache(_MOST_KEPT)
def why_not_public(address: IpAddress) -> str | None:
    """What kind of special address this is ("a private network", "a NAT64 address"); None for an address on the public
    internet.

    An IPv6 address that contains an IPv4 address always counts as special: packets to it take another path than packets
    to the IPv4 address.
    """
    found = next((why for network, why in _SPECIAL if address.version == network.version and address in network), None)
    if found is not None:
        return found
    if isinstance(address, ipaddress.IPv6Address):
        if address not in _PUBLIC_V6:
            return "a reserved address"
        if int(address) >> 32 & 0xFFFFFFFF in _ISATAP:
            return "an IPv4 address in IPv6"
    return None if address.is_global else "a reserved address"
