"""Protects against server-side request forgery: decides which addresses may be connected to for URLs from outside."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from bridge.domain.public_addresses import IpNetwork, why_not_public


class AddressRule(Protocol):
    """Decides whether a connection may be made."""

    def refusal(self, host: str, address: str) -> str | None:
        """Why no connection may be made to this numeric address, to which the `host` of a URL was resolved; None if it
        may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressGuard:
    """Allows public addresses, and those that the operator allows: `hosts` (in the form of `plain_host`), whatever
    their address, and `networks`."""

    hosts: Collection[str] = ()
    networks: Collection[IpNetwork] = ()

    def refusal(self, host: str, address: str) -> str | None:
        """See `AddressRule.refusal`. The address is checked instead of the name, because a name may resolve differently
        next time. An address that cannot be parsed is refused."""
        if host in self.hosts:
            return None
        try:
            found = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return "not an IP address"
        if any(found.version == network.version and found in network for network in self.networks):
            return None
        return why_not_public(found)
