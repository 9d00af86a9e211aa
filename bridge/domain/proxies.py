"""The proxy that the environment sets for an address: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY.

As in other programs, lower-case names take precedence. Requests to this machine never use a proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bridge.domain.origins import PORTS, ascii_host
from bridge.domain.public_addresses import IpAddress, IpNetwork, parse_address

NO_PROXY: Final = "none"  # in the settings: no proxy, even if the environment sets one


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """One entry of NO_PROXY: a host with its subdomains, or a network. `port` None means every port."""

    host: str = ""
    network: IpNetwork | None = None
    port: int | None = None

    def covers(self, host: str, address: IpAddress | None, port: int | None) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return address is not None and address.version == self.network.version and address in self.network
        return self.host == "*" or host == self.host or host.endswith(f".{self.host}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxyRules:
    """The proxy settings of the environment, or of an account or endpoint with its own."""

    http: str | None = None
    https: str | None = None
    exemptions: tuple[Exemption, ...] = ()
    every: str | None = None  # for every address, even of this machine

    @staticmethod
    def of(env: Mapping[str, str]) -> ProxyRules:
        """The rules in these variables. An empty variable counts as missing."""
        every = _variable(env, "all_proxy")
        http, https = _variable(env, "http_proxy") or every, _variable(env, "https_proxy") or every
        entries = (env.get("no_proxy") or env.get("NO_PROXY") or "").replace(",", " ").split()
        return ProxyRules(http=_url(http), https=_url(https), exemptions=tuple(map(_exemption, entries)))

    def with_own(self, proxy: str | None) -> ProxyRules:
        """The rules of an account or endpoint with this proxy, or `NO_PROXY`; None: it has no proxy of its own."""
        return self if proxy is None else ProxyRules(every=None if proxy == NO_PROXY else proxy)

    def proxy_for(self, scheme: str, host: str, port: int | None) -> str | None:
        if self.every is not None:
            return self.every
        proxy = self.https if scheme == "https" else self.http
        if proxy is None:
            return None
        host = host.strip("[]").rstrip(".").lower()
        address, port = _address(host), port or PORTS.get(scheme)
        if _is_this_machine(host, address) or any(each.covers(host, address, port) for each in self.exemptions):
            return None
        return proxy


def _variable(env: Mapping[str, str], name: str) -> str:
    return (env.get(name) or env.get(name.upper()) or "").strip()


def _url(text: str) -> str | None:
    return (text if "://" in text else f"http://{text}") if text else None


def _exemption(entry: str) -> Exemption:
    text = entry.rpartition("://")[2].lower()
    network = _network(text)
    if network is not None:
        return Exemption(network=network)
    host, colon, port = text.rpartition(":")
    named = int(port) if colon and port.isascii() and port.isdigit() and len(port) <= 5 else None
    host = (host if named is not None else text).strip("[]")
    network = _network(host)
    if network is not None:
        return Exemption(network=network, port=named)
    host = host.removeprefix("*.").strip(".") if host != "*" else host
    return Exemption(host=_ascii(host), port=named)


def _network(text: str) -> IpNetwork | None:
    try:
        return ipaddress.ip_network(text.strip("[]"), strict=False)
    except ValueError:
        return None


def _address(host: str) -> IpAddress | None:
    address = parse_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _is_this_machine(host: str, address: IpAddress | None) -> bool:
    if address is None:
        return host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _ascii(host: str) -> str:
    try:
        return ascii_host(host)
    except UnicodeError:
        return host
